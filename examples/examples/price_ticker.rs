//! Prices are published to dashboards. A slow one is told how many it has missed; all follow the
//! settings.

use std::time::Duration;

use asyncio::sync::broadcast::{self, Receiver, RecvError};
use asyncio::sync::watch;
use asyncio::task::MissedTicks;
use asyncio::{create_task, interval, running_loop, sleep};

#[derive(Clone, Debug, PartialEq)]
struct Price {
    name: &'static str,
    cents: u64,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    pause: Duration,
    loud: bool,
}

struct Dashboard {
    name: String,
    prices: Receiver<Price>,
    settings: watch::Receiver<Settings>,
    shown: usize,
    missed: u64,
}

impl Dashboard {
    async fn run(mut self) -> (String, usize, u64) {
        loop {
            match self.prices.recv().await {
                Ok(price) => {
                    self.shown += 1;
                    if self.settings.borrow().loud {
                        println!("{}: {} is {}", self.name, price.name, price.cents);
                    }
                    let pause = self.settings.borrow().pause;
                    sleep(pause).await;
                }
                Err(RecvError::Lagged(n)) => self.missed += n,
                Err(RecvError::Closed) => return (self.name, self.shown, self.missed),
            }
        }
    }
}

#[asyncio::main(virtual_time)]
async fn main() {
    let start = running_loop().time();
    let (prices, _) = broadcast::channel(4);
    let fast = Settings { pause: Duration::from_millis(1), loud: false };
    let (settings, follower) = watch::channel(fast);
    let dashboards: Vec<_> = ["hall", "office"]
        .into_iter()
        .map(|name| {
            let dashboard = Dashboard {
                name: name.to_string(),
                prices: prices.subscribe(),
                settings: follower.clone(),
                shown: 0,
                missed: 0,
            };
            create_task(dashboard.run()).named(name)
        })
        .collect();

    let mut ticks = interval(Duration::from_millis(10)).missed_ticks(MissedTicks::Skip);
    for cents in 100..120 {
        let when = ticks.tick().await;
        if cents == 110 {
            settings.send_modify(|settings| settings.pause = Duration::from_millis(200));
        }
        let receivers = prices.send(Price { name: "tea", cents }).expect("dashboards");
        assert_eq!(receivers, 2);
        println!("{:?}: sent", when - start);
    }
    drop((prices, follower));
    for dashboard in dashboards {
        let (name, shown, missed) = dashboard.await.unwrap();
        println!("{name} has shown {shown} and missed {missed}");
        assert_eq!(shown as u64 + missed, 20);
        assert!(missed > 0);
    }
    settings.closed().await; // nobody follows the settings any more
}

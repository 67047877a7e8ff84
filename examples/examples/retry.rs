//! Tries again, with a limit for each attempt and a limit for all attempts together. The pauses
//! grow, and are random so that many clients do not come back at the same moment.
//!
//! ```text
//! cargo run -p asyncio-examples --example retry
//! ```

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use asyncio::{Runner, create_task, finally, running_loop, sleep, timeout};

/// How often, and how long.
struct Retry {
    /// For all attempts and pauses.
    total: Duration,
    /// For one attempt.
    attempt: Duration,
    /// The longest pause after the first attempt; the later ones double it.
    pause: Duration,
}

/// Why there is no value.
#[derive(Debug, PartialEq, Eq)]
struct GaveUp<E> {
    attempts: u32,
    /// What the last attempt said that said anything.
    last: Option<E>,
}

impl Retry {
    /// Gives the first value of `attempt`, which is told its number.
    async fn run<T, E>(
        &self,
        mut attempt: impl AsyncFnMut(u32) -> Result<T, E>,
    ) -> Result<T, GaveUp<E>> {
        let end = running_loop().time() + self.total;
        let (mut longest, mut last) = (self.pause, None);
        for number in 1.. {
            let left = end - running_loop().time();
            // An attempt that hangs is cancelled, and cleans up before the next one begins.
            match timeout(self.attempt.min(left), attempt(number)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => last = Some(error),
                Err(_) => println!("client: attempt {number} takes too long"),
            }
            let pause = random_up_to(longest);
            if running_loop().time() + pause >= end {
                return Err(GaveUp { attempts: number, last });
            }
            println!("client: again in {pause:?}");
            sleep(pause).await;
            longest *= 2;
        }
        unreachable!("the end comes first");
    }
}

/// At least half, so that pauses grow whatever chance says.
fn random_up_to(longest: Duration) -> Duration {
    let chance = RandomState::new().hash_one(()) as u32;
    longest / 2 + (longest / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// A service that refuses once, hangs once, and then works.
async fn service(attempt: u32, connections: &Cell<u32>) -> Result<&'static str, &'static str> {
    connections.set(connections.get() + 1);
    let answer = async {
        match attempt {
            1 => Err("refused"),
            2 => std::future::pending().await,
            _ => Ok("welcome"),
        }
    };
    finally(answer, async |_| {
        sleep(Duration::from_millis(1)).await; // hang up
        connections.set(connections.get() - 1);
    })
    .await
}

/// With virtual time: nothing waits, and a limit is kept to the nanosecond.
fn main() {
    Runner::builder().virtual_time(true).run(show());
}

async fn show() {
    let connections = Cell::new(0);
    let retry = Retry {
        total: Duration::from_secs(60),
        attempt: Duration::from_millis(200),
        pause: Duration::from_millis(100),
    };
    let answer = retry.run(async |number| service(number, &connections).await).await;
    assert_eq!((answer, connections.get()), (Ok("welcome"), 0));

    // One that never works: the limit on the whole is kept, and says how it went.
    let retry = Retry { total: Duration::from_secs(5), ..retry };
    let start = running_loop().time();
    let gave_up = retry.run(async |_| Err::<(), _>("refused")).await.unwrap_err();
    println!("client: gave up after {} attempts: {}", gave_up.attempts, gave_up.last.unwrap());
    assert!(gave_up.attempts > 1 && running_loop().time() - start < retry.total);

    // Cancelled in a pause or an attempt, it ends there: nothing in here swallows that.
    let task = create_task(async move { retry.run(async |_| Err::<(), ()>(())).await });
    sleep(Duration::from_millis(500)).await;
    task.cancel();
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
}

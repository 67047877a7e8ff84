//! Blocking threads send items to a loop, and the loop sends results to a thread, through mixed
//! queues.
//!
//! Two threads read sensors, which blocks them. The loop averages the readings, and a third thread
//! prints the averages. The queues are bounded, so a side that is too fast has to wait.
//!
//! ```text
//! cargo run -p asyncio-examples --example threads_feed_loop
//! ```

use std::thread;
use std::time::Duration;

use asyncio::mixed::{self, AsyncQueue, SyncQueue};

struct Reading {
    sensor: &'static str,
    value: f64,
}

/// Blocks, as devices do.
fn read_sensor(sensor: &'static str, base: f64, readings: &SyncQueue<Reading>) {
    for n in 0..20 {
        thread::sleep(Duration::from_millis(2));
        let value = base + f64::from(n % 5);
        if readings.put(Reading { sensor, value }).is_err() {
            return; // nobody wants them any more
        }
    }
}

/// Prints lines until there are no more.
fn write_down(lines: &SyncQueue<String>) -> usize {
    let mut count = 0;
    while let Ok(line) = lines.get() {
        println!("{line}");
        count += 1;
    }
    count
}

/// One line for every ten readings.
async fn average(readings: AsyncQueue<Reading>, lines: AsyncQueue<String>) {
    let (mut sum, mut count, mut sensors) = (0.0, 0, vec![]);
    while let Ok(reading) = readings.get().await {
        sum += reading.value;
        count += 1;
        sensors.push(reading.sensor);
        if count == 10 {
            let from_a = sensors.iter().filter(|&&sensor| sensor == "a").count();
            let line = format!("{:5.2} on average, {from_a} of 10 from a", sum / 10.0);
            lines.put(line).await.expect("open until we shut it down");
            (sum, count) = (0.0, 0);
            sensors.clear();
        }
    }
    lines.shutdown();
}

fn main() {
    let (readings, lines) = (mixed::Queue::bounded(4), mixed::Queue::bounded(4));
    let sensors = [("a", 10.0), ("b", 20.0)].map(|(name, base)| {
        let side = readings.sync_side();
        thread::spawn(move || read_sensor(name, base, &side))
    });
    let written = lines.sync_side();
    let writer = thread::spawn(move || write_down(&written));

    let all = readings.sync_side();
    let closer = thread::spawn(move || {
        sensors.into_iter().for_each(|sensor| sensor.join().expect("no sensor panics"));
        all.shutdown();
    });
    asyncio::run(average(readings.async_side(), lines.async_side()));
    closer.join().expect("it only waits");
    assert_eq!(writer.join().expect("it only prints"), 4);
}

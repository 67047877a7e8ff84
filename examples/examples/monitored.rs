//! A program with a monitor, a command of its own, and something to see.
//!
//! ```text
//! cargo run -p asyncio-examples --features monitor --example monitored
//! cargo run -p asyncio-examples --features monitor --example monitored serve
//! ```
//!
//! The first command queries its own monitor, and ends; the second runs until Ctrl-C.
//!
//! Two tasks wait for each other's locks, a producer creates tasks that never end, and from time to
//! time a report blocks the loop. While it serves, open the printed address in a browser, or type
//! `help` into `nc HOST PORT`. docs/DEBUGGING.md shows how to find the three faults.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use asyncio::monitor::{self, Options};
use asyncio::task::yield_now;
use asyncio::{Lock, Task, create_task, open_connection, running_loop, sleep};

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pause = Rc::new(Cell::new(50));
    let told = Rc::clone(&pause);
    let options = Options::new().address("127.0.0.1:0").command(
        "pause",
        "sets the producer's pause: pause MILLISECONDS",
        async move |new: u64| format!("it was {}, and is {new}", told.replace(new)),
    );
    let monitor = monitor::start(&running_loop(), options)?;
    let address = monitor.local_addr().ok_or("no address")?;
    println!("http://{address}/");

    let _transfers = deadlock();
    let producer = create_task(produce(pause)).named("producer");
    if std::env::args().nth(1).as_deref() == Some("serve") {
        create_task(report()).named("report").await?;
        producer.await?;
    }
    for _ in 0..3 {
        yield_now().await;
    }

    let (mut reader, writer) = open_connection(address).await?;
    writer.write("ps\nwhere 2\ngraph\npause 20\nquit\n");
    print!("{}", String::from_utf8_lossy(&reader.read_to_end().await?));
    Ok(())
}

/// Writes its report with a call that blocks the thread.
async fn report() {
    loop {
        sleep(Duration::from_secs(20)).await;
        std::thread::sleep(Duration::from_secs(3));
    }
}

/// Each of two tasks takes its own lock first, and then the other's.
fn deadlock() -> [Task<()>; 2] {
    let (savings, current) = (Rc::new(Lock::new(100)), Rc::new(Lock::new(100)));
    let move_one = async |from: Rc<Lock<i32>>, to: Rc<Lock<i32>>| {
        let mut from = from.acquire().await;
        yield_now().await;
        let mut to = to.acquire().await;
        *from -= 1;
        *to += 1;
    };
    let there = (Rc::clone(&savings), Rc::clone(&current));
    let back = (current, savings);
    [
        create_task(async move { move_one(there.0, there.1).await }).named("save"),
        create_task(async move { move_one(back.0, back.1).await }).named("spend"),
    ]
}

/// Creates a task for each order, although an order may never be paid.
async fn produce(pause: Rc<Cell<u64>>) {
    for order in 1.. {
        let paid = asyncio::create_future::<()>();
        let unpaid = paid.clone();
        create_task(async move { drop(paid.await) }).named(format!("order {order}"));
        // The task holds the promise, but never sets its result.
        create_task(async move {
            sleep(Duration::from_secs(86_400)).await;
            drop(unpaid);
        })
        .named(format!("reminder {order}"));
        sleep(Duration::from_millis(pause.get())).await;
    }
}

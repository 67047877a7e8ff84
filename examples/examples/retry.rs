//! Retries an operation, with a time limit for each attempt and one for all attempts together. The
//! pauses grow, and are random so that many clients do not retry at the same moment.
//!
//! ```text
//! cargo run -p asyncio-examples --example retry
//! ```

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::time::Duration;

use asyncio::task::Backoff;
use asyncio::{Runner, create_task, finally, retry, running_loop, sleep, timeout};

/// A service that refuses the first connection, hangs on the second, and then works.
async fn service(attempt: u32, connections: &Cell<u32>) -> io::Result<&'static str> {
    connections.set(connections.get() + 1);
    let answer = async {
        match attempt {
            1 => Err(ErrorKind::ConnectionRefused.into()),
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

/// With virtual time no sleep takes real time, and each limit is kept to the nanosecond.
fn main() {
    Runner::builder().virtual_time(true).run(show());
}

async fn show() {
    let (attempts, connections) = (Cell::new(0), Cell::new(0));
    let pauses = Backoff::new(Duration::from_millis(100));
    let answer = retry(async || {
        attempts.set(attempts.get() + 1);
        println!("client: attempt {}", attempts.get());
        // An attempt that hangs is cancelled, and cleans up before the next one begins.
        timeout(Duration::from_millis(200), service(attempts.get(), &connections)).await?
    })
    .backoff(pauses.clone())
    .await;
    assert_eq!((answer.unwrap(), connections.get()), ("welcome", 0));

    // A service that never works: no attempt starts after five seconds.
    let start = running_loop().time();
    let refused = retry(async || Err::<(), _>(ErrorKind::ConnectionRefused))
        .times(u32::MAX)
        .backoff(pauses)
        .within(Duration::from_secs(5))
        .await;
    println!("client: gave up: {}", refused.unwrap_err());
    assert!(running_loop().time() - start <= Duration::from_secs(5));

    // Cancelling it during a pause or an attempt ends it there.
    let task = create_task(async { retry(async || Err::<(), ()>(())).times(u32::MAX).await });
    sleep(Duration::from_millis(500)).await;
    task.cancel();
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
}

//! Nothing is left behind: no zombie, no orphan, no descriptor. Alone in its program, since it counts
//! what the whole process has.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use asyncio_process::{Command, Stdio, Watcher};
use asyncio_task::{run, sleep};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Whether this program has children, dead or alive.
fn has_children() -> bool {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, how), Err(Errno::CHILD))
}

/// Polls a future a few times, then drops it.
async fn abandon<F: Future>(future: F, polls: usize) {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 || future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

// P-006
#[test]
fn ten_thousand_starts_that_are_cancelled_leave_nothing() {
    const ROUNDS: usize = 10_000;
    let before = open_descriptors();
    run(async {
        for round in 0..ROUNDS {
            let command = Command::new("sleep").arg("1000").stdin(Stdio::piped());
            let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            // Now and then by the other way to learn of the end, which costs a thread each.
            let rare = round % 100 == 0;
            let command = if rare { command.watcher(Watcher::Thread) } else { command };
            match round % 3 {
                // Cancelled while it starts, while it communicates, while it is waited for.
                0 => abandon(command.spawn(), round % 2).await,
                1 => abandon(command.output(), round % 4).await,
                _ => abandon(command.await?.wait(), round % 4).await,
            }
        }
        while has_children() {
            sleep(std::time::Duration::from_micros(200)).await;
        }
        io::Result::Ok(())
    })
    .unwrap();
    assert!(!has_children());
    assert_eq!(open_descriptors(), before);
}

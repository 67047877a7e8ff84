//! No zombie, orphan or file descriptor is left behind. These tests have a program of their own,
//! since they count those of the whole process.

use std::collections::BTreeMap;
use std::fs::{DirEntry, read_link};
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use asyncio_process::{Command, Stdio, SubprocessProtocol, Watcher, subprocess_exec};
use asyncio_task::{run, sleep};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// More bytes than a pipe holds, so that writing takes several steps.
const INPUT: &[u8] = &[7; 200_000];

/// The open files of this process by descriptor number, without the directory that lists them.
fn open_descriptors() -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap());
    let named = |entry: DirEntry| {
        Some((entry.file_name().into_string().ok()?, read_link(entry.path()).ok()?))
    };
    let lists = |path: &PathBuf| path.starts_with("/proc") && path.ends_with("fd");
    entries.filter_map(named).filter(|(_, path)| !lists(path)).collect()
}

/// Asserts that the same descriptors are open as before. The thread that waited for a process may
/// end a moment after the process, and keeps a descriptor of the loop until then.
fn assert_no_descriptors_but(before: &BTreeMap<String, PathBuf>, when: &str) {
    let deadline = Instant::now() + Duration::from_secs(300);
    while open_descriptors() != *before && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(open_descriptors(), *before, "{when}");
}

/// Whether this program has children, dead or alive.
fn has_children() -> bool {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, how), Err(Errno::CHILD))
}

/// Held by each test, so that the tests run one after another.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the loop has reaped all ended processes.
async fn until_childless() {
    while has_children() {
        sleep(Duration::from_micros(200)).await;
    }
}

/// Polls a future a number of times, in a row or each time it wakes its task, and drops it. Returns
/// whether it was ready before.
async fn abandon<F: Future>(future: F, polls: usize, in_a_row: bool) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if in_a_row || left == 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

fn sleeper() -> Command {
    let command = Command::new("sleep").arg("1000").stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

// P-006. ASYNCIO_ROUNDS sets another number of rounds.
#[test]
fn ten_thousand_starts_that_are_cancelled_leave_nothing() {
    let _turn = alone();
    let rounds = std::env::var("ASYNCIO_ROUNDS").ok().map(|rounds| rounds.parse().unwrap());
    let before = open_descriptors();
    run(async {
        for round in 0..rounds.unwrap_or(10_000) {
            // Every hundredth process is watched by a thread, which is slower.
            let watcher = if round % 100 == 0 { Watcher::Thread } else { Watcher::Auto };
            let command = sleeper().watcher(watcher);
            match round % 3 {
                // The future is dropped while the process starts, while it communicates, or while
                // it is waited for.
                0 => abandon(command.spawn(), round % 2, true).await,
                1 => abandon(command.output(), round % 4, true).await,
                _ => abandon(command.await?.wait(), round % 4, true).await,
            };
        }
        until_childless().await;
        io::Result::Ok(())
    })
    .unwrap();
    assert!(!has_children());
    assert_no_descriptors_but(&before, "after all rounds");
}

struct Silent;

impl SubprocessProtocol for Silent {}

type Work = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// All operations of a process that wait, from its start to its end.
fn works() -> [fn(Command) -> Work; 5] {
    [
        |cat| {
            Box::pin(async move {
                let output = cat.await?.communicate(INPUT).await?;
                assert_eq!(output.stdout.len(), INPUT.len());
                Ok(())
            })
        },
        |cat| {
            Box::pin(async move {
                let mut cat = cat.await?;
                let stdin = cat.take_stdin().unwrap();
                stdin.write(&INPUT[..1000]);
                stdin.drain().await?;
                assert_eq!(cat.stdout().unwrap().read_exactly(1000).await?.len(), 1000);
                stdin.close().await?;
                assert!(cat.wait().await.success());
                Ok(())
            })
        },
        |cat| {
            Box::pin(async move {
                cat.await?.stop(Duration::from_secs(60)).await?;
                Ok(())
            })
        },
        |cat| {
            Box::pin(async move {
                let transport = subprocess_exec(cat, || Silent).await?;
                // A process with a protocol belongs to the loop, so the test has to close its
                // transport.
                let _close = Close(&transport);
                transport.stdin().unwrap().write_eof();
                transport.wait_closed().await;
                Ok(())
            })
        },
        |cat| Box::pin(async move { cat.kill_group(true).output().await.map(drop) }),
    ]
}

struct Close<'a>(&'a asyncio_process::SubprocessTransport);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

// P-006
#[test]
fn cancelling_at_any_await_leaves_nothing() {
    let _turn = alone();
    let before = open_descriptors();
    for watcher in [Watcher::Auto, Watcher::Thread] {
        for (number, work) in works().into_iter().enumerate() {
            let mut polls = 0;
            loop {
                let done = run(async move {
                    let cat = Command::new("cat").watcher(watcher).stdin(Stdio::piped());
                    let done = abandon(work(cat.stdout(Stdio::piped())), polls, false).await;
                    until_childless().await;
                    done
                });
                let when = format!("work {number} after {polls} polls");
                assert!(!has_children(), "{when}");
                assert_no_descriptors_but(&before, &when);
                if done {
                    break;
                }
                polls += 1;
            }
            assert!(polls > 1, "work {number} never waits");
        }
    }
}

#[test]
fn a_process_that_outlives_its_loop_is_reaped() {
    let _alone = alone();
    for watcher in [Watcher::Auto, Watcher::Thread] {
        let process = run(async {
            let command = Command::shell("read line").stdin(Stdio::piped());
            command.kill_on_drop(false).watcher(watcher).await.unwrap()
        });
        // The process ends after the loop has closed, when the pipe is closed here.
        assert!(has_children());
        drop(process);
        while has_children() {
            std::thread::yield_now();
        }
    }
}

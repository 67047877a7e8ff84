//! Child processes: starting them and waiting for their end, and writing to and reading from them.

use std::collections::VecDeque;
use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Smol, Tokio, timed_with_others};
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::iter;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};

/// The number of processes submitted at once, and how many of them run at a time.
const PROCESSES: usize = 16;
const CONCURRENCY: usize = 8;
/// The number of bytes sent through `cat`.
const MEBIBYTES: usize = 64;
static INPUT: LazyLock<Vec<u8>> = LazyLock::new(|| vec![7; MEBIBYTES << 20]);
/// The capacity of a pipe.
const CHUNK: usize = 64 * 1024;

fn main() {
    run(
        "processes",
        vec![
            Contest::new("short_process", PROCESSES as u64)
                .with("floor", processes_by_hand)
                .with("asyncio", processes::<Asyncio>)
                .with("tokio", processes::<Tokio>)
                .with("smol", processes::<Smol>),
            Contest::new("mebibyte_through_cat", MEBIBYTES as u64)
                .with("floor", cat_by_hand)
                .with("asyncio", cat::<Asyncio>)
                .with("tokio", cat::<Tokio>)
                .with("smol", cat::<Smol>),
        ],
    );
}

trait Processes: Runtime {
    /// Runs `true` and waits for its end.
    fn process() -> impl Future<Output = ()>;

    /// Sends bytes through `cat`.
    fn cat(input: &'static [u8]) -> impl Future<Output = Vec<u8>>;
}

impl Processes for Asyncio {
    async fn process() {
        let process = asyncio::Command::new("true").stdin(asyncio::Stdio::null()).await;
        assert!(process.expect("a process").wait().await.success());
    }

    async fn cat(input: &'static [u8]) -> Vec<u8> {
        let command = asyncio::Command::new("cat").stdin(asyncio::Stdio::piped());
        let mut cat = command.stdout(asyncio::Stdio::piped()).await.expect("a process");
        let output = cat.communicate(input).await.expect("its output");
        output.stdout
    }
}

impl Processes for Tokio {
    async fn process() {
        let status = tokio::process::Command::new("true").stdin(Stdio::null()).status().await;
        assert!(status.expect("a status").success());
    }

    async fn cat(input: &'static [u8]) -> Vec<u8> {
        use tokio::io::AsyncWriteExt;
        let mut command = tokio::process::Command::new("cat");
        let mut cat =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let mut stdin = cat.stdin.take().expect("a pipe");
        let feed = async move { stdin.write_all(input).await.expect("a reader") };
        join(feed, cat.wait_with_output()).await.1.expect("its output").stdout
    }
}

impl Processes for Smol {
    async fn process() {
        let status = smol::process::Command::new("true").stdin(Stdio::null()).status().await;
        assert!(status.expect("a status").success());
    }

    async fn cat(input: &'static [u8]) -> Vec<u8> {
        use smol::io::{AsyncReadExt, AsyncWriteExt};
        let mut command = smol::process::Command::new("cat");
        let mut cat =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let (mut stdin, mut stdout) =
            (cat.stdin.take().expect("a pipe"), cat.stdout.take().expect("a pipe"));
        let feed = async move { stdin.write_all(input).await.expect("a reader") };
        let mut output = Vec::new();
        join(feed, stdout.read_to_end(&mut output)).await.1.expect("its output");
        assert!(cat.status().await.expect("a status").success());
        output
    }
}

/// Short processes, several at a time.
fn processes<R: Processes>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        for _ in 0..times {
            iter(0..PROCESSES).for_each_concurrent(CONCURRENCY, |_| R::process()).await;
        }
    })
}

/// The same without a loop: processes are waited for in the order of their start.
fn processes_by_hand(times: u64) -> Duration {
    let wait = |mut child: Child| assert!(child.wait().expect("a status").success());
    let start = Instant::now();
    for _ in 0..times {
        let mut running = VecDeque::new();
        for _ in 0..PROCESSES {
            if running.len() == CONCURRENCY {
                running.pop_front().map(wait);
            }
            let child = Command::new("true").stdin(Stdio::null()).spawn();
            running.push_back(child.expect("a process"));
        }
        running.into_iter().for_each(wait);
    }
    start.elapsed()
}

fn cat<R: Processes>(times: u64) -> Duration {
    let input: &'static [u8] = &INPUT;
    timed_with_others::<R>(async move {
        for _ in 0..times {
            assert_eq!(black_box(R::cat(input).await).len(), input.len());
        }
    })
}

fn cat_by_hand(times: u64) -> Duration {
    let input: &'static [u8] = &INPUT;
    let start = Instant::now();
    for _ in 0..times {
        assert_eq!(black_box(through_cat(input)).len(), input.len());
    }
    start.elapsed()
}

/// Calls `poll`, and then `read` or `write` as `poll` says.
fn through_cat(mut input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("cat");
    let mut cat = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
    let mut stdin = cat.stdin.take().map(OwnedFd::from);
    let stdout = OwnedFd::from(cat.stdout.take().expect("a pipe"));
    for pipe in stdin.iter().chain([&stdout]) {
        ioctl_fionbio(pipe, true).expect("a descriptor");
    }
    let mut output = Vec::new();
    loop {
        if input.is_empty() {
            stdin = None;
        }
        let (can_read, can_write) = wait(&stdout, stdin.as_ref());
        if let Some(stdin) = stdin.as_ref().filter(|_| can_write) {
            input = &input[unless_again(write(stdin, input)).unwrap_or(0)..];
        }
        if can_read {
            output.reserve(CHUNK);
            let room = rustix::buffer::spare_capacity(&mut output);
            if unless_again(read(&stdout, room)) == Some(0) {
                break;
            }
        }
    }
    assert!(cat.wait().expect("a status").success());
    output
}

/// Waits until the pipe is readable or writable.
fn wait(stdout: &OwnedFd, stdin: Option<&OwnedFd>) -> (bool, bool) {
    let mut fds = vec![PollFd::new(stdout, PollFlags::IN)];
    fds.extend(stdin.map(|stdin| PollFd::new(stdin, PollFlags::OUT)));
    poll(&mut fds, None).expect("an event");
    let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
    (ready(0), ready(1))
}

fn unless_again(result: Result<usize, Errno>) -> Option<usize> {
    match result {
        Ok(count) => Some(count),
        Err(Errno::AGAIN) => None,
        Err(error) => panic!("{error}"),
    }
}

//! A program built with the feature `monitor` has a monitor when `ASYNCIO_MONITOR` is set. The test
//! starts its own executable as that program, whose code never names the monitor.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the child.
const CHILD: &str = "ASYNCIO_MONITOR_TEST_CHILD";

#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        let wait = || std::io::stdin().read_to_end(&mut Vec::new());
        asyncio::run(async move { asyncio::to_thread(wait).await }).unwrap().unwrap();
    }
}

/// The console's answer to `ps`.
fn ps(address: &str) -> String {
    let mut console = TcpStream::connect(address.trim_end_matches('/')).unwrap();
    console.write_all(b"ps\nquit\n").unwrap();
    let mut text = String::new();
    console.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_feature_alone_is_enough() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, "1")
        .env("ASYNCIO_MONITOR", "127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("asyncio: a monitor is at http://").unwrap();

    // The monitor starts shortly before the task does.
    let end = Instant::now() + Duration::from_secs(300);
    let mut text = ps(address);
    while text.starts_with("0 tasks\n") && Instant::now() < end {
        text = ps(address);
    }
    assert!(text.starts_with("1 task\n"), "{text}");

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

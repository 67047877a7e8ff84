//! The load on a server: wrk, or threads that ask in turn.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{LOAD_CORE, pin_to};

/// Connections that ask at once, each for the next page when it has the last one.
const CONNECTIONS: usize = 32;

/// Requests a page repeatedly for a duration, and counts the answers.
pub(crate) fn ask_for(address: &str, page: &str, duration: Duration) -> io::Result<u64> {
    match wrk(address, page, duration) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            by_threads(address, page, duration)
        }
        count => count,
    }
}

fn wrk(address: &str, page: &str, duration: Duration) -> io::Result<u64> {
    let mut command = Command::new("taskset");
    command.args(["-c", &LOAD_CORE.to_string(), "wrk", "-t1", "-c", &CONNECTIONS.to_string()]);
    command.arg(format!("-d{}s", duration.as_secs())).arg(format!("http://{address}{page}"));
    if Command::new("wrk").arg("-v").output().is_err() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(io::Error::other(format!("wrk has seen errors:\n{text}")));
    }
    // "  141325 requests in 2.10s, 17.25MB read"
    let line = text.lines().find(|line| line.contains(" requests in "));
    let count = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    count.ok_or_else(|| io::Error::other(format!("wrk has said:\n{text}")))
}

fn by_threads(address: &str, page: &str, duration: Duration) -> io::Result<u64> {
    let end = Instant::now() + duration;
    let request = format!("GET {page} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    thread::scope(|scope| {
        let asking = (0..CONNECTIONS).map(|_| {
            scope.spawn(|| {
                pin_to(LOAD_CORE);
                let mut stream = TcpStream::connect(address)?;
                let (mut count, mut answer) = (0, [0; 4096]);
                while Instant::now() < end {
                    stream.write_all(request.as_bytes())?;
                    // Answers are small, and come at once.
                    let length = stream.read(&mut answer)?;
                    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "no answer");
                    count += 1;
                }
                io::Result::Ok(count)
            })
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|thread| thread.join().expect("a thread of the load")).sum()
    })
}

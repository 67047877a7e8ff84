//! Requests to a monitor: HTTP on its Unix socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// The time limit for a command. A command of the program may take long.
const COMMAND: Duration = Duration::from_secs(600);
/// The time limit for other requests. A monitor answers quickly, even while a task blocks the loop.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The time limit for a program's name in the list of all programs. A process may be stopped.
const NAME: Duration = Duration::from_secs(2);

/// A monitor's socket.
pub(crate) struct Monitor {
    path: PathBuf,
}

/// The answer of a command.
pub(crate) struct Answer {
    pub(crate) is_ok: bool,
    pub(crate) text: String,
}

impl Monitor {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Runs a console command line.
    pub(crate) fn command(&self, line: &str) -> io::Result<Answer> {
        let (status, text) = self.ask(COMMAND, "POST", "/api/command", line)?;
        match status {
            200 => Ok(Answer { is_ok: true, text }),
            422 => Ok(Answer { is_ok: false, text }),
            _ => Err(io::Error::other(format!("{status}: {}", text.trim_end()))),
        }
    }

    /// The monitor's data at this path.
    pub(crate) fn get(&self, path: &str) -> io::Result<Value> {
        self.get_within(TIMEOUT, path)
    }

    fn get_within(&self, limit: Duration, path: &str) -> io::Result<Value> {
        match self.ask(limit, "GET", path, "")? {
            (200, text) => serde_json::from_str(&text).map_err(io::Error::other),
            (status, text) => Err(io::Error::other(format!("{status}: {}", text.trim_end()))),
        }
    }

    /// The events of the flight recorder, as a file.
    pub(crate) fn recording(&self) -> io::Result<String> {
        match self.ask(TIMEOUT, "GET", "/api/record", "")? {
            (200, text) => Ok(text),
            (_, text) => Err(io::Error::other(text.trim_end().to_owned())),
        }
    }

    /// The name of the program.
    pub(crate) fn program(&self) -> io::Result<String> {
        let version = self.get_within(NAME, "/api/version")?;
        Ok(version["program"].as_str().unwrap_or("?").to_owned())
    }

    /// The status and the body. Each request has its own connection, which ends with the answer.
    fn ask(
        &self,
        limit: Duration,
        method: &str,
        path: &str,
        body: &str,
    ) -> io::Result<(u16, String)> {
        let mut socket = self.connect()?;
        socket.set_read_timeout(Some(limit))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if let Ok(token) = std::env::var("ASYNCIO_MONITOR_TOKEN") {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if method == "POST" {
            let length = body.len();
            request.push_str(&format!("X-Asyncio-Monitor: 1\r\nContent-Length: {length}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        socket.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::other("what answers there is no monitor"))
    }

    fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.path).map_err(|error| {
            let text = format!("{}: {error}", self.path.display());
            io::Error::new(error.kind(), text)
        })
    }
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}

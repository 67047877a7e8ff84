//! Another program as the peer.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use asyncio_loop::running_loop;

/// Whether the program is missing, or is another one of that name whose help does not mention
/// `option`; prints so.
pub(crate) fn is_missing(program: &str, option: &str) -> bool {
    let mut help = Command::new(program);
    let help = help.arg("-h").stdin(Stdio::null()).output();
    let has = |text: &[u8]| String::from_utf8_lossy(text).contains(option);
    let is_missing = !help.is_ok_and(|help| has(&help.stdout) || has(&help.stderr));
    if is_missing {
        eprintln!("skipped: there is no {program}, or none that knows {option}");
    }
    is_missing
}

/// A running program, which does not outlive the test.
pub(crate) struct Program {
    child: Option<Child>,
    output: Option<BufReader<ChildStdout>>,
    /// Read end of standard error, kept open until the end: a program that writes to a closed pipe
    /// is killed.
    messages: Option<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts the program. Its output and messages are read if `command` pipes them.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().map(BufReader::new);
        let messages = child.stderr.take().map(BufReader::new);
        Self { child: Some(child), output, messages }
    }

    /// Blocks until the program reports that it listens, and returns the port that it has chosen.
    /// Its standard error must be piped.
    pub(crate) fn port(&mut self) -> u16 {
        let mut messages = self.messages.as_mut().unwrap().lines().map(Result::unwrap);
        let message = messages.find(|message| message.to_lowercase().contains("listening on"));
        let message = message.expect("it listens");
        let digits = message.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
        message[digits..].parse().unwrap()
    }

    /// Waits for a line, and blocks meanwhile.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Waits for the end, while the loop runs; returns what it printed.
    pub(crate) async fn finish(mut self) -> io::Result<String> {
        let (child, output) = (self.child.take(), self.output.take());
        let mut running = Self { child, output: None, messages: self.messages.take() };
        let printed = running_loop().run_in_executor(None, move || {
            let mut text = String::new();
            if let Some(mut output) = output {
                output.read_to_string(&mut text)?;
            }
            let status = running.child.as_mut().unwrap().wait()?;
            if status.success() { Ok(text) } else { Err(io::Error::other(status.to_string())) }
        });
        printed.await.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

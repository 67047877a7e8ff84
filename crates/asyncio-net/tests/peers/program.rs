//! Another program as the peer.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use asyncio_loop::running_loop;

/// Whether a program cannot be run here, or is another of this name, whose help lacks some
/// `option`; says so.
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
    /// Kept open to the end, since a program that writes to a closed pipe is killed.
    messages: Option<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts it; what it prints is for us, unless `command` says otherwise.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().map(BufReader::new);
        let messages = child.stderr.take().map(BufReader::new);
        Self { child: Some(child), output, messages }
    }

    /// Waits for the message that the program listens, and blocks meanwhile; the port, which it was
    /// free to choose. Its standard error has to be piped.
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

//! A program of somebody else's.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use asyncio_loop::running_loop;

/// Whether a program can be run here; says so if not.
pub(crate) fn is_missing(program: &str) -> bool {
    let quietly = Command::new(program)
        .arg("-h")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_missing = quietly.is_err();
    if is_missing {
        eprintln!("skipped: there is no {program}");
    }
    is_missing
}

/// A running program, which does not outlive the test.
pub(crate) struct Program {
    child: Option<Child>,
    output: Option<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it; what it prints is for us, unless `command` says otherwise.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().map(BufReader::new);
        Self { child: Some(child), output }
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
        let mut running = Self { child, output: None };
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

//! Worker processes of the job queues.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A worker process, killed when it is dropped.
pub(crate) struct Worker(Child);

impl Worker {
    /// Starts the worker, and waits until it takes jobs.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// Sends SIGTERM, at which the worker finishes its jobs.
    pub(crate) fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Sends SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

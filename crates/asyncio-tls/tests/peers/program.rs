//! Another program as the peer, and the files for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use asyncio_task::to_thread;

use super::common::Authority;

/// A running program, which is killed when this value is dropped.
pub(crate) struct Program(Child);

impl Program {
    /// Starts the program, with its messages in its output. Returns `None` if the program is
    /// missing.
    pub(crate) fn start(name: &str, args: &[&str]) -> Option<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&1", "sh", name]).args(args);
        let found = Command::new(name).arg("--version").stdin(Stdio::null()).output();
        if let Err(error) = found {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            eprintln!("{name} is missing: nothing is tested");
            return None;
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Some(Self(child.unwrap()))
    }

    /// Writes text to the program's input; the program may have ended already.
    pub(crate) fn type_in(&mut self, text: &str) {
        let _ = self.0.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Waits for the end of the program, while the loop runs. Returns whether it succeeded, and its
    /// output.
    pub(crate) async fn finish(mut self) -> (bool, String) {
        let finished = to_thread(move || {
            let mut text = Vec::new();
            self.0.stdout.as_mut().unwrap().read_to_end(&mut text).unwrap();
            let status = self.0.wait().unwrap();
            (status.success(), String::from_utf8_lossy(&text).into_owned())
        });
        finished.await.unwrap()
    }

    /// Waits for a line with this beginning, while the loop runs.
    pub(crate) async fn wait_on_a_thread(mut self, beginning: &'static str) -> Self {
        let waited = to_thread(move || {
            self.wait_for(beginning);
            self
        });
        waited.await.unwrap()
    }

    /// Blocks until the program prints a line with this beginning, and returns the rest of the
    /// line.
    pub(crate) fn wait_for(&mut self, beginning: &str) -> String {
        // Reads byte by byte, so that the output after the line is left to later reads.
        let mut output = BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap());
        loop {
            let mut line = String::new();
            assert!(
                output.read_line(&mut line).unwrap() > 0,
                "the program ended without {beginning:?}"
            );
            if let Some(rest) = line.trim_end().strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Files with the roots of an authority and certificates that it has signed.
pub(crate) struct Files {
    pub(crate) authority: Authority,
    folder: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("roots.pem"), authority.pem()).unwrap();
        Self { authority, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn roots(&self) -> String {
        self.text("roots.pem")
    }

    /// The paths of the chain and the key of a certificate for this name.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let (chain, key) = self.authority.sign_pem(&[name]);
        let files = (format!("{name}.pem"), format!("{name}.key"));
        std::fs::write(self.path(&files.0), chain).unwrap();
        std::fs::write(self.path(&files.1), key).unwrap();
        (self.text(&files.0), self.text(&files.1))
    }
}

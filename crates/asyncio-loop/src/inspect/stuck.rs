//! Steps that block their loop.

use std::fmt;
use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

/// A callback or a poll of a task that blocks its loop: see
/// [`LoopRef::set_watchdog`](crate::LoopRef::set_watchdog).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StuckStep {
    /// The minimum time for which the step has computed or was blocked. Time in which other threads
    /// had the processors or the process was stopped does not count.
    pub lasts: Duration,
    /// The thread of the loop, by its name.
    pub thread: String,
    /// The running task or callback; `None` if the thread could not be examined.
    pub step: Option<Stuck>,
    /// Addresses inside the calls that were active on the thread, innermost first.
    #[allow(dead_code, reason = "their names are not found on every system")]
    pub(crate) calls: Vec<usize>,
}

impl StuckStep {
    /// The calls that were active on the thread, innermost first, up to the poll. Empty if they are
    /// not known: they need the feature `stacks`, which is off by default, and Linux on x86-64 or
    /// AArch64.
    ///
    /// This looks up the names, and so does the step's `Display`. The first time in a process it
    /// takes milliseconds, or some tenths of a second in a program that was built without
    /// optimisation and with much debug information.
    #[must_use]
    pub fn stack(&self) -> Vec<StackFrame> {
        #[cfg(all(
            feature = "stacks",
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        ))]
        return super::symbols::frames(&self.calls);
        #[cfg(not(all(
            feature = "stacks",
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        )))]
        Vec::new()
    }
}

/// The task or callback of a [`StuckStep`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stuck {
    /// The number of the task; `None` for a callback.
    pub task: Option<u64>,
    /// The name of the task, cut after 96 bytes.
    pub name: Option<String>,
    /// The Rust type of the task's future or of the callback.
    pub function: &'static str,
    /// Where the task or callback was made.
    pub created_at: Option<&'static Location<'static>>,
}

/// A call that is active on a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackFrame {
    /// The function.
    pub function: String,
    /// The source file, if the program has debug information.
    pub file: Option<PathBuf>,
    /// The line in it.
    pub line: Option<u32>,
}

impl fmt::Display for StuckStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the loop of the thread \"{}\" is blocked", self.thread)?;
        write!(f, " for {:.3} seconds already", self.lasts.as_secs_f64())?;
        if let Some(step) = &self.step {
            write!(f, " by {step}")?;
        }
        if let Some(hint) = super::async_calls::MISSING {
            write!(f, "\n    {hint}")?;
        }
        self.stack().iter().try_for_each(|frame| write!(f, "\n    {frame}"))
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.task, &self.name) {
            (None, _) => write!(f, "a callback {}", self.function)?,
            (Some(_), Some(name)) => write!(f, "the task \"{name}\"")?,
            (Some(task), None) => write!(f, "the task \"Task-{task}\"")?,
        }
        match self.created_at {
            Some(site) => write!(f, " created at {site}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for StackFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        if let (Some(file), Some(line)) = (&self.file, self.line) {
            write!(f, " at {}:{line}", file.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_calls_says_which_feature_shows_them() {
        let (lasts, thread) = (Duration::from_millis(101), "main".to_owned());
        let step = StuckStep { lasts, thread, step: None, calls: Vec::new() };
        let (text, is_missing) = (step.to_string(), !cfg!(feature = "stacks"));
        let can_show =
            cfg!(target_os = "linux") && cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        assert!(text.starts_with("the loop of the thread \"main\" is blocked for 0.101 seconds"));
        assert_eq!(text.contains("\n    the feature \"stacks\""), is_missing && can_show, "{text}");
    }
}

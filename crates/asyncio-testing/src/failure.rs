//! A run that failed: the failure, its schedule, and how to replay it.

use std::fmt;

use crate::schedule::Schedule;
use crate::trace::Trace;

/// How a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The body panicked.
    Panic,
    /// The body returned an error.
    Error,
    /// The main task was cancelled, or the loop was stopped.
    Ended,
    /// No task could run any more.
    Deadlock,
    /// Some task was always ready, for more steps than allowed.
    Runaway,
    /// The run took too much real time.
    TimeLimit,
    /// The body succeeded, but an error was reported to the exception handler, for instance the
    /// panic of a task that is not awaited.
    Report,
}

/// A run that failed.
///
/// Its `Display` is the report that a failing test prints.
#[derive(Clone, Debug)]
pub struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    pub(crate) schedule: Schedule,
    pub(crate) found: Schedule,
    /// The number of switches in the schedule as it was found.
    pub(crate) found_switches: usize,
    pub(crate) runs: u64,
    pub(crate) words: Vec<String>,
    pub(crate) trace: Trace,
    pub(crate) notes: Vec<String>,
}

impl Failure {
    /// How it failed.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// A description of the failure.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The seed that found the failure.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.found.seed()
    }

    /// The schedule to replay, with as few switches as could be found.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// How many runs were made until the failure.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Descriptions of the schedule's decisions that differ from first-in-first-out.
    #[must_use]
    pub fn switches(&self) -> &[String] {
        &self.words
    }

    /// The trace of the failing run.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails: {}", self.seed(), self.message)?;
        writeln!(f, "  found in run {}", self.runs)?;
        match self.words.len() {
            0 => writeln!(f, "  schedule: first in, first out, without faults")?,
            shown => {
                let (from, s) = (self.found_switches, if shown == 1 { "" } else { "es" });
                writeln!(f, "  schedule ({shown} switch{s}, shrunk from {from}), else as usual:")?;
            }
        }
        for words in self.words.iter().take(SHOWN) {
            writeln!(f, "    {words}")?;
        }
        if self.words.len() > SHOWN {
            writeln!(f, "    and {} more", self.words.len() - SHOWN)?;
        }
        let notes: Vec<_> = self.trace.notes().collect();
        if !notes.is_empty() {
            writeln!(f, "  on the network:")?;
        }
        notes.iter().take(SHOWN).try_for_each(|note| writeln!(f, "    {note}"))?;
        if notes.len() > SHOWN {
            writeln!(f, "    and {} more", notes.len() - SHOWN)?;
        }
        writeln!(f, "  last steps:")?;
        self.trace.last(LAST_STEPS).iter().try_for_each(|step| writeln!(f, "    {step}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))?;
        write!(f, "replay: ASYNCIO_SEED='{}' cargo test", self.schedule)?;
        match std::thread::current().name() {
            Some(name) if name != "main" => write!(f, " {name}"),
            _ => Ok(()),
        }
    }
}

/// How many switches a report shows.
const SHOWN: usize = 40;
/// How many steps a report shows.
const LAST_STEPS: usize = 12;

impl std::error::Error for Failure {}

/// The result of a simulation without a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub(crate) runs: u64,
    pub(crate) steps: u64,
    pub(crate) complete: bool,
}

impl Summary {
    /// How many schedules ran.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many steps the schedules made: runs of callbacks and polls of tasks.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether all schedules with the given number of preemptions ran. Only in
    /// [systematic](crate::Simulation::systematic) mode.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} schedules, {} steps", self.runs, self.steps)?;
        f.write_str(if self.complete { ", all that there are within the bound" } else { "" })
    }
}

//! The flight recorder: the last events of a loop.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::chrome;
use super::task_info::TaskState;
use crate::kernel::{Copied, Event as Raw, Kept, Ring, WaitsFor, What, cause};

/// Keeps the last events of a loop: see [`LoopRef::record`](crate::LoopRef::record).
///
/// It can be sent to other threads, and read there while the loop runs or is blocked.
#[derive(Clone)]
pub struct Recorder(Arc<Ring>);

/// A copy of the events of a [`Recorder`], in order.
#[derive(Clone, Debug)]
pub struct Recording {
    copied: Copied,
    names: HashMap<u64, String>,
}

/// A recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The time since the recording began.
    pub at: Duration,
    /// The kind of event, with its details.
    pub what: Happened,
}

/// The kind of an event, with its details. Tasks are named by their numbers; hidden tasks are
/// recorded too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened {
    /// A task was made.
    Created {
        /// The task's number.
        task: u64,
        /// The place where it was made.
        at: Option<&'static Location<'static>>,
    },
    /// A task was made ready.
    Woken {
        /// The task's number.
        task: u64,
        /// The cause of the wake.
        by: WokenBy,
    },
    /// A poll of a task began.
    PollBegan {
        /// The task's number.
        task: u64,
    },
    /// A poll of a task ended, and the task waits.
    Waits {
        /// The task's number.
        task: u64,
        /// What the task waits for, if its future has noted it.
        what: Option<WaitsFor>,
        /// The line of code at which the task waits.
        at: Option<&'static Location<'static>>,
    },
    /// A task ended, and with it its last poll.
    Ended {
        /// The task's number.
        task: u64,
        /// How the task ended.
        state: TaskState,
    },
    /// A callback began.
    CallbackBegan {
        /// The Rust type of the callback.
        function: &'static str,
        /// The place where the callback was made.
        at: Option<&'static Location<'static>>,
    },
    /// The callback ended.
    CallbackEnded,
    /// The loop began to poll for events, and waits for them if nothing is ready.
    LookBegan,
    /// The poll for events has ended.
    LookEnded,
    /// The loop has made a report.
    Reported(String),
}

/// The cause by which a task became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WokenBy {
    /// A task. This is the lower half of its number.
    Task(u32),
    /// A hidden task of this project.
    Machinery,
    /// A descriptor that became ready.
    Descriptor,
    /// A deadline that has come.
    Timer,
    /// Another thread: a job that is done, a signal, or a call.
    Thread,
    /// A callback, or code outside of tasks.
    Callback,
}

impl Recorder {
    pub(crate) fn new(events: usize) -> Self {
        Self(Arc::new(Ring::new(events)))
    }

    pub(crate) fn of_ring(ring: Arc<Ring>) -> Self {
        Self(ring)
    }

    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.0
    }

    /// Copies what was recorded up to now.
    ///
    /// This can be called on any thread, and does not stop the loop. A loop that names a task or
    /// makes a report meanwhile may have to wait for less than a millisecond.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::inspect::Happened;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let recorder = event_loop.record(1000);
    /// event_loop.run_task(async {}, TaskOptions::new().name("main"))?;
    /// let recording = recorder.recording();
    /// // The machinery has tasks too, such as the one that waits for Ctrl-C.
    /// let began = recording.events().filter(|event| match event.what {
    ///     Happened::PollBegan { task } => recording.name(task) == "main",
    ///     _ => false,
    /// });
    /// assert_eq!(began.count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn recording(&self) -> Recording {
        let copied = self.0.copy();
        let names = copied.names.iter().cloned().collect();
        Recording { copied, names }
    }

    /// Writes files in the format of [`Recording::write_chrome_trace`]: `file` when the recording
    /// ends, at the latest when the loop is closed; beside it `NAME.panic.json` when a task panics
    /// for the first time, and `NAME.stall.json` when the watchdog finds the loop blocked for the
    /// first time.
    ///
    /// The file of a panic is written on the loop's thread, which takes up to some seconds for a
    /// million events; the file of a blocked loop is written on the watchdog's thread. If a file
    /// cannot be written, that is logged.
    pub fn keep_in(&self, file: impl Into<PathBuf>) {
        let kept = Kept { file: file.into(), written: Vec::new() };
        *self.0.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// Writes the file that belongs to this occasion, unless it was written before.
    pub(crate) fn keep(&self, occasion: Option<&'static str>) {
        let Some(file) = self.file_for(occasion) else { return };
        if let Err(error) = self.recording().save(&file) {
            log::error!(target: "asyncio", "cannot write {}: {error}", file.display());
        }
    }

    fn file_for(&self, occasion: Option<&'static str>) -> Option<PathBuf> {
        let mut kept = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_mut()?;
        let Some(occasion) = occasion else { return Some(kept.file.clone()) };
        if kept.written.contains(&occasion) {
            return None;
        }
        kept.written.push(occasion);
        Some(kept.file.with_extension(format!("{occasion}.json")))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recording {
    /// The events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.copied.events.iter().filter_map(|raw| {
            let at = Duration::from_nanos(raw.nanos.saturating_sub(self.copied.start));
            Some(Event { at, what: self.happened(raw)? })
        })
    }

    /// The number of events that were overwritten before this copy was made.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.copied.lost
    }

    /// The time from the beginning of the recording to this copy.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.copied.end.saturating_sub(self.copied.start))
    }

    /// The name of a task: its given name, or `Task-` and its number. The names of the latest 4096
    /// tasks with a given name are kept.
    #[must_use]
    pub fn name(&self, task: u64) -> String {
        const HIDDEN: u64 = 1 << 63;
        match self.names.get(&task) {
            Some(name) => name.clone(),
            None if task >= HIDDEN => format!("machinery-{}", task - HIDDEN),
            None => format!("Task-{task}"),
        }
    }

    /// Writes the recording in the [trace event format] of Chrome, which <https://ui.perfetto.dev>
    /// and `chrome://tracing` open: a slice for each poll, callback and wait of the loop, arrows
    /// from the cause of a wake to the poll that follows, and a bar for the life of each task.
    ///
    /// [trace event format]:
    /// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    ///
    /// # Errors
    ///
    /// Those of the writer.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let recorder = event_loop.record(1000);
    /// event_loop.run_until_complete(async {})?;
    /// let mut trace = Vec::new();
    /// recorder.recording().write_chrome_trace(&mut trace)?;
    /// assert!(trace.starts_with(b"{\"traceEvents\":["));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_chrome_trace(&self, writer: &mut impl Write) -> io::Result<()> {
        chrome::write(self, writer)
    }

    /// Writes the recording to a file, as
    /// [`write_chrome_trace`](Self::write_chrome_trace) does.
    ///
    /// # Errors
    ///
    /// Those of making and writing the file.
    pub fn save(&self, file: impl AsRef<Path>) -> io::Result<()> {
        let mut writer = BufWriter::new(File::create(file)?);
        self.write_chrome_trace(&mut writer)?;
        writer.flush()
    }

    pub(super) fn raw(&self) -> &Copied {
        &self.copied
    }

    pub(super) fn note(&self, number: u64) -> Option<&str> {
        let found = self.copied.notes.iter().find(|(note, _)| *note == number);
        found.map(|(_, text)| text.as_str())
    }

    fn happened(&self, raw: &Raw) -> Option<Happened> {
        let (task, at) = (raw.task, raw.site);
        Some(match raw.what {
            What::Created => Happened::Created { task, at },
            What::Woken => Happened::Woken { task, by: woken_by(raw) },
            What::Begins => Happened::PollBegan { task },
            What::Pends => Happened::Waits { task, what: raw.waits_for(), at },
            What::Ends => Happened::Ended { task, state: end_of(raw) },
            What::CallbackBegins => {
                Happened::CallbackBegan { function: raw.function.unwrap_or_default(), at }
            }
            What::CallbackEnds => Happened::CallbackEnded,
            What::PollBegins => Happened::LookBegan,
            What::PollEnds => Happened::LookEnded,
            What::Note => Happened::Reported(self.note(task)?.to_owned()),
        })
    }
}

fn woken_by(raw: &Raw) -> WokenBy {
    match raw.detail {
        cause::TASK => WokenBy::Task(raw.other),
        cause::MACHINERY => WokenBy::Machinery,
        cause::DESCRIPTOR => WokenBy::Descriptor,
        cause::TIMER => WokenBy::Timer,
        cause::THREAD => WokenBy::Thread,
        _ => WokenBy::Callback,
    }
}

/// How a task ended, by the detail of its event.
pub(super) fn end_of(raw: &Raw) -> TaskState {
    match raw.detail {
        0 => TaskState::Finished,
        1 => TaskState::Cancelled,
        _ => TaskState::Panicked,
    }
}

//! A recording in the trace event format of Chrome.
//!
//! The format is described in "Trace Event Format" by the Chromium project. All slices of a loop
//! are on one track, so each `B` has its `E` in the order of a stack: a poll of a child of a group
//! is inside of the poll of the task that has the group.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::recorder::{Recording, end_of};
use crate::kernel::{Event, What};

/// Writes all of it.
pub(super) fn write(recording: &Recording, writer: &mut impl Write) -> io::Result<()> {
    let mut trace = Trace {
        recording,
        writer,
        is_first: true,
        open: Vec::new(),
        woken: HashMap::new(),
        alive: HashMap::new(),
        flows: 0,
    };
    trace.writer.write_all(b"{\"traceEvents\":[")?;
    trace.head()?;
    for event in &recording.raw().events {
        trace.event(event)?;
    }
    trace.finish()?;
    trace.writer.write_all(b"],\"displayTimeUnit\":\"ns\"}\n")
}

/// What is open on the track.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slice {
    Poll(u64),
    Callback,
    Look,
}

struct Trace<'a, W> {
    recording: &'a Recording,
    writer: &'a mut W,
    is_first: bool,
    open: Vec<Slice>,
    /// Tasks that were woken and not polled since, with the number of the arrow.
    woken: HashMap<u64, u64>,
    /// Tasks whose bar has begun.
    alive: HashMap<u64, ()>,
    flows: u64,
}

impl<W: Write> Trace<'_, W> {
    /// Names of the process and of the track.
    fn head(&mut self) -> io::Result<()> {
        self.meta("process_name", "asyncio")?;
        self.meta("thread_name", "loop")
    }

    fn meta(&mut self, what: &str, name: &str) -> io::Result<()> {
        let fields = format!("\"args\":{{\"name\":{}}}", quoted(name));
        self.put("M", what, "", 0, &fields)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let (at, task) = (event.nanos, event.task);
        match event.what {
            What::Created => self.begin_life(event),
            What::Woken => self.wake(at, task),
            What::Begins => self.begin_poll(event),
            What::Pends => {
                let what = event.waits_for().map_or(String::new(), |what| what.to_string());
                let site = event.site.map_or(String::new(), ToString::to_string);
                let (what, site) = (quoted(&what), quoted(&site));
                let args = format!("\"args\":{{\"waits for\":{what},\"at\":{site}}}");
                self.close(at, Slice::Poll(task), &args)
            }
            What::Ends => {
                let state = quoted(&end_of(event).to_string());
                self.close(at, Slice::Poll(task), &format!("\"args\":{{\"ended\":{state}}}"))?;
                self.end_life(at, task)
            }
            What::CallbackBegins => {
                let site = event.site.map_or(String::new(), ToString::to_string);
                let fields = format!("\"args\":{{\"created at\":{}}}", quoted(&site));
                let name = event.function.unwrap_or("callback");
                self.open(at, Slice::Callback, name, "callback", &fields)
            }
            What::CallbackEnds => self.close(at, Slice::Callback, ""),
            What::PollBegins => self.open(at, Slice::Look, "poll for events", "loop", ""),
            What::PollEnds => self.close(at, Slice::Look, ""),
            What::Note => {
                let text = self.recording.note(task).unwrap_or("a report").to_owned();
                self.put("i", &text, "report", at, "\"s\":\"t\"")
            }
        }
    }

    fn begin_poll(&mut self, event: &Event) -> io::Result<()> {
        let (at, task) = (event.nanos, event.task);
        let name = self.recording.name(task);
        let function = quoted(event.function.unwrap_or_default());
        let args = format!("\"args\":{{\"task\":{task},\"function\":{function}}}");
        self.open(at, Slice::Poll(task), &name, "task", &args)?;
        if let Some(flow) = self.woken.remove(&task) {
            self.put("f", "wake", "wake", at, &format!("\"id\":{flow},\"bp\":\"e\""))?;
        }
        Ok(())
    }

    /// An arrow begins in the slice that is open, if there is one.
    fn wake(&mut self, at: u64, task: u64) -> io::Result<()> {
        if self.open.is_empty() || self.woken.contains_key(&task) {
            return Ok(());
        }
        self.flows += 1;
        self.woken.insert(task, self.flows);
        self.put("s", "wake", "wake", at, &format!("\"id\":{}", self.flows))
    }

    fn begin_life(&mut self, event: &Event) -> io::Result<()> {
        let task = event.task;
        self.alive.insert(task, ());
        let site = quoted(&event.site.map_or(String::new(), ToString::to_string));
        let function = quoted(event.function.unwrap_or_default());
        let args = format!("\"args\":{{\"created at\":{site},\"function\":{function}}}");
        self.put_life("b", event.nanos, task, &args)
    }

    fn end_life(&mut self, at: u64, task: u64) -> io::Result<()> {
        match self.alive.remove(&task) {
            Some(()) => self.put_life("e", at, task, "\"args\":{}"),
            None => Ok(()),
        }
    }

    fn put_life(&mut self, phase: &str, at: u64, task: u64, args: &str) -> io::Result<()> {
        let name = self.recording.name(task);
        self.put(phase, &name, "life", at, &format!("\"id\":\"{task:#x}\",{args}"))
    }

    fn open(
        &mut self,
        at: u64,
        slice: Slice,
        name: &str,
        kind: &str,
        fields: &str,
    ) -> io::Result<()> {
        self.open.push(slice);
        self.put("B", name, kind, at, fields)
    }

    /// Ends a slice. What began before the first event that is left has no beginning here.
    fn close(&mut self, at: u64, slice: Slice, fields: &str) -> io::Result<()> {
        if !self.open.contains(&slice) {
            return Ok(());
        }
        while let Some(open) = self.open.pop() {
            if open == slice {
                return self.put("E", "", "", at, fields);
            }
            self.put("E", "", "", at, "")?;
        }
        Ok(())
    }

    /// What has not ended goes on to the end of the recording.
    fn finish(&mut self) -> io::Result<()> {
        let end = self.recording.raw().end;
        while self.open.pop().is_some() {
            self.put("E", "", "", end, "\"args\":{\"goes on\":true}")?;
        }
        let mut alive: Vec<u64> = self.alive.drain().map(|(task, ())| task).collect();
        alive.sort_unstable();
        alive.into_iter().try_for_each(|task| self.put_life("e", end, task, "\"args\":{}"))
    }

    fn put(
        &mut self,
        phase: &str,
        name: &str,
        kind: &str,
        at: u64,
        fields: &str,
    ) -> io::Result<()> {
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        let since = at.saturating_sub(self.recording.raw().start);
        let (micros, nanos) = (since / 1000, since % 1000);
        let process = std::process::id();
        write!(self.writer, "{comma}\n{{\"ph\":\"{phase}\",\"pid\":{process},\"tid\":1")?;
        write!(self.writer, ",\"ts\":{micros}.{nanos:03}")?;
        if !name.is_empty() {
            write!(self.writer, ",\"name\":{}", quoted(name))?;
        }
        if !kind.is_empty() {
            write!(self.writer, ",\"cat\":\"{kind}\"")?;
        }
        if !fields.is_empty() {
            write!(self.writer, ",{fields}")?;
        }
        write!(self.writer, "}}")
    }
}

/// A string of JSON (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if u32::from(control) < 0x20 => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

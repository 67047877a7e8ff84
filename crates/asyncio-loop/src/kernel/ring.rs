//! The ring of a loop's last events, for the flight recorder.
//!
//! One thread writes, others read a copy while it goes on. An event is a few words, which are
//! written and read one by one: a reader finds out afterwards which events were overwritten
//! meanwhile, and leaves these out. All words are atomics, so a torn event is wrong, but not a data
//! race.

use std::collections::VecDeque;
use std::panic::Location;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use super::site::Site;
use super::waits_for::WaitsFor;
use crate::clock::{Mark, Scale, Ticks};

/// The maximum number of names and notes that are kept.
const TEXTS: usize = 4096;

/// The kind of an event. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    Created = 1,
    Woken,
    Begins,
    Pends,
    Ends,
    CallbackBegins,
    CallbackEnds,
    PollBegins,
    PollEnds,
    Note,
}

impl What {
    const ALL: [Self; 10] = [
        Self::Created,
        Self::Woken,
        Self::Begins,
        Self::Pends,
        Self::Ends,
        Self::CallbackBegins,
        Self::CallbackEnds,
        Self::PollBegins,
        Self::PollEnds,
        Self::Note,
    ];

    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|what| *what as u8 == number)
    }
}

/// The cause of a wake, if it was not a task.
pub(crate) mod cause {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const TASK: u8 = 1;
    pub(crate) const DESCRIPTOR: u8 = 2;
    pub(crate) const TIMER: u8 = 3;
    pub(crate) const THREAD: u8 = 4;
    pub(crate) const MACHINERY: u8 = 5;
}

/// Gives the name of the Rust type of a task or callback.
pub(super) type TypeName = fn() -> &'static str;

/// An event that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    /// On the system's clock.
    pub(crate) nanos: u64,
    pub(crate) task: u64,
    pub(crate) function: Option<&'static str>,
    pub(crate) site: Option<&'static Location<'static>>,
    pub(crate) other: u32,
    pub(crate) detail: u8,
}

impl Event {
    /// What the task waits for from here on.
    pub(crate) fn waits_for(&self) -> Option<WaitsFor> {
        WaitsFor::of_byte(self.detail)
    }
}

/// An event to be written.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    task: u64,
    kind: *mut TypeName,
    rest: u64,
}

impl Entry {
    #[inline]
    pub(super) fn of(what: What) -> Self {
        Self { task: 0, kind: ptr::null_mut(), rest: what as u64 }
    }

    /// The number of its task, or of its note.
    #[inline]
    pub(super) fn number(self, task: u64) -> Self {
        Self { task, ..self }
    }

    /// Its task, with the type of that.
    #[inline]
    pub(super) fn task(self, task: u64, kind: &'static TypeName) -> Self {
        Self { task, ..self.kind(kind) }
    }

    /// The type of its task or callback.
    #[inline]
    pub(super) fn kind(self, kind: &'static TypeName) -> Self {
        Self { kind: ptr::from_ref(kind).cast_mut(), ..self }
    }

    /// A site, or the lower half of the number of another task.
    #[inline]
    pub(super) fn word(self, word: u32) -> Self {
        Self { rest: self.rest | u64::from(word) << 32, ..self }
    }

    /// A kind of wait, a way to end, or a cause.
    #[inline]
    pub(super) fn detail(self, detail: u8) -> Self {
        Self { rest: self.rest | u64::from(detail) << 8, ..self }
    }
}

#[derive(Debug, Default)]
struct Slot {
    stamp: AtomicU64,
    task: AtomicU64,
    kind: AtomicPtr<TypeName>,
    /// From the lowest byte on: what it is; a kind of wait, a way to end, or a cause; and in the
    /// upper half a site, or the lower half of the number of another task.
    rest: AtomicU64,
}

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Ring {
    /// The events. Their number is a power of two.
    slots: Box<[Slot]>,
    /// Events whose writing has begun.
    begun: AtomicU64,
    /// Events that are complete.
    done: AtomicU64,
    /// The stamp of the event that comes next, if that is the begin of a poll; or zero.
    next: AtomicU64,
    ticks: Ticks,
    start: Mark,
    names: Mutex<VecDeque<(u64, String)>>,
    notes: Mutex<VecDeque<(u64, String)>>,
    /// The file that the recording is written to.
    pub(crate) file: Mutex<Option<Kept>>,
}

/// The file of a recording, and the occasions on which it was written.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    pub(crate) written: Vec<&'static str>,
}

/// A copy of a ring.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    /// In the order in which they happened.
    pub(crate) events: Vec<Event>,
    /// Events that were overwritten before this copy.
    pub(crate) lost: u64,
    /// When the recording began, and when this copy was made.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Names of tasks that were given one.
    pub(crate) names: Vec<(u64, String)>,
    /// Notes by their numbers, which are the `task` of their events.
    pub(crate) notes: Vec<(u64, String)>,
}

impl Ring {
    /// Makes a ring for at least `events` events.
    pub(crate) fn new(events: usize) -> Self {
        let ticks = Ticks::new();
        let length = events.clamp(16, 1 << 24).next_power_of_two();
        Self {
            slots: (0..length).map(|_| Slot::default()).collect(),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            next: AtomicU64::new(0),
            ticks,
            start: Mark::now(ticks),
            names: Mutex::default(),
            notes: Mutex::default(),
            file: Mutex::default(),
        }
    }

    /// Writes an event that happens now, on the one thread that writes.
    #[inline]
    pub(super) fn push(&self, entry: Entry) {
        match self.ticks.of_processor() {
            Some(stamp) => self.push_at(stamp, entry),
            None => self.push_by_clock(entry.task, entry.kind, entry.rest),
        }
    }

    /// Gets the words of an entry, since a structure would be passed in memory. It is a call at the
    /// end of [`push`](Self::push), so that the usual way saves no registers.
    #[cold]
    #[inline(never)]
    fn push_by_clock(&self, task: u64, kind: *mut TypeName, rest: u64) {
        self.push_at(self.ticks.now(), Entry { task, kind, rest });
    }

    /// Writes the event that a poll or a callback begins, on the one thread that writes.
    #[inline]
    pub(super) fn push_begin(&self, entry: Entry) {
        let next = self.next.load(Ordering::Relaxed);
        self.next.store(0, Ordering::Relaxed);
        if next == 0 {
            self.push(entry);
        } else {
            self.push_at(next, entry);
        }
    }

    #[inline]
    fn push_at(&self, stamp: u64, entry: Entry) {
        let number = self.begun.load(Ordering::Relaxed);
        self.begun.store(number + 1, Ordering::Relaxed);
        // A reader that sees a word of this event sees that it has begun.
        fence(Ordering::Release);
        let slot = self.slot(number);
        slot.stamp.store(stamp, Ordering::Relaxed);
        slot.task.store(entry.task, Ordering::Relaxed);
        slot.kind.store(entry.kind, Ordering::Relaxed);
        slot.rest.store(entry.rest, Ordering::Relaxed);
        self.done.store(number + 1, Ordering::Release);
    }

    /// Makes the next poll or callback begin at the time of the last event, if only the loop's own
    /// work is in between: not after the end of a task, whose output may be dropped. Reading the
    /// processor's counter is the larger part of the cost of an event.
    #[inline]
    pub(super) fn go_on(&self) {
        let last = self.slot(self.done.load(Ordering::Relaxed).wrapping_sub(1));
        let is = |what: What| last.rest.load(Ordering::Relaxed) as u8 == what as u8;
        let is_end = is(What::Pends) || is(What::CallbackEnds) || is(What::PollEnds);
        let next = if is_end { last.stamp.load(Ordering::Relaxed) } else { 0 };
        self.next.store(next, Ordering::Relaxed);
    }

    /// Makes the next poll or callback begin when it does, because code of a user may run before.
    #[inline]
    pub(super) fn pause(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    /// The place of the event with this number.
    #[inline]
    fn slot(&self, number: u64) -> &Slot {
        // SAFETY: there is at least one place, and their number is a power of two, so the mask
        // keeps the place below it.
        unsafe { self.slots.get_unchecked(number as usize & (self.slots.len() - 1)) }
    }

    /// Writes an event that has a text, on the one thread that writes.
    pub(crate) fn note(&self, text: String) {
        let number = self.done.load(Ordering::Relaxed);
        keep(&self.notes, number, text);
        self.push(Entry::of(What::Note).number(number));
    }

    /// Remembers the name of a task.
    #[cold]
    pub(super) fn name(&self, task: u64, name: &str) {
        keep(&self.names, task, name.to_owned());
    }

    /// Copies what is there.
    pub(crate) fn copy(&self) -> Copied {
        let end = Mark::now(self.ticks);
        let scale = Scale::between(self.start, end);
        let done = self.done.load(Ordering::Acquire);
        let length = self.slots.len() as u64;
        let first = done.saturating_sub(length);
        let raw: Vec<Raw> = (first..done).map(|number| self.read(number)).collect();
        // What was read above is not newer than this.
        fence(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Relaxed);
        // The event with the number `begun - 1`, at the latest, has overwritten this one.
        let intact = begun.saturating_sub(length).max(first);
        let intact_ones = raw.into_iter().skip((intact - first) as usize);
        Copied {
            events: intact_ones.filter_map(|raw| raw.decode(scale)).collect(),
            lost: intact,
            start: self.start.nanos,
            end: end.nanos,
            names: texts(&self.names),
            notes: texts(&self.notes),
        }
    }

    fn read(&self, number: u64) -> Raw {
        let slot = self.slot(number);
        Raw {
            stamp: slot.stamp.load(Ordering::Relaxed),
            task: slot.task.load(Ordering::Relaxed),
            kind: slot.kind.load(Ordering::Relaxed),
            rest: slot.rest.load(Ordering::Relaxed),
        }
    }
}

/// The words of an event as `push_at` has written them; of several events while it is torn.
struct Raw {
    stamp: u64,
    task: u64,
    kind: *const TypeName,
    rest: u64,
}

impl Raw {
    /// Of an event that is not torn.
    fn decode(self, scale: Scale) -> Option<Event> {
        let (what, word) = (What::of(self.rest as u8)?, (self.rest >> 32) as u32);
        // SAFETY: an `Entry` has the address of a `&'static TypeName`, or null.
        let kind = unsafe { self.kind.as_ref() };
        // SAFETY: the event is not torn and no `Woken`, so the word is the bits of a site.
        let site = (what != What::Woken).then(|| unsafe { Site::from_bits(word) });
        Some(Event {
            what,
            nanos: scale.nanos(self.stamp),
            task: self.task,
            function: kind.map(|type_name| type_name()),
            site: site.and_then(Site::get),
            other: if what == What::Woken { word } else { 0 },
            detail: (self.rest >> 8) as u8,
        })
    }
}

fn keep(texts: &Mutex<VecDeque<(u64, String)>>, number: u64, text: String) {
    let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
    if texts.len() == TEXTS {
        texts.pop_front();
    }
    texts.push_back((number, text));
}

fn texts(texts: &Mutex<VecDeque<(u64, String)>>) -> Vec<(u64, String)> {
    texts.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Torn events would have halves that do not fit.
    fn push_numbered(ring: &Ring, number: u64) {
        ring.push(Entry::of(What::Woken).number(number).word(number as u32).detail(number as u8));
    }

    #[test]
    fn the_last_events_are_kept_in_order() {
        let ring = Ring::new(16);
        (0..100).for_each(|number| push_numbered(&ring, number));
        let copy = ring.copy();
        assert_eq!(copy.lost, 84);
        let tasks: Vec<u64> = copy.events.iter().map(|event| event.task).collect();
        assert_eq!(tasks, (84..100).collect::<Vec<_>>());
        assert!(copy.events.is_sorted_by_key(|event| event.nanos));
    }

    #[test]
    fn a_reader_beside_the_writer_sees_no_torn_event() {
        const EVENTS: u64 = if cfg!(miri) { 300 } else { 200_000 };
        let ring = Arc::new(Ring::new(64));
        let reader = {
            let ring = Arc::clone(&ring);
            std::thread::spawn(move || {
                loop {
                    let copy = ring.copy();
                    for (place, event) in copy.events.iter().enumerate() {
                        assert_eq!(event.task, copy.lost + place as u64);
                        assert_eq!(event.other, event.task as u32);
                        assert_eq!(event.detail, event.task as u8);
                    }
                    if copy.events.last().is_some_and(|event| event.task == EVENTS - 1) {
                        return;
                    }
                }
            })
        };
        (0..EVENTS).for_each(|number| push_numbered(&ring, number));
        reader.join().unwrap();
    }

    #[test]
    fn texts_are_bounded() {
        let ring = Ring::new(16);
        (0..2 * TEXTS).for_each(|number| ring.note(number.to_string()));
        let copy = ring.copy();
        assert_eq!(copy.notes.len(), TEXTS);
        let last = copy.events.last().unwrap();
        assert_eq!(copy.notes.last().unwrap(), &(last.task, (2 * TEXTS - 1).to_string()));
    }
}

//! Sockets that were closed here before the other side has sent its end.
//!
//! If unread bytes are left at the close, or if bytes come later, the system answers with a reset.
//! A reset destroys bytes that were sent before and that the peer has not read yet: an early answer
//! would be lost. So such a socket is closed in two steps: its output is shut down, and then input
//! is read and dropped until the peer has sent its end, or a limit passes. All sockets of a loop
//! share one hidden task, one timer and the loop's buffer for that.
//!
//! Most of these sockets are *quiet*: the peer has sent nothing since, and is about to close.
//! Nothing waits for a quiet socket, and only a limited number of them is kept.
//!
//! The time limits are those of nginx (`lingering_timeout`, `lingering_time`).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::machinery::ReadyList;
use asyncio_loop::{
    Deadline, Direction, LoopClosed, LoopRef, LoopTime, LoopWaker, Source, TaskOptions,
};
use rustix::net::{RecvFlags, recv};
use slab::Slab;

use super::buffer_pool;

/// A socket is closed when nothing has come for this long.
const QUIET: Duration = Duration::from_secs(5);
/// A socket is closed after this time in any case.
const LONGEST: Duration = Duration::from_secs(30);
/// A socket is closed when more than this has come.
const MOST: usize = 64 * 1024 * 1024;
/// The maximum that is read from a socket before the others are read.
const AT_ONCE: usize = 1024 * 1024;
/// The maximum number of quiet sockets, since each keeps a descriptor. Further ones are closed at
/// once.
const QUIET_ONES: usize = 256;

/// The part of the program that closed a socket, and that may wait until the socket is gone.
pub(crate) trait Owner {
    /// Adds to the number of sockets that are being closed while their peers send.
    fn linger(&self, change: isize);
}

/// A socket whose output was shut down, while the peer may still send.
pub(crate) struct Lingerer {
    pub(crate) source: Source<OwnedFd>,
    /// The peer has sent bytes that were not read.
    pub(crate) sends: bool,
}

/// All sockets of a loop that are being closed.
pub(crate) struct Lingering {
    event_loop: LoopRef,
    list: OnceCell<ReadyList>,
    sockets: RefCell<Slab<Socket>>,
    /// The number of quiet sockets.
    quiet: Cell<usize>,
    /// The time of the next check for sockets that were quiet for too long.
    checks: RefCell<BTreeSet<(LoopTime, usize)>>,
    /// Whether the hidden task exists.
    has_task: Cell<bool>,
}

struct Socket {
    source: Source<OwnedFd>,
    /// The number of bytes that may still come.
    left: usize,
    /// The time at which bytes came last.
    heard: LoopTime,
    end: LoopTime,
    /// Bytes came that were not read before the close, so the owner waits for the socket's end.
    sends: bool,
    owner: Option<Rc<dyn Owner>>,
}

impl Socket {
    /// The time at which to close the socket if nothing comes.
    fn due(&self) -> LoopTime {
        (self.heard + QUIET).min(self.end)
    }

    /// Reads the available bytes. Returns whether more may come.
    fn look(&mut self, all: &Lingering, number: u32, buffer: &mut [u8]) -> bool {
        let count = match drop_unread(self.source.get_ref(), buffer) {
            Unread::Nothing => 0,
            Unread::End => return false,
            Unread::Bytes(count) => count,
        };
        if count < AT_ONCE {
            self.source.clear_ready(Direction::Read);
        } else {
            all.list().push(number);
        }
        if count > 0 {
            self.heard = all.event_loop.time();
            self.note_sends(all);
        }
        self.left = self.left.saturating_sub(count);
        self.left > 0
    }

    fn note_sends(&mut self, all: &Lingering) {
        if !self.sends {
            self.sends = true;
            all.quiet.set(all.quiet.get() - 1);
            self.tell_owner(1);
        }
    }

    fn tell_owner(&self, change: isize) {
        if let Some(owner) = &self.owner {
            owner.linger(change);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.sends {
            self.tell_owner(-1);
        }
    }
}

/// The unread input of a socket.
pub(crate) enum Unread {
    Nothing,
    /// The peer has sent its end, or is gone.
    End,
    /// This many bytes were read, and there may be more.
    Bytes(usize),
}

/// Reads the available bytes from a socket, up to about a megabyte, and drops them.
pub(crate) fn drop_unread(socket: &OwnedFd, buffer: &mut [u8]) -> Unread {
    let mut bytes = 0;
    while bytes < AT_ONCE {
        match recv(socket, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count) {
            Ok(0) => return Unread::End,
            Ok(count) => bytes += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) if bytes == 0 => return Unread::Nothing,
            Err(rustix::io::Errno::AGAIN) => break,
            Err(_) => return Unread::End,
        }
    }
    Unread::Bytes(bytes)
}

impl Lingering {
    pub(crate) fn new(event_loop: &LoopRef) -> Rc<Self> {
        Rc::new(Self {
            event_loop: event_loop.clone(),
            list: OnceCell::new(),
            sockets: RefCell::default(),
            quiet: Cell::new(0),
            checks: RefCell::default(),
            has_task: Cell::new(false),
        })
    }

    /// Takes a socket whose output was shut down. A closed loop cannot wait, and closes it at once.
    pub(crate) fn add(self: &Rc<Self>, lingerer: Lingerer, owner: Option<Rc<dyn Owner>>) {
        let Lingerer { source, sends } = lingerer;
        if !sends && self.quiet.get() >= QUIET_ONES || self.start().is_err() {
            return;
        }
        let key = self.sockets.borrow().vacant_key();
        let Ok(source) = self.watch(source, key as u32) else { return };
        let now = self.event_loop.time();
        let (left, end) = (MOST, now + LONGEST);
        let socket = Socket { source, left, heard: now, end, sends, owner };
        if sends {
            socket.tell_owner(1);
            // The reader may have left bytes unread.
            self.list().push(key as u32);
        } else {
            self.quiet.set(self.quiet.get() + 1);
        }
        self.checks.borrow_mut().insert((socket.due(), key));
        self.sockets.borrow_mut().insert(socket);
    }

    /// Registers a socket, so that its number is put into the list when bytes come.
    fn watch(&self, source: Source<OwnedFd>, number: u32) -> io::Result<Source<OwnedFd>> {
        let source = match source.is_listed() {
            true => Source::new(&self.event_loop, source.into_inner()),
            false => source,
        };
        source.join_list(self.list(), number)?;
        source.clear_ready(Direction::Read);
        Ok(source)
    }

    fn list(&self) -> &ReadyList {
        self.list.get_or_init(|| ReadyList::new(&self.event_loop))
    }

    fn start(self: &Rc<Self>) -> Result<(), LoopClosed> {
        if self.has_task.get() {
            return Ok(());
        }
        let mut task = Task { lingering: self.clone(), numbers: Vec::new(), timer: None };
        self.event_loop.spawn(poll_fn(move |cx| task.poll(cx)), TaskOptions::new().hidden())?;
        self.has_task.set(true);
        Ok(())
    }

    /// Closes the sockets of `owner` now.
    pub(crate) fn close_all_of(&self, owner: &dyn Owner) {
        let is_of = |socket: &Socket| {
            socket.owner.as_ref().is_some_and(|of| std::ptr::addr_eq(&raw const **of, owner))
        };
        let keys: Vec<_> = {
            let sockets = self.sockets.borrow();
            sockets.iter().filter(|(_, socket)| is_of(socket)).map(|(key, _)| key).collect()
        };
        keys.into_iter().for_each(|key| self.close(key));
    }

    fn close(&self, key: usize) {
        let socket = self.sockets.borrow_mut().try_remove(key);
        if socket.is_some_and(|socket| !socket.sends) {
            self.quiet.set(self.quiet.get() - 1);
        }
    }

    /// Reads the available bytes from a socket, and closes it at the end of its input or when too
    /// much has come.
    fn look_at(&self, key: usize, buffer: &mut [u8]) {
        let is_alive = match self.sockets.borrow_mut().get_mut(key) {
            Some(socket) => socket.look(self, key as u32, buffer),
            None => true,
        };
        if !is_alive {
            self.close(key);
        }
    }

    /// Closes the sockets whose time is over; returns the time of the next check.
    fn close_due(&self) -> Option<LoopTime> {
        loop {
            let first = self.checks.borrow().first().copied();
            let (due, key) = first?;
            if due > self.event_loop.time() {
                return Some(due);
            }
            self.checks.borrow_mut().remove(&(due, key));
            let next = self.sockets.borrow().get(key).map(Socket::due);
            match next.filter(|next| *next > due) {
                Some(next) => drop(self.checks.borrow_mut().insert((next, key))),
                None => self.close(key),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.sockets.borrow().is_empty()
    }
}

/// The hidden task, which exists as long as there are sockets.
struct Task {
    lingering: Rc<Lingering>,
    /// The keys of the sockets that became readable.
    numbers: Vec<u32>,
    timer: Option<(LoopTime, Deadline)>,
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self.lingering.clone();
        self.numbers.clear();
        if lingering.list().poll_take(cx, &mut self.numbers).is_ready() {
            let mut buffer = buffer_pool::take();
            for key in self.numbers.drain(..) {
                lingering.look_at(key as usize, buffer.storage());
            }
            buffer_pool::give(buffer);
            // The task waits for the list in the next step, so that other tasks run.
            cx.waker().wake_by_ref();
        }
        let next = lingering.close_due();
        if lingering.is_empty() {
            return Poll::Ready(());
        }
        self.wait_until(cx, next);
        Poll::Pending
    }

    fn wait_until(&mut self, cx: &Context<'_>, when: Option<LoopTime>) {
        let is_set = self.timer.as_ref().map(|(at, _)| *at) == when;
        if !is_set {
            let event_loop = &self.lingering.event_loop;
            let waker = || LoopWaker::from_context(cx);
            self.timer = when.map(|when| (when, event_loop.wake_at(when, waker())));
        }
    }
}

/// No socket is left, or the loop was closed. Bytes that have come are read, so that they cause no
/// reset.
impl Drop for Task {
    fn drop(&mut self) {
        let sockets = self.lingering.sockets.take();
        self.lingering.quiet.set(0);
        self.lingering.checks.take();
        self.lingering.has_task.set(false);
        let mut buffer = buffer_pool::take();
        for (_, socket) in &sockets {
            drop_unread(socket.source.get_ref(), buffer.storage());
        }
        buffer_pool::give(buffer);
    }
}

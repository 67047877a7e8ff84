//! Sockets that were closed here before the other side has sent its end.
//!
//! The system answers bytes that nobody has read at the close, and bytes that come later, with a
//! reset, and a reset destroys what was sent before and has not been read yet: an early answer
//! would be lost. So such a socket is closed in two steps. The way out is shut, and what still
//! comes is read and dropped until the other side has sent its end, or a limit passes. All sockets
//! of a loop share one hidden task, one timer and the loop's buffer for that.
//!
//! The other side of most of them is *quiet*: it has sent nothing since, and is about to close.
//! Nobody waits for a quiet one, and only so many are kept.
//!
//! The limits of time are those of nginx (`lingering_timeout`, `lingering_time`).

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

/// A socket is closed when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(5);
/// A socket is closed after so long, whatever comes.
const LONGEST: Duration = Duration::from_secs(30);
/// A socket is closed when more than this has come.
const MOST: usize = 64 * 1024 * 1024;
/// More than this is not read from a socket before the others have their turn.
const AT_ONCE: usize = 1024 * 1024;
/// When so many quiet sockets are there, the next is closed at once: each keeps a descriptor.
const QUIET_ONES: usize = 256;

/// The part of the program that closed a socket, and may wait until it is gone.
pub(crate) trait Owner {
    /// So many more sockets are being closed while their other sides send.
    fn linger(&self, change: isize);
}

/// A socket whose way out was shut, while the other side may still send.
pub(crate) struct Lingerer {
    pub(crate) source: Source<OwnedFd>,
    /// It has sent something that nobody has read.
    pub(crate) sends: bool,
}

/// All sockets of a loop that are being closed.
pub(crate) struct Lingering {
    event_loop: LoopRef,
    list: OnceCell<ReadyList>,
    sockets: RefCell<Slab<Socket>>,
    /// The number of those that have sent nothing.
    quiet: Cell<usize>,
    /// When to look whether a socket was quiet for too long.
    checks: RefCell<BTreeSet<(LoopTime, usize)>>,
    /// The hidden task is there.
    has_task: Cell<bool>,
}

struct Socket {
    source: Source<OwnedFd>,
    /// So many bytes may still come.
    left: usize,
    /// When something came last.
    heard: LoopTime,
    end: LoopTime,
    /// Something has come that was not read before the close; the owner waits for the end.
    sends: bool,
    owner: Option<Rc<dyn Owner>>,
}

impl Socket {
    /// When it is to be closed if nothing comes.
    fn due(&self) -> LoopTime {
        (self.heard + QUIET).min(self.end)
    }

    /// Reads what there is; whether more may come.
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
    /// The other side has sent its end, or has gone.
    End,
    /// So many bytes, and perhaps there are more.
    Bytes(usize),
}

/// Reads what there is from a socket, up to about a megabyte, and drops it.
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

    /// Takes a socket whose way out was shut. A closed loop cannot wait, and closes it at once.
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
            // The reader may not have read all that is there.
            self.list().push(key as u32);
        } else {
            self.quiet.set(self.quiet.get() + 1);
        }
        self.checks.borrow_mut().insert((socket.due(), key));
        self.sockets.borrow_mut().insert(socket);
    }

    /// Has the number of a socket put into the list when something comes.
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

    /// Reads what there is from a socket, and closes it if that was the end, or too much.
    fn look_at(&self, key: usize, buffer: &mut [u8]) {
        let is_alive = match self.sockets.borrow_mut().get_mut(key) {
            Some(socket) => socket.look(self, key as u32, buffer),
            None => true,
        };
        if !is_alive {
            self.close(key);
        }
    }

    /// Closes the sockets whose time has come; returns when to look again.
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

/// The hidden task, which is there while there are sockets.
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
            // Waits for the list in the next step: others have their turn.
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

/// No socket is left, or the loop was closed. What has come by then is read, so that it is no
/// reason for a reset.
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

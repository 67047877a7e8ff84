//! `add_reader` and `add_writer`: callbacks for as long as a descriptor is ready.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::driver::{Direction, Source};
use crate::error::LoopClosed;
use crate::event_loop::LoopRef;
use crate::kernel::{LocalWaker, TaskRef};
use crate::report;
use crate::spawn::TaskOptions;

impl LoopRef {
    /// Calls `callback` in every turn in which `fd` has something to read: bytes, a connection to
    /// accept, or the end of the stream.
    ///
    /// A second call for the same descriptor replaces the callback, which does not run any more. A
    /// callback that panics is reported, and stays. It runs in a copy of the current context.
    ///
    /// The loop watches a duplicate: remove the reader before you close the descriptor, or the
    /// file behind it stays open.
    ///
    /// # Errors
    ///
    /// On a closed loop, and what the operating system says: regular files cannot be watched
    /// ([`PermissionDenied`](io::ErrorKind::PermissionDenied)), or there are too many descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (mut ours, mut theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"hello")?;
    ///
    /// let this = event_loop.handle_to_self();
    /// let socket = ours.try_clone()?;
    /// event_loop.add_reader(&socket, move || {
    ///     let mut buffer = [0; 16];
    ///     assert_eq!(ours.read(&mut buffer).unwrap(), 5);
    ///     this.stop();
    /// })?;
    /// event_loop.run_forever()?;
    /// assert!(event_loop.remove_reader(&socket));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_reader(&self, fd: impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
        self.watch(fd.as_fd(), Direction::Read, Box::new(callback))
    }

    /// Calls `callback` in every turn in which `fd` has room to write, as
    /// [`add_reader`](Self::add_reader) does for reading.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn add_writer(&self, fd: impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
        self.watch(fd.as_fd(), Direction::Write, Box::new(callback))
    }

    /// Drops the callback that [`add_reader`](Self::add_reader) was given. False if there is none,
    /// also on a closed loop.
    pub fn remove_reader(&self, fd: impl AsFd) -> bool {
        self.unwatch(fd.as_fd(), Direction::Read)
    }

    /// Drops the callback that [`add_writer`](Self::add_writer) was given. False if there is none,
    /// also on a closed loop.
    pub fn remove_writer(&self, fd: impl AsFd) -> bool {
        self.unwatch(fd.as_fd(), Direction::Write)
    }

    fn watch(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        callback: Box<dyn FnMut()>,
    ) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::Error::other(LoopClosed(())));
        }
        let watch = Rc::new(Watch::new(self, fd, direction, callback)?);
        let polled = Rc::clone(&watch);
        let future = poll_fn(move |cx| polled.poll(cx));
        let task = self.spawn(future, TaskOptions::new().hidden()).map_err(io::Error::other)?;
        let entry = Entry { watch, task: task.task().clone() };
        let replaced = self.local::<Watches>().insert(fd, direction, entry);
        replaced.inspect(Entry::end);
        Ok(())
    }

    fn unwatch(&self, fd: BorrowedFd<'_>, direction: Direction) -> bool {
        !self.is_closed()
            && self.local::<Watches>().remove(fd, direction).inspect(Entry::end).is_some()
    }
}

/// All that a loop watches.
#[derive(Default)]
struct Watches(RefCell<HashMap<(RawFd, Direction), Entry>>);

impl Watches {
    fn insert(&self, fd: BorrowedFd<'_>, direction: Direction, entry: Entry) -> Option<Entry> {
        self.0.borrow_mut().insert((fd.as_raw_fd(), direction), entry)
    }

    fn remove(&self, fd: BorrowedFd<'_>, direction: Direction) -> Option<Entry> {
        self.0.borrow_mut().remove(&(fd.as_raw_fd(), direction))
    }
}

struct Entry {
    watch: Rc<Watch>,
    /// Polls the watch.
    task: TaskRef,
}

impl Entry {
    fn end(&self) {
        self.watch.end();
        self.task.request_end();
    }
}

/// One callback for one direction of one descriptor.
///
/// The driver reports changes, a watch reports a state: so each turn asks the system whether the
/// descriptor is ready still.
struct Watch {
    direction: Direction,
    /// `None` once it was removed.
    source: RefCell<Option<Source<OwnedFd>>>,
    /// `None` while it runs, and once it was removed.
    callback: RefCell<Option<Box<dyn FnMut()>>>,
    ended: Cell<bool>,
}

impl Watch {
    fn new(
        event_loop: &LoopRef,
        fd: BorrowedFd<'_>,
        direction: Direction,
        callback: Box<dyn FnMut()>,
    ) -> io::Result<Self> {
        let source = Source::new(event_loop, fd.try_clone_to_owned()?);
        // Registers it now, so that the caller hears of an error.
        source.clear_ready(direction);
        if let Poll::Ready(Err(error)) =
            source.poll_ready(&Context::from_waker(Waker::noop()), direction)
        {
            return Err(error);
        }
        let (source, callback) = (RefCell::new(Some(source)), RefCell::new(Some(callback)));
        Ok(Self { direction, source, callback, ended: Cell::new(false) })
    }

    /// Ready when the watch has ended.
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if let Err(error) = ready!(self.poll_ready(cx)) {
            let context = report::ErrorContext::new("a descriptor cannot be watched any more");
            report::report(&context.with_error(error));
            return Poll::Ready(());
        }
        self.call();
        if self.ended.get() {
            return Poll::Ready(());
        }
        LocalWaker::from_context(cx).wake();
        Poll::Pending
    }

    fn poll_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Pending };
        loop {
            ready!(source.poll_ready(cx, self.direction))?;
            if is_ready(source.get_ref(), self.direction)? {
                return Poll::Ready(Ok(()));
            }
            source.clear_ready(self.direction);
        }
    }

    /// The callback may remove itself, or put another one in its place.
    fn call(&self) {
        let Some(mut callback) = self.callback.take() else { return };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(&mut callback)) {
            report::callback_panicked("a watched descriptor", payload);
        }
        if !self.ended.get() {
            self.callback.replace(Some(callback));
        }
    }

    fn end(&self) {
        self.ended.set(true);
        let (source, callback) = (self.source.take(), self.callback.take());
        drop((source, callback));
    }
}

fn is_ready(fd: &OwnedFd, direction: Direction) -> io::Result<bool> {
    let flags = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    // A closed peer and an error count as ready: the callback is to see them.
    Ok(poll(&mut [PollFd::new(fd, flags)], Some(&Timespec::default()))? > 0)
}

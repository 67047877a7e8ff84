//! Callbacks for descriptors: `add_reader`, `add_writer`.

use std::any::type_name;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::driver::{Direction, Pollable, Registration};
use crate::error::LoopClosed;
use crate::event_loop::LoopRef;
use crate::kernel::TaskControl;
use crate::kernel::{TaskRef, catch, caught, report_panic};
use crate::spawn::TaskOptions;

/// The callbacks of one loop, by the number of their descriptor.
#[derive(Default)]
struct Watched(RefCell<HashMap<RawFd, Watch>>);

/// One descriptor, with the callback for each direction.
struct Watch {
    registration: Rc<Registration>,
    reader: Option<Watcher>,
    writer: Option<Watcher>,
}

impl Watch {
    fn watcher(&mut self, direction: Direction) -> &mut Option<Watcher> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    fn end(self) {
        self.reader.into_iter().chain(self.writer).for_each(Watcher::end);
    }
}

/// A callback, and the hidden task that calls it.
struct Watcher {
    callback: Rc<Callback>,
    task: TaskRef,
}

impl Watcher {
    /// Drops the callback now, so that it is not called any more.
    fn end(self) {
        self.task.request_cancel();
        self.callback.end();
    }
}

struct Callback {
    /// `None` while the callback is being called, and once it has ended.
    function: RefCell<Option<Box<dyn FnMut()>>>,
    /// `None` once the callback has ended, because the owner may close the descriptor before the
    /// task is polled.
    registration: RefCell<Option<Rc<Registration>>>,
    type_name: &'static str,
}

impl Callback {
    fn new<F: FnMut() + 'static>(function: F) -> Self {
        let function: RefCell<Option<Box<dyn FnMut()>>> = RefCell::new(Some(Box::new(function)));
        Self { function, registration: RefCell::default(), type_name: type_name::<F>() }
    }

    /// Calls the callback each time the descriptor is ready; done once the callback has ended.
    fn poll(&self, cx: &Context<'_>, direction: Direction) -> Poll<()> {
        let Some(registration) = self.registration.borrow().clone() else { return Poll::Ready(()) };
        if registration.poll_ready(cx, direction).is_pending() {
            return Poll::Pending;
        }
        drop(registration);
        self.call();
        let Some(registration) = self.registration.borrow().clone() else { return Poll::Ready(()) };
        // The call fails if the descriptor was closed.
        match expect_event(&registration, direction) {
            Ok(()) => registration.poll_ready(cx, direction).map(drop),
            Err(_) => Poll::Ready(()),
        }
    }

    fn call(&self) {
        let Some(mut function) = self.function.take() else { return };
        if let Err(payload) = catch(&mut function) {
            report_panic(self.type_name, payload);
        }
        // The callback may have removed itself.
        if self.registration.borrow().is_some() {
            self.function.replace(Some(function));
        } else {
            self.drop_function(function);
        }
    }

    fn end(&self) {
        drop(self.registration.take());
        if let Some(function) = self.function.take() {
            self.drop_function(function);
        }
    }

    fn drop_function(&self, function: Box<dyn FnMut()>) {
        caught(self.type_name, || drop(function));
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // Runs when the loop is closed.
        self.end();
    }
}

/// Watching descriptors.
impl LoopRef {
    /// Calls `callback` in every turn in which `fd` is readable: as long as bytes are unread, and
    /// at the end of the stream.
    ///
    /// It replaces an earlier reader of `fd`, which is not called any more. The callback runs in a
    /// copy of the current context; a panic is reported and does not end the watch. The descriptor
    /// has to stay open until [`remove_reader`](Self::remove_reader).
    ///
    /// # Errors
    ///
    /// If the loop is closed, and if a transport uses the descriptor. The poller's error, for
    /// example for regular files, which it does not watch.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let ours = std::rc::Rc::new(ours);
    /// let (this, socket) = (event_loop.loop_ref(), ours.clone());
    /// event_loop.add_reader(&*ours, move || {
    ///     let mut byte = [0];
    ///     (&*socket).read_exact(&mut byte).unwrap();
    ///     if byte == *b"!" {
    ///         this.stop();
    ///     }
    /// })?;
    /// theirs.write_all(b"hello!")?;
    /// event_loop.run_forever()?;
    /// assert!(event_loop.remove_reader(&*ours));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_reader(
        &self,
        fd: impl Pollable,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.watch(fd.as_fd().as_raw_fd(), Direction::Read, Callback::new(callback))
    }

    /// Calls `callback` in every turn in which `fd` is writable.
    ///
    /// Otherwise it behaves as [`add_reader`](Self::add_reader).
    ///
    /// # Errors
    ///
    /// As [`add_reader`](Self::add_reader).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (near, _far) = UnixStream::pair()?;
    /// let this = event_loop.loop_ref();
    /// event_loop.add_writer(&near, move || this.stop())?;
    /// event_loop.run_forever()?; // there is room at once
    /// assert!(event_loop.remove_writer(&near));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_writer(
        &self,
        fd: impl Pollable,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.watch(fd.as_fd().as_raw_fd(), Direction::Write, Callback::new(callback))
    }

    /// Stops calling the reader of `fd`; false if there was none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (near, _far) = UnixStream::pair()?;
    /// event_loop.add_reader(&near, || ())?;
    /// assert!(event_loop.remove_reader(&near));
    /// assert!(!event_loop.remove_reader(&near));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_reader(&self, fd: impl Pollable) -> bool {
        self.unwatch(fd.as_fd().as_raw_fd(), Direction::Read)
    }

    /// Stops calling the writer of `fd`; false if there was none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (near, _far) = UnixStream::pair()?;
    /// event_loop.add_writer(&near, || ())?;
    /// assert!(event_loop.remove_writer(&near));
    /// assert!(!event_loop.remove_writer(&near));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_writer(&self, fd: impl Pollable) -> bool {
        self.unwatch(fd.as_fd().as_raw_fd(), Direction::Write)
    }

    fn watch(&self, fd: RawFd, direction: Direction, callback: Callback) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::Error::other(LoopClosed(())));
        }
        let registration = self.registration(fd)?;
        // So the poller refuses the descriptor now, instead of later in the task.
        registration.register_shared()?;
        let new = self.start_watcher(registration.clone(), direction, callback)?;
        let watched = self.local::<Watched>();
        let old = {
            let mut watched = watched.0.borrow_mut();
            let empty = || Watch { registration, reader: None, writer: None };
            watched.entry(fd).or_insert_with(empty).watcher(direction).replace(new)
        };
        if let Some(old) = old {
            old.end();
        }
        Ok(())
    }

    /// The registration that the callbacks of `fd` share: the one that is there, or a new one.
    fn registration(&self, fd: RawFd) -> io::Result<Rc<Registration>> {
        let watched = self.local::<Watched>();
        let known = watched.0.borrow().get(&fd).map(|watch| watch.registration.clone());
        if let Some(registration) = known.filter(|registration| registration.is_latest()) {
            return Ok(registration);
        }
        // The descriptor was closed without `remove_reader`, and its number belongs to another one.
        let stale = watched.0.borrow_mut().remove(&fd);
        if let Some(stale) = stale {
            stale.end();
        }
        Ok(Rc::new(Registration::shared(self.driver(), fd)?))
    }

    fn start_watcher(
        &self,
        registration: Rc<Registration>,
        direction: Direction,
        callback: Callback,
    ) -> io::Result<Watcher> {
        expect_event(&registration, direction)?;
        callback.registration.replace(Some(registration));
        let callback = Rc::new(callback);
        let called = callback.clone();
        let future = poll_fn(move |cx| called.poll(cx, direction));
        let task = self.spawn(future, TaskOptions::new().hidden()).map_err(io::Error::other)?;
        Ok(Watcher { callback, task: task.task().clone() })
    }

    fn unwatch(&self, fd: RawFd, direction: Direction) -> bool {
        if self.is_closed() {
            return false;
        }
        let watched = self.local::<Watched>();
        let mut watched = watched.0.borrow_mut();
        let Some(watch) = watched.get_mut(&fd) else { return false };
        let watcher = watch.watcher(direction).take();
        let is_unused = watch.reader.is_none() && watch.writer.is_none();
        let unused = if is_unused { watched.remove(&fd) } else { None };
        drop(watched);
        drop(unused);
        let removed = watcher.is_some();
        if let Some(watcher) = watcher {
            watcher.end();
        }
        removed
    }
}

/// Clears the readiness, and makes the poller report the descriptor again if it is ready: the
/// poller reports changes, but the callbacks depend on the state.
fn expect_event(registration: &Registration, direction: Direction) -> io::Result<()> {
    registration.clear(direction);
    registration.rearm()
}

//! A descriptor whose open file is blocking and shared: each call runs on a thread.
//!
//! A reading thread starts only when there are bytes to read. So it does not block for long, and
//! takes no bytes for a read that was dropped.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use asyncio_loop::{Direction, LoopRef, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;

use super::End;
use super::left::Left;
use crate::io::{ByteSource, ByteStream};

/// The number of bytes that one call moves.
const AT_ONCE: usize = 64 * 1024;

pub(super) struct ThreadedStream {
    /// `None` when the stream is closed.
    source: RefCell<Option<Source<Arc<OwnedFd>>>>,
    end: End,
    reading: Cell<Option<Call<Vec<u8>>>>,
    left: Left,
    writing: Cell<Option<Call<usize>>>,
}

impl ThreadedStream {
    pub(super) fn new(event_loop: &LoopRef, fd: OwnedFd, end: End) -> Self {
        Self {
            source: RefCell::new(Some(Source::new(event_loop, Arc::new(fd)))),
            end,
            reading: Cell::new(None),
            left: Left::default(),
            writing: Cell::new(None),
        }
    }

    /// Waits for the bytes that a thread reads; `None` if no thread reads.
    fn poll_call(&self, cx: &Context<'_>) -> Poll<Option<io::Result<Vec<u8>>>> {
        let Some(call) = self.reading.take() else { return Poll::Ready(None) };
        let read = call.poll(cx);
        if read.is_pending() {
            self.reading.set(Some(call));
        }
        read.map(Some)
    }
}

impl ByteSource for ThreadedStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(0)) };
        if self.end == End::Writing {
            return Poll::Pending;
        }
        if let Some(count) = self.left.take(buffer) {
            return Poll::Ready(Ok(count));
        }
        loop {
            if let Some(read) = ready!(self.poll_call(cx)) {
                return Poll::Ready(read.map(|bytes| self.left.give(bytes, buffer)));
            }
            ready!(source.poll_io(cx, Direction::Read, check_readable))?;
            self.reading.set(Some(start_to_read(source.get_ref(), buffer.len().min(AT_ONCE))?));
        }
    }
}

fn start_to_read(fd: &Arc<OwnedFd>, length: usize) -> io::Result<Call<Vec<u8>>> {
    Call::start(fd, PollFlags::IN, move |fd| {
        let mut bytes = vec![0; length];
        let read = rustix::io::read(fd, &mut bytes[..])?;
        bytes.truncate(read);
        Ok(bytes)
    })
}

/// Whether a read would return at once.
fn check_readable(fd: &Arc<OwnedFd>) -> io::Result<()> {
    let mut polled = [PollFd::new(fd, PollFlags::IN)];
    match poll(&mut polled, Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

/// The bytes of a write count as not written until the thread has written them. The caller keeps
/// them until then, and offers them again.
impl ByteStream for ThreadedStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Err(io::ErrorKind::NotConnected.into()) };
        if let Some(call) = self.writing.take() {
            if let Some(written) = call.take() {
                return written;
            }
            self.writing.set(Some(call));
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = first_bytes(slices);
        let call =
            Call::start(source.get_ref(), PollFlags::OUT, move |fd| rustix::io::write(fd, &bytes))?;
        self.writing.set(Some(call));
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(call) = self.writing.take() else { return Poll::Ready(Ok(())) };
        let done = call.poll_done(cx);
        self.writing.set(Some(call));
        done.map(Ok)
    }

    fn can_read(&self) -> bool {
        self.end == End::Reading
    }

    fn can_write(&self) -> bool {
        self.end == End::Writing
    }

    fn can_write_eof(&self) -> bool {
        self.end == End::Writing
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {
        let source = self.source.take();
        if let Some(source) = source {
            source.wake_waiters();
        }
        for waker in
            [self.reading.take().map(Call::give_up), self.writing.take().map(Call::give_up)]
        {
            if let Some(waker) = waker.flatten() {
                waker.wake();
            }
        }
    }

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        if let Some(source) = &*self.source.borrow() {
            look(SockRef::from(source.get_ref()));
        }
    }
}

fn first_bytes(slices: &[IoSlice<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for slice in slices {
        let room = AT_ONCE - bytes.len();
        bytes.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    bytes
}

/// A system call that a thread makes.
struct Call<R>(Arc<Mutex<State<R>>>);

struct State<R> {
    result: Option<io::Result<R>>,
    waiter: Option<Waker>,
}

impl<R: Send + 'static> Call<R> {
    fn start(
        fd: &Arc<OwnedFd>,
        readiness: PollFlags,
        call: impl Fn(&OwnedFd) -> rustix::io::Result<R> + Send + 'static,
    ) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { result: None, waiter: None }));
        let (fd, shared) = (fd.clone(), state.clone());
        let run = move || {
            let result = make(&fd, readiness, call);
            // The descriptor is closed before its owner goes on, if the owner has closed it.
            drop(fd);
            let waiter = {
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                state.result = Some(result);
                state.waiter.take()
            };
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        };
        let thread = thread::Builder::new().name("asyncio-stdio".to_owned()).spawn(run);
        // The kind of the error may be `WouldBlock`, but no later wake would follow.
        thread.map_err(io::Error::other)?;
        Ok(Self(state))
    }

    /// The result, once the call has returned.
    fn take(&self) -> Option<io::Result<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).result.take()
    }

    /// Waits until the call has returned.
    fn poll_done(&self, cx: &Context<'_>) -> Poll<()> {
        // The waker is cloned and dropped with nothing locked, because a foreign waker may run any
        // code.
        let waker = cx.waker().clone();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.result.is_some() {
            return Poll::Ready(());
        }
        let replaced = state.waiter.replace(waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<io::Result<R>> {
        ready!(self.poll_done(cx));
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Abandons the thread. Returns the waker that it would have called.
    fn give_up(self) -> Option<Waker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiter.take()
    }
}

/// Makes a call that may block. The open file may be non-blocking all the same, because every
/// process that shares it can change that.
fn make<R>(
    fd: &OwnedFd,
    readiness: PollFlags,
    call: impl Fn(&OwnedFd) -> rustix::io::Result<R>,
) -> io::Result<R> {
    loop {
        match poll(&mut [PollFd::new(fd, readiness)], None).and_then(|_| call(fd)) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
}

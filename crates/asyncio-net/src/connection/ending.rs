//! The end of a connection: how far it has come, and why.
//!
//! ```text
//!   Open ──close()──▶ Closing: flushes ──▶ Finishing ──▶ Ended ───▶ Closed: no descriptor
//!    │ │                │     │               │    │                   ▲
//!    │ └──abort()───────┼─────┴▶ Aborted ◀────┘────┼───────────────────┤
//!    └──an error────────┴▶ Lost ◀──────────────────┘───────────────────┘
//! ```
//!
//! Only a stream that is no socket may be `Finishing`: it says what it has to say at its end, and
//! waits for the answer.
//!
//! A stream's connection is closed as soon as it has ended or was aborted. One that was lost keeps
//! its descriptor until the writer is closed or the reader has met the error: what the other side
//! sent before may still be read. A protocol's connection is closed by the protocols' task, which
//! calls `connection_lost` first, in a later turn.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use socket2::Socket;

use super::{Connection, HAS_PROTOCOL, KEPT, NOT_OPEN, UNREAD};
use crate::error::SharedError;
use crate::io::{Io, Owner};
use crate::waiters::Place;

/// How far a connection has come on the way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Bytes go both ways.
    Open,
    /// `close` was called: what is queued still leaves, and nothing is received.
    Closing,
    /// Everything that was written has been taken; the stream below exchanges its own ends.
    Finishing,
    /// It failed: nothing leaves any more.
    Lost,
    /// It was closed, and everything has left.
    Ended,
    /// It was aborted: what was queued is gone.
    Aborted,
    /// The descriptor is gone.
    Closed,
}

/// The end of a stream that is no socket, in a task of its own.
struct Finishing {
    connection: Rc<Connection>,
    /// Where the task waits for the connection to be aborted.
    place: Place,
}

impl Finishing {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let connection = &self.connection;
        if connection.stage.get() == Stage::Finishing {
            connection.wait(cx, &self.place);
            let finished = ready!(connection.io.poll_close(cx));
            connection.finished(finished);
        }
        Poll::Ready(())
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.forget_wait(&self.place);
        if connection.stage.get() == Stage::Finishing {
            // The loop was closed.
            connection.finish(Stage::Aborted);
        }
    }
}

impl Connection {
    /// Whether the way out works: writers are not asked to stop, and bytes leave.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.has(NOT_OPEN)
    }

    /// Whether nothing leaves any more.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.stage.get() >= Stage::Lost
    }

    /// Whether it was closed from this side: readers are at their end.
    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        !matches!(self.stage.get(), Stage::Open | Stage::Lost)
    }

    /// Whether what is queued leaves, and then the connection ends.
    #[inline]
    pub(super) fn is_closing(&self) -> bool {
        self.stage.get() == Stage::Closing
    }

    /// Whether the descriptor is gone.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.stage.get() == Stage::Closed
    }

    /// Goes on to `stage`; returns the one before.
    fn enter(&self, stage: Stage) -> Stage {
        self.set(NOT_OPEN);
        self.stage.replace(stage)
    }

    /// The error that ended it, if one did.
    pub(crate) fn error(&self) -> Option<io::Error> {
        Some(self.rare.get()?.error.get()?.to_io())
    }

    /// Takes no more, sends what is queued, and ends.
    pub(crate) fn close(self: &Rc<Self>) {
        match self.stage.get() {
            Stage::Open => {
                self.enter(Stage::Closing);
                self.flush();
                if self.is_closing() && self.queued() == 0 {
                    self.ended();
                }
            }
            Stage::Lost if !self.has(HAS_PROTOCOL) => self.closed(),
            _ => {}
        }
    }

    /// Ends at once; what is queued is dropped.
    pub(crate) fn abort(&self) {
        match self.stage.get() {
            Stage::Open | Stage::Closing | Stage::Finishing | Stage::Ended => {
                self.finish(Stage::Aborted);
            }
            Stage::Lost if !self.has(HAS_PROTOCOL) => self.closed(),
            _ => {}
        }
    }

    /// Everything has left that was to leave.
    pub(crate) fn ended(self: &Rc<Self>) {
        match self.io {
            Io::Socket(_) => self.finish(Stage::Ended),
            Io::Other(_) => self.finish_stream(),
        }
    }

    /// Has the stream below say what it has to say at its end.
    fn finish_stream(self: &Rc<Self>) {
        self.enter(Stage::Finishing);
        // Most streams have nothing to say, and need no task.
        match self.io.poll_close(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(finished) => self.finished(finished),
            Poll::Pending => {
                let finishing = Finishing { connection: self.clone(), place: Place::default() };
                self.network.spawn(poll_fn(move |cx| finishing.poll(cx)));
            }
        }
    }

    fn finished(&self, finished: io::Result<()>) {
        match finished {
            _ if self.stage.get() != Stage::Finishing => {}
            Ok(()) => self.finish(Stage::Ended),
            Err(error) => self.fail(error),
        }
    }

    /// The connection is over because of `error`.
    pub(crate) fn fail(&self, error: io::Error) {
        if self.is_over() {
            return;
        }
        self.rare().error.get_or_init(|| SharedError::new(error));
        let was_open = self.is_open();
        if self.has(HAS_PROTOCOL) || !was_open {
            return self.finish(Stage::Lost);
        }
        // What the other side sent before may still be read, until the writer is closed.
        self.enter(Stage::Lost);
        self.drop_queue();
        self.wake_waiters();
    }

    /// Nothing leaves any more. A protocol is told of it before the descriptor goes.
    fn finish(&self, stage: Stage) {
        self.enter(stage);
        self.drop_queue();
        if self.has(HAS_PROTOCOL) {
            self.end_protocol();
        } else {
            self.closed();
        }
    }

    fn drop_queue(&self) {
        let queue = self.queue.take();
        if let Some(mut queue) = queue {
            self.rare().is_cut.set(true);
            queue.clear();
            self.network.give_queue(queue);
        }
    }

    /// Whether not everything that was written has left, nor ever will.
    pub(super) fn is_cut(&self) -> bool {
        self.rare.get().is_some_and(|rare| rare.is_cut.get())
    }

    /// A stream's reader met an error: the connection is over for its writer, too. There is nothing
    /// left to be read, so the descriptor goes.
    #[cold]
    pub(super) fn stream_failed<T>(&self, read: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(error)) = read else { return read };
        self.fail(error);
        if !self.is_closed() {
            self.closed();
        }
        Poll::Ready(Err(self.error().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())))
    }

    /// Reads from a connection that has ended: what came before, then the error, if one ended it,
    /// or the end of the stream.
    #[cold]
    pub(super) fn poll_rest(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = if self.is_shut() { Poll::Ready(Ok(0)) } else { self.io.poll_read(cx, buffer) };
        let Some(error) = self.error() else { return read };
        match read {
            Poll::Ready(Ok(1..)) => read,
            // The other side took no more, but it had sent everything, its end too.
            Poll::Ready(Ok(0)) | Poll::Pending if self.is_half_broken(&error) => read,
            _ => Poll::Ready(Err(error)),
        }
    }

    /// Whether `error` ended the way out only, and what the other side sent may still be read.
    fn is_half_broken(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::BrokenPipe && !self.is_shut()
    }

    /// Lets go of the socket, which stays open; to everybody here the connection is closed.
    /// `None` if there is none to be had.
    pub(crate) fn take_socket(&self) -> Option<Socket> {
        let socket = self.io.take_socket()?;
        self.closed();
        Some(socket)
    }

    /// Gives the descriptor up and tells everybody.
    pub(crate) fn closed(&self) {
        let before = self.enter(Stage::Closed);
        if self.has(KEPT) {
            // They are remembered once they were asked for, which costs too much to do it for
            // nobody.
            self.io.local_address();
            self.io.peer_address();
        }
        match &self.io {
            Io::Socket(socket) if before == Stage::Ended => {
                let owner = self.server().map(|server| server.clone() as Rc<dyn Owner>);
                self.network.close_gently(socket, self.has(UNREAD), owner);
            }
            io if before == Stage::Ended => io.close(),
            io => io.abort(),
        }
        self.wake_waiters();
        if let Some(server) = self.server().filter(|_| before != Stage::Closed) {
            server.connection_closed(self);
        }
    }
}

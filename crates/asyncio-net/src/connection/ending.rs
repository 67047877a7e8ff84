//! The end of a connection: its stages, and the error that caused it.
//!
//! ```text
//!   Open ──close()──▶ Closing: flushes ──▶ Finishing ──▶ Ended ───▶ Closed: no descriptor
//!    │ │                │     │               │    │                   ▲
//!    │ └──abort()───────┼─────┴▶ Aborted ◀────┘────┼───────────────────┤
//!    └──an error────────┴▶ Lost ◀──────────────────┘───────────────────┘
//! ```
//!
//! Only a stream that is not a socket can be `Finishing`: it exchanges its own closing messages,
//! such as an alert of TLS.
//!
//! A stream's connection is closed as soon as it has ended or was aborted. A lost connection keeps
//! its descriptor until the writer is closed or the reader has got the error, because bytes that
//! the peer sent before can still be read. A protocol's connection is closed by the protocols'
//! task, which calls `connection_lost` first, in a later turn.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use socket2::Socket;

use super::{Connection, HAS_PROTOCOL, KEPT, NOT_OPEN, UNREAD};
use crate::error::SharedError;
use crate::io::{Io, Owner};
use crate::waiters::Place;

/// The stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Bytes are sent and received.
    Open,
    /// `close` was called: queued bytes are still sent, and nothing is received.
    Closing,
    /// All written bytes have been taken; the stream below exchanges its closing messages.
    Finishing,
    /// The connection failed: nothing is sent any more.
    Lost,
    /// The connection was closed, and everything has been sent.
    Ended,
    /// The connection was aborted: queued bytes were dropped.
    Aborted,
    /// The descriptor is closed.
    Closed,
}

/// The closing exchange of a stream that is not a socket, in a task of its own.
struct Finishing {
    connection: Rc<Connection>,
    /// The waker of the task, for when the connection is aborted.
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
    /// Whether output works: writers need not stop, and bytes are sent.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.has(NOT_OPEN)
    }

    /// Whether nothing is sent any more.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.stage.get() >= Stage::Lost
    }

    /// Whether the connection was closed from this side, so that readers are at the end.
    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        !matches!(self.stage.get(), Stage::Open | Stage::Lost)
    }

    /// Whether the connection ends once queued bytes are sent.
    #[inline]
    pub(super) fn is_closing(&self) -> bool {
        self.stage.get() == Stage::Closing
    }

    /// Whether the descriptor is gone.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.stage.get() == Stage::Closed
    }

    /// Moves on to `stage`, and returns the previous one.
    fn enter(&self, stage: Stage) -> Stage {
        self.set(NOT_OPEN);
        self.stage.replace(stage)
    }

    /// The error that ended the connection, if one did.
    pub(crate) fn error(&self) -> Option<io::Error> {
        Some(self.rare.get()?.error.get()?.to_io())
    }

    /// Accepts no more bytes, sends the queued ones, and ends.
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

    /// Ends at once; queued bytes are dropped.
    pub(crate) fn abort(&self) {
        match self.stage.get() {
            Stage::Open | Stage::Closing | Stage::Finishing | Stage::Ended => {
                self.finish(Stage::Aborted);
            }
            Stage::Lost if !self.has(HAS_PROTOCOL) => self.closed(),
            _ => {}
        }
    }

    /// Called when everything has been sent.
    pub(crate) fn ended(self: &Rc<Self>) {
        match self.io {
            Io::Socket(_) => self.finish(Stage::Ended),
            Io::Other(_) => self.finish_stream(),
        }
    }

    /// Starts the closing exchange of the stream below.
    fn finish_stream(self: &Rc<Self>) {
        self.enter(Stage::Finishing);
        // Most streams have no closing exchange, and need no task.
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

    /// Ends the connection because of `error`.
    pub(crate) fn fail(&self, error: io::Error) {
        if self.is_over() {
            return;
        }
        self.rare().error.get_or_init(|| SharedError::new(error));
        let was_open = self.is_open();
        if self.has(HAS_PROTOCOL) || !was_open {
            return self.finish(Stage::Lost);
        }
        // Bytes that the peer sent before can still be read, until the writer is closed.
        self.enter(Stage::Lost);
        self.drop_queue();
        self.wake_waiters();
    }

    /// Ends the output. A protocol is informed before the descriptor is closed.
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

    /// Whether some written bytes were not sent, and never will be.
    pub(super) fn is_cut(&self) -> bool {
        self.rare.get().is_some_and(|rare| rare.is_cut.get())
    }

    /// A stream's reader met an error: the connection is over for its writer, too. Nothing remains
    /// to be read, so the descriptor is closed.
    #[cold]
    pub(super) fn stream_failed<T>(&self, read: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(error)) = read else { return read };
        self.fail(error);
        if !self.is_closed() {
            self.closed();
        }
        Poll::Ready(Err(self.error().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())))
    }

    /// Reads from a connection that has ended: first bytes that came before, then the error that
    /// ended it, or the end of the stream.
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
            // The peer accepted no more bytes, but it had sent everything, including its end.
            Poll::Ready(Ok(0)) | Poll::Pending if self.is_half_broken(&error) => read,
            _ => Poll::Ready(Err(error)),
        }
    }

    /// Whether `error` ended the output only, so that bytes from the peer can still be read.
    fn is_half_broken(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::BrokenPipe && !self.is_shut()
    }

    /// Gives the socket away, open; for everything here the connection is closed. `None` if there
    /// is no socket.
    pub(crate) fn take_socket(&self) -> Option<Socket> {
        let socket = self.io.take_socket()?;
        self.closed();
        Some(socket)
    }

    /// Closes the descriptor, and wakes all waiters.
    pub(crate) fn closed(&self) {
        let before = self.enter(Stage::Closed);
        if self.has(KEPT) {
            // The addresses are kept once they were read. Reading them costs too much to do it
            // without need.
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

//! The queue of sockets that other threads hand over.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use asyncio_loop::ErrorContext;
use asyncio_loop::machinery::Share;

use super::shared::CloseAtEnd;
use super::{Serve, Shared};
use crate::connect::ConnectedSocket;

/// The queue by which other threads hand sockets to a server; see
/// [`Server::intake`](crate::Server::intake).
///
/// Clones are the same intake. It does not keep the server alive.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{ServerAddress, open_connection, start_server};
///
/// asyncio_task::run(async {
///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello");
///     let server = start_server(ServerAddress::nothing(), hello).await?;
///     let intake = server.intake();
///     let (ours, theirs) = UnixStream::pair()?;
///     intake.hand_over(theirs).expect("it serves");
///     assert_eq!(intake.client_count(), 1);
///     let (mut reader, _writer) = open_connection(ours).await?;
///     assert_eq!(reader.read_to_end().await?, "hello");
///
///     server.close();
///     let (socket, _) = UnixStream::pair()?;
///     assert!(intake.is_closed() && intake.hand_over(socket).is_err());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

struct Inner {
    waiting: Mutex<Waiting>,
    /// The number of open connections of the server.
    open: AtomicUsize,
}

/// Sockets that were handed over and have not been taken.
struct Waiting {
    sockets: VecDeque<ConnectedSocket>,
    taker: Option<Waker>,
    is_closed: bool,
}

impl Intake {
    pub(super) fn new() -> Self {
        let waiting = Waiting { sockets: VecDeque::new(), taker: None, is_closed: false };
        Self(Arc::new(Inner { waiting: Mutex::new(waiting), open: AtomicUsize::new(0) }))
    }

    /// Hands a connected socket to the server, which serves it on its own thread. Returns at once.
    ///
    /// # Errors
    ///
    /// The socket itself, if the server is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{JoinedStream, ServerAddress, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello");
    ///     let server = start_server(ServerAddress::nothing(), hello).await?;
    ///     let intake = server.intake();
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     assert!(intake.hand_over(theirs).is_ok());
    ///     let mut client = JoinedStream::from_std(ours)?;
    ///     assert_eq!(client.reader().read_to_end().await?, "hello");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn hand_over(&self, socket: impl Into<ConnectedSocket>) -> Result<(), ConnectedSocket> {
        let socket = socket.into();
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return Err(socket);
        }
        waiting.sockets.push_back(socket);
        let taker = waiting.taker.take();
        drop(waiting);
        if let Some(taker) = taker {
            taker.wake();
        }
        Ok(())
    }

    /// Whether the server or its loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerAddress, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello");
    ///     let server = start_server(ServerAddress::nothing(), hello).await?;
    ///     let intake = server.intake();
    ///     assert!(!intake.is_closed());
    ///     server.close();
    ///     assert!(intake.is_closed());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn is_closed(&self) -> bool {
        self.waiting().is_closed
    }

    /// The number of the server's connections: open ones, and sockets that were handed over and not
    /// taken yet.
    ///
    /// The number may change at any time. Use it to choose the server with the fewest clients.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::{ServerAddress, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello");
    ///     let server = start_server(ServerAddress::nothing(), hello).await?;
    ///     let intake = server.intake();
    ///     let (_ours, theirs) = UnixStream::pair()?;
    ///     assert!(intake.hand_over(theirs).is_ok());
    ///     assert_eq!(intake.client_count(), 1);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn client_count(&self) -> usize {
        self.0.open.load(Ordering::Relaxed) + self.waiting().sockets.len()
    }

    pub(super) fn set_open(&self, count: usize) {
        self.0.open.store(count, Ordering::Relaxed);
    }

    /// Refuses further sockets, and closes those that were not taken.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        let sockets = std::mem::take(&mut waiting.sockets);
        let taker = waiting.taker.take();
        drop(waiting);
        drop(sockets);
        if let Some(taker) = taker {
            taker.wake();
        }
    }

    /// Starts the task that serves the sockets.
    pub(super) fn start(&self, shared: &Rc<Shared>) {
        let intake = self.clone();
        let server = CloseAtEnd(shared.clone());
        let share = Share::default();
        shared.spawn(poll_fn(move |cx| intake.poll_serve(cx, &share, &server.0)));
    }

    fn poll_serve(&self, cx: &mut Context<'_>, share: &Share, server: &Rc<Shared>) -> Poll<()> {
        while let Some(socket) = ready!(share.poll(cx, |cx| self.poll_take(cx))) {
            serve(server, socket);
        }
        Poll::Ready(())
    }

    /// The next socket; `None` once the intake is closed.
    fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<ConnectedSocket>> {
        let mut waiting = self.waiting();
        let socket = waiting.sockets.pop_front();
        if socket.is_none() && !waiting.is_closed {
            waiting.taker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(socket)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(server: &Rc<Shared>, socket: ConnectedSocket) {
    if let Some(Serve::Acceptor(hand_over)) = &server.serve {
        return server.hand_over(hand_over, socket);
    }
    match socket.open(server.network().event_loop()) {
        Ok(stream) => Shared::accepted(server, stream.into()),
        Err(error) => {
            let context = ErrorContext::new("a socket that was handed over is of no use");
            server.network().event_loop().report(&context.with_error(error));
        }
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("clients", &self.client_count())
            .field("closed", &self.is_closed())
            .finish()
    }
}

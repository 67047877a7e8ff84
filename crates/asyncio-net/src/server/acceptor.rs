//! Servers that accept connections and hand them over to another loop or program.

use std::cell::RefCell;

use asyncio_loop::ErrorContext;

use super::{Intake, Serve, ServerAddress, Shared, StartServer};
use crate::connect::ConnectedSocket;
use crate::fence;

/// The user's function that takes an accepted socket.
pub(crate) type HandOver = RefCell<Box<dyn FnMut(ConnectedSocket)>>;

/// Listens on `address` and passes each accepted socket to `hand_over`, which gives it to another
/// server: on a loop of another thread, by its [`Intake`], or in another program.
///
/// The server that this returns has no clients of its own: closing it, or waiting for its end, does
/// not affect sockets that it has accepted. A `hand_over` that panics is reported, and the server
/// goes on.
///
/// # Errors
///
/// If the address cannot be resolved or listened on.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the sockets that listen already.
///
/// # From asyncio
///
/// asyncio has no such function; programs call `sock_accept` on one loop and
/// `connect_accepted_socket` on another.
///
/// # Examples
///
/// This hands each socket to the loop with the fewest clients. [`round_robin`] is simpler.
///
/// ```
/// use asyncio_net::{ServerAddress, create_acceptor, open_connection, start_server};
/// use asyncio_task::LoopThread;
///
/// let workers = [LoopThread::start()?, LoopThread::start()?];
/// let mut intakes = Vec::new();
/// for worker in &workers {
///     intakes.push(worker.run(|| async {
///         let handler = async |_, writer: asyncio_net::StreamWriter| writer.write(b"hello");
///         start_server(ServerAddress::nothing(), handler).await.map(|server| server.intake())
///     })??);
/// }
/// asyncio_task::run(async {
///     let acceptor = create_acceptor("127.0.0.1:0", move |socket| {
///         let idlest = intakes.iter().min_by_key(|intake| intake.client_count()).unwrap();
///         // A socket that comes back is closed.
///         let _ = idlest.hand_over(socket);
///     })
///     .await?;
///     let (mut reader, _writer) = open_connection(acceptor.local_addr()?).await?;
///     assert_eq!(reader.read_to_end().await?, "hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn create_acceptor(
    address: impl Into<ServerAddress>,
    hand_over: impl FnMut(ConnectedSocket) + 'static,
) -> StartServer {
    StartServer::new(address.into(), Serve::Acceptor(RefCell::new(Box::new(hand_over))))
}

/// Returns a function for [`create_acceptor`] that hands sockets to `intakes` in turn. Closed
/// intakes are skipped. If all are closed, the socket is closed.
///
/// # Examples
///
/// ```
/// use asyncio_net::{ServerAddress, create_acceptor, open_connection, round_robin, start_server};
///
/// asyncio_task::run(async {
///     // Usually each of them runs on a thread of its own.
///     let mut intakes = Vec::new();
///     for name in [b"A", b"B"] {
///         let handler = async move |_, writer: asyncio_net::StreamWriter| writer.write(name);
///         intakes.push(start_server(ServerAddress::nothing(), handler).await?.intake());
///     }
///     let acceptor = create_acceptor("127.0.0.1:0", round_robin(intakes)).await?;
///     for expected in ["A", "B", "A"] {
///         let (mut reader, _writer) = open_connection(acceptor.local_addr()?).await?;
///         assert_eq!(reader.read_to_end().await?, expected);
///     }
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn round_robin(mut intakes: Vec<Intake>) -> impl FnMut(ConnectedSocket) + 'static {
    move |mut socket| {
        for _ in 0..intakes.len() {
            let handed = intakes[0].hand_over(socket);
            intakes.rotate_left(1);
            match handed {
                Ok(()) => return,
                Err(refused) => socket = refused,
            }
        }
    }
}

impl Shared {
    pub(super) fn hand_over(&self, hand_over: &HandOver, socket: ConnectedSocket) {
        let mut hand_over = hand_over.borrow_mut();
        if let Err(panic) = fence::call(|| hand_over(socket)) {
            let context = ErrorContext::new("handing an accepted socket over failed");
            self.network().event_loop().report(&panic.describe(context));
        }
    }
}

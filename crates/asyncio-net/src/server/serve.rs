//! Servers with a handler task for each client.

use std::error::Error;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{ErrorContext, TaskOptions};
use pin_project_lite::pin_project;

use super::{Serve, ServerAddress, StartServer};
use crate::connection::Connection;
use crate::fence;
use crate::stream::{DEFAULT_LIMIT, StreamReader, StreamWriter, streams};
use crate::transport::Transport;

/// Listens on `address` and serves each client by `handler`, in a task of its own.
///
/// `address` is an [`Endpoint`](crate::Endpoint) or a value that converts into one, or a socket
/// that listens already. The methods of [`StartServer`] are the keyword arguments.
///
/// When a handler returns, its connection is closed. If it fails or panics, the loop's exception
/// handler gets a report with the peer's address, the connection is closed, and the server goes on.
///
/// A closure whose last line is `Ok(())` has to name the error's type: `Ok::<_,
/// std::io::Error>(())`.
///
/// The handler runs for many connections at a time, so it is an `AsyncFn`: state that it changes
/// has to be in a `Cell` or `RefCell`.
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
/// # Examples
///
/// ```
/// use asyncio_net::{open_connection, start_server};
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |mut reader, writer| {
///         while let Some(line) = reader.next_line().await? {
///             writer.write(&line);
///             writer.drain().await?;
///         }
///         writer.close().await
///     })
///     .await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write(b"hello\n");
///     assert_eq!(reader.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
///
/// A handler that counts its clients:
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use asyncio_net::{open_connection, start_server};
///
/// asyncio_task::run(async {
///     let clients = Rc::new(Cell::new(0));
///     let seen = Rc::clone(&clients);
///     let server = start_server("127.0.0.1:0", async move |_reader, writer| {
///         seen.set(seen.get() + 1);
///         writer.write(format!("you are number {}\n", seen.get()));
///     })
///     .await?;
///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
///     assert_eq!(reader.read_line().await?, "you are number 1\n");
///     assert_eq!(clients.get(), 1);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
///
/// It cannot change a variable around it:
///
/// ```compile_fail,E0596
/// use asyncio_net::start_server;
///
/// # async fn f() {
/// let mut clients = 0;
/// start_server("127.0.0.1:0", async move |_reader, writer| {
///     clients += 1;
///     writer.write(format!("you are number {clients}\n"));
/// });
/// # }
/// ```
#[doc(alias = "TcpListener")]
#[track_caller]
pub fn start_server<H, R>(address: impl Into<ServerAddress>, handler: H) -> StartServer
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: HandlerResult,
{
    let handler = Rc::new(handler);
    let site = Location::caller();
    let serve = move |connection| serve(&handler, connection, site);
    StartServer::new(address.into(), Serve::Client(Box::new(serve)))
}

/// Starts the task that serves one client of the server that was made at `site`.
fn serve<H, R>(handler: &Rc<H>, connection: Rc<Connection>, site: &'static Location<'static>)
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: HandlerResult,
{
    let serving = Serving(connection.clone());
    let handler = handler.clone();
    let task = async move {
        // The streams are made here, so that the task holds them once, in the handler's future.
        let (reader, writer) = serving.streams();
        let Some(future) = serving.report_panic(|| handler(reader, writer)) else { return };
        match (CatchPanic { future }.await).map(R::failure) {
            Err(panic) => report(&serving.0, |context| panic.describe(context)),
            Ok(Some(error)) => report(&serving.0, |context| context.with_error(error)),
            Ok(None) => {}
        }
    };
    // The task must not run before the server knows it.
    let options = TaskOptions::new().site(site).eager_start(false);
    // Only a closed loop refuses the call.
    if let Ok(task) = connection.network().event_loop().spawn(task, options) {
        connection.set_task(task.task().clone());
    }
}

/// A guard: the client is being served until it is dropped.
struct Serving(Rc<Connection>);

impl Serving {
    fn streams(&self) -> (StreamReader, StreamWriter) {
        let limit = self.0.server().map_or(DEFAULT_LIMIT, |server| server.limit());
        streams(self.0.clone(), limit)
    }

    /// A handler may panic before it returns a future.
    fn report_panic<F>(&self, call: impl FnOnce() -> F) -> Option<F> {
        let report = |panic: fence::Panic| report(&self.0, |context| panic.describe(context));
        fence::call(call).map_err(report).ok()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.0.has_streams() {
            // The handler never started.
            self.0.close();
        }
        if let Some(server) = self.0.server() {
            server.handler_ended(&self.0);
        }
    }
}

pin_project! {
    /// A future that returns a panic as its output.
    struct CatchPanic<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, fence::Panic>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        match fence::call(|| future.poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// The types that a client's handler may return: `()` or a `Result`.
///
/// # Examples
///
/// ```
/// use asyncio_net::{HandlerResult, StreamReader, StreamWriter, start_server};
///
/// async fn fails(_: StreamReader, _: StreamWriter) -> Result<(), Box<dyn std::error::Error>> {
///     Err("reported, with the client's address".into())
/// }
///
/// fn is_one<R: HandlerResult>() {}
/// is_one::<()>();
/// asyncio_task::run(async {
///     assert!(start_server("127.0.0.1:0", fails).await?.is_serving());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler of connections cannot return `{Self}`",
    label = "neither `()` nor a `Result`",
    note = "the error of the `Result` is one that converts into `Box<dyn Error>`"
)]
pub trait HandlerResult: sealed::Sealed + 'static {
    #[doc(hidden)]
    fn failure(self) -> Option<Box<dyn Error>>;
}

impl HandlerResult for () {
    fn failure(self) -> Option<Box<dyn Error>> {
        None
    }
}

impl<T: 'static, E: Into<Box<dyn Error>> + 'static> HandlerResult for Result<T, E> {
    fn failure(self) -> Option<Box<dyn Error>> {
        self.err().map(Into::into)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}

/// Reports to the loop's exception handler that a client was not served to the end.
#[cold]
fn report(connection: &Rc<Connection>, how: impl FnOnce(ErrorContext) -> ErrorContext) {
    let transport = Transport(connection.clone());
    let context = how(ErrorContext::new("a client's handler failed"))
        .field("peer", transport.peer_address())
        .field("transport", format_args!("{transport:?}"));
    connection.network().event_loop().report(&context);
}

//! Streams that are put over other streams: TLS, a proxy's tunnel, compression.
//!
//! A [`Layer`] makes such a stream. Connections and servers put their layers over a new socket
//! before streams or a protocol get it; `upgrade_streams` and `upgrade_transport` put a stream over
//! a connection that is in use.

mod plain;
mod upgrade;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

pub use self::plain::PlainStream;
pub use self::upgrade::{upgrade_streams, upgrade_transport};
use crate::io::{ByteStream, Io};
use crate::network::Network;

/// The role of a [`Layer`] on the connecting side.
#[derive(Debug)]
pub enum Connecting {}

/// The role of a [`Layer`] on the accepting side.
#[derive(Debug)]
pub enum Accepting {}

/// Makes a stream over each connection of a client ([`Connecting`]) or a server ([`Accepting`]),
/// before streams or a protocol get the connection.
///
/// Pass it to [`Connect::layer`](crate::Connect::layer) or
/// [`StartServer::layer`](crate::StartServer::layer). A type that serves both sides implements the
/// trait for both.
///
/// # Examples
///
/// A client's connection through a proxy for HTTP:
///
/// ```
/// use std::future::poll_fn;
/// use std::io::{self, IoSlice};
/// use asyncio_net::{ByteSource, ByteStream, Connecting, Layer, PlainStream};
/// use asyncio_net::{open_connection, start_server};
///
/// /// Has the proxy connect to a host of its side.
/// struct Tunnel(&'static str);
///
/// impl Layer<Connecting> for Tunnel {
///     type Stream = PlainStream;
///
///     async fn wrap(&self, _: Option<&str>, plain: PlainStream) -> io::Result<PlainStream> {
///         let request = format!("CONNECT {} HTTP/1.1\r\n\r\n", self.0);
///         plain.try_write(&[IoSlice::new(request.as_bytes())])?;
///         let mut answer = Vec::new();
///         while !answer.ends_with(b"\r\n\r\n") {
///             let mut byte = [0];
///             match poll_fn(|cx| plain.poll_read(cx, &mut byte)).await? {
///                 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
///                 _ => answer.push(byte[0]),
///             }
///         }
///         let accepted = answer.starts_with(b"HTTP/1.1 200");
///         accepted.then_some(plain).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
///     }
/// }
///
/// asyncio_task::run(async {
///     let proxy = start_server("127.0.0.1:0", async |mut reader, writer| {
///         reader.read_until(b"\r\n\r\n").await?;
///         writer.write("HTTP/1.1 200 OK\r\n\r\nhello\n");
///         writer.close().await
///     })
///     .await?;
///     let (mut reader, _writer) =
///         open_connection(proxy.local_addr()?).layer(Tunnel("inside.example:80")).await?;
///     assert_eq!(reader.read_line().await?, "hello\n");
///     io::Result::Ok(())
/// }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be put over a connection on this side, as `Layer<{Role}>`",
    label = "not a layer of this side",
    note = "layers of clients and of servers are different types: with asyncio-tls, `TlsClient` \
            goes with what connects, `TlsServer` with what accepts"
)]
pub trait Layer<Role>: 'static {
    /// The stream that the layer makes.
    type Stream: ByteStream + 'static;

    /// Checks whether the layer can serve this host, before anything is connected or listened on.
    ///
    /// # Errors
    ///
    /// The reason why it cannot. The default accepts every host.
    fn check(&self, host: Option<&str>) -> io::Result<()> {
        let _ = host;
        Ok(())
    }

    /// Makes the stream over `plain`. The layer may wait, for example for a handshake, and limits
    /// the time itself. `host` is the name or address that a client was told to connect to. It is
    /// `None` for several hosts or no host, and on a server.
    ///
    /// # Errors
    ///
    /// The reason why there is no stream. The connection is closed then, as it is when the future
    /// is dropped.
    fn wrap(
        &self,
        host: Option<&str>,
        plain: PlainStream,
    ) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// The layers of a builder; the first is the lowest.
pub(crate) struct Layers<Role>(Vec<Rc<dyn AnyLayer>>, PhantomData<Role>);

/// A layer of any type.
trait AnyLayer {
    fn check(&self, host: Option<&str>) -> io::Result<()>;
    fn wrap<'a>(&'a self, host: Option<&'a str>, plain: PlainStream) -> Wrapping<'a>;
}

type Wrapping<'a> = Pin<Box<dyn Future<Output = io::Result<Io>> + 'a>>;

struct Of<L, Role>(L, PhantomData<Role>);

impl<Role: 'static, L: Layer<Role>> AnyLayer for Of<L, Role> {
    fn check(&self, host: Option<&str>) -> io::Result<()> {
        self.0.check(host)
    }

    fn wrap<'a>(&'a self, host: Option<&'a str>, plain: PlainStream) -> Wrapping<'a> {
        Box::pin(async move {
            let event_loop = plain.network().event_loop().clone();
            let stream = self.0.wrap(host, plain).await?;
            Ok(Io::other(&event_loop, stream))
        })
    }
}

impl<Role: 'static> Layers<Role> {
    pub(crate) fn push(&mut self, layer: impl Layer<Role>) {
        self.0.push(Rc::new(Of(layer, PhantomData::<Role>)));
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn check(&self, host: Option<&str>) -> io::Result<()> {
        self.0.iter().try_for_each(|layer| layer.check(host))
    }

    /// Puts the layers over a new connection.
    pub(crate) async fn wrap(
        &self,
        host: Option<&str>,
        network: &Rc<Network>,
        mut io: Io,
        is_server_side: bool,
    ) -> io::Result<Io> {
        for layer in &self.0 {
            io = layer.wrap(host, PlainStream::new(network, io, is_server_side)).await?;
        }
        Ok(io)
    }
}

impl<Role> Default for Layers<Role> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<Role> fmt::Debug for Layers<Role> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.0.len()).finish()
    }
}

//! Connecting to several addresses, one after the other or side by side.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_task::sleep;

use super::attempt;
use super::options::Options;
use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::io::Io;
use crate::network::Network;
use crate::resolve::{resolve, resolve_passive};

type Attempt<'a> = Pin<Box<dyn Future<Output = io::Result<Io>> + 'a>>;

pub(super) async fn connect(
    network: &Rc<Network>,
    endpoint: &Endpoint,
    options: &Options,
) -> io::Result<Io> {
    let event_loop = network.event_loop();
    let addresses = options.order(resolve(event_loop, endpoint).await?);
    if addresses.is_empty() {
        let text =
            format!("cannot connect to {endpoint}: it has no address of the family asked for");
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
    }
    let local = match &options.local {
        Some(local) => resolve_passive(event_loop, local).await?,
        None => Vec::new(),
    };
    let mut race = Race { running: Vec::new(), errors: ConnectErrors { attempts: Vec::new() } };
    for address in addresses {
        race.running.push((address, attempt(network, address, &local)));
        let head_start = async {
            match options.delay {
                Some(delay) => sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        if let Some(stream) = race.run(head_start).await {
            return Ok(stream);
        }
    }
    while !race.running.is_empty() {
        if let Some(stream) = race.run(std::future::pending()).await {
            return Ok(stream);
        }
    }
    Err(race.errors.into())
}

/// Connects to one address, by the system or a simulated network.
fn attempt<'a>(
    network: &'a Rc<Network>,
    address: SocketAddr,
    local: &'a [SocketAddr],
) -> Attempt<'a> {
    let Some(sockets) = network.sockets() else {
        return Box::pin(
            async move { attempt::connect(network, address, local).await.map(Io::from) },
        );
    };
    let local = local.iter().find(|local| local.is_ipv4() == address.is_ipv4()).copied();
    let opening = sockets.connect(&Address::Inet(address), local);
    Box::pin(async move { Ok(Io::simulated(network.event_loop(), opening.await?)) })
}

/// Attempts that run side by side, and the errors of the failed ones.
struct Race<'a> {
    running: Vec<(SocketAddr, Attempt<'a>)>,
    errors: ConnectErrors,
}

impl Race<'_> {
    /// Polls the attempts until one connects, one fails, or the delay of the latest attempt is
    /// over.
    async fn run(&mut self, head_start: impl Future<Output = ()>) -> Option<Io> {
        let mut head_start = std::pin::pin!(head_start);
        let failed = self.errors.attempts.len();
        poll_fn(|cx| {
            if let Some(stream) = self.poll_attempts(cx) {
                return Poll::Ready(Some(stream));
            }
            if self.errors.attempts.len() > failed {
                return Poll::Ready(None);
            }
            head_start.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<Io> {
        let mut index = 0;
        while index < self.running.len() {
            let (address, attempt) = &mut self.running[index];
            match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => return Some(stream),
                Poll::Ready(Err(error)) => {
                    self.errors.attempts.push((*address, error));
                    drop(self.running.remove(index));
                }
                Poll::Pending => index += 1,
            }
        }
        None
    }
}

/// The addresses that were tried, and the error of each.
///
/// It is inside the [`io::Error`] of a connection that failed (use `get_ref` and `downcast_ref`).
/// The kind of that error is the kind of the first one.
///
/// # Examples
///
/// ```
/// use asyncio_net::{ConnectErrors, open_connection};
///
/// asyncio_task::run(async {
///     // Nobody listens there any more.
///     let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
///     let error = open_connection(closed).await.unwrap_err();
///     let errors: &ConnectErrors = error.get_ref().unwrap().downcast_ref().unwrap();
///     let (address, error) = &errors.attempts()[0];
///     assert_eq!(*address, closed);
///     assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct ConnectErrors {
    attempts: Vec<(SocketAddr, io::Error)>,
}

impl ConnectErrors {
    /// The addresses and their errors, in the order in which they failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ConnectErrors, open_connection};
    ///
    /// asyncio_task::run(async {
    ///     let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    ///     let error = open_connection(closed).await.unwrap_err();
    ///     let errors: &ConnectErrors = error.get_ref().unwrap().downcast_ref().unwrap();
    ///     assert_eq!(errors.attempts().len(), 1);
    ///     assert_eq!(errors.attempts()[0].0, closed);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn attempts(&self) -> &[(SocketAddr, io::Error)] {
        &self.attempts
    }
}

impl fmt::Display for ConnectErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot connect")?;
        for (index, (address, error)) in self.attempts.iter().enumerate() {
            write!(f, "{} to {address}: {error}", if index == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

impl Error for ConnectErrors {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.attempts.first().map(|(_, error)| error as _)
    }
}

impl From<ConnectErrors> for io::Error {
    fn from(errors: ConnectErrors) -> Self {
        let kind = errors.attempts.first().map(|(_, error)| error.kind());
        Self::new(kind.unwrap_or(io::ErrorKind::AddrNotAvailable), errors)
    }
}

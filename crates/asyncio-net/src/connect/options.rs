use std::net::SocketAddr;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::resolve::Family;
use crate::stream::DEFAULT_LIMIT;

/// Options of a new client connection.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_net::ConnectOptions;
///
/// let options = ConnectOptions::new().happy_eyeballs_delay(Duration::from_millis(250));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub(super) local: Option<Endpoint>,
    pub(super) family: Option<Family>,
    pub(super) delay: Option<Duration>,
    pub(super) interleave: Option<usize>,
    pub(super) limit: usize,
}

impl ConnectOptions {
    /// The usual ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ConnectOptions, DEFAULT_LIMIT, open_connection_with, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let (reader, _writer) = open_connection_with(server.local_addr()?, ConnectOptions::new()).await?;
    ///     assert_eq!(reader.limit(), DEFAULT_LIMIT);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn new() -> Self {
        Self { local: None, family: None, delay: None, interleave: None, limit: DEFAULT_LIMIT }
    }

    /// Our own end's address, instead of one that the system chooses.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ConnectOptions, open_connection_with, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let options = ConnectOptions::new().local_addr("127.0.0.2:0");
    ///     let (_reader, writer) = open_connection_with(server.local_addr()?, options).await?;
    ///     assert_eq!(writer.local_addr().unwrap().ip().to_string(), "127.0.0.2");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn local_addr(mut self, address: impl Into<Endpoint>) -> Self {
        self.local = Some(address.into());
        self
    }

    /// Uses addresses of one family only.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use asyncio_net::{ConnectOptions, Family, open_connection_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ConnectOptions::new().family(Family::Inet6);
    ///     let error = open_connection_with("127.0.0.1:80", options).await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    /// });
    /// ```
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// Starts with the next address when the one before has not connected for so long, without giving that up: the first
    /// to connect wins (RFC 8305, which recommends 250 ms). Unless told, the next address waits for the failure of the one
    /// before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    /// use asyncio_net::{ConnectOptions, open_connection_with};
    ///
    /// asyncio_task::run(async {
    ///     let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    ///     let open = TcpListener::bind("127.0.0.1:0")?;
    ///     let options = ConnectOptions::new().happy_eyeballs_delay(Duration::from_millis(250));
    ///     let addresses = vec![closed, open.local_addr()?];
    ///     let (_reader, writer) = open_connection_with(addresses, options).await?;
    ///     assert_eq!(writer.peer_addr(), open.local_addr().ok());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn happy_eyeballs_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Alternates between the address families, after so many of the first one; 0 keeps the resolver's
    /// order. 1 with a happy-eyeballs delay and 0 without, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::{SocketAddr, TcpListener};
    /// use asyncio_net::{ConnectErrors, ConnectOptions, open_connection_with};
    ///
    /// asyncio_task::run(async {
    ///     // Nobody listens there any more, so all are tried.
    ///     let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    ///     let hosts = ["127.0.0.1", "127.0.0.2", "::1"];
    ///     let addresses: Vec<_> =
    ///         hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), port)).collect();
    ///     let options = ConnectOptions::new().interleave(1);
    ///     let error = open_connection_with(addresses, options).await.unwrap_err();
    ///     let errors: &ConnectErrors = error.get_ref().unwrap().downcast_ref().unwrap();
    ///     let tried: Vec<_> = errors.attempts().iter().map(|(address, _)| address.is_ipv6()).collect();
    ///     assert_eq!(tried, [false, true, false]);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn interleave(mut self, first_family_count: usize) -> Self {
        self.interleave = Some(first_family_count);
        self
    }

    /// The stream reader's limit. 64 KiB, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ConnectOptions, open_connection_with, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server =
    ///         start_server("127.0.0.1:0", async |_, writer| writer.write(b"a long line\n")).await?;
    ///     let options = ConnectOptions::new().limit(5);
    ///     let (mut reader, _writer) = open_connection_with(server.local_addr()?, options).await?;
    ///     assert!(reader.read_line().await.is_err());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The addresses in the order in which they are to be tried.
    pub(super) fn order(&self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let fitting = addresses
            .into_iter()
            .filter(|address| self.family.is_none_or(|family| Family::of(address) == family));
        let count = self.interleave.unwrap_or(usize::from(self.delay.is_some()));
        if count == 0 { fitting.collect() } else { interleave(fitting.collect(), count) }
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// `count` addresses of the first one's family, then by turns.
fn interleave(addresses: Vec<SocketAddr>, count: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(Family::of) else { return addresses };
    let (firsts, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Family::of(address) == first);
    let mut firsts = firsts.into_iter();
    let mut order: Vec<_> = firsts.by_ref().take(count - 1).collect();
    let mut others = others.into_iter();
    loop {
        let pair = [firsts.next(), others.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(count: usize) -> String {
        let addresses = ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:4", "1.1.1.1:5"];
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let options = ConnectOptions::new().interleave(count);
        let ports = options.order(addresses).into_iter().map(|address| address.port());
        ports.map(|port| port.to_string()).collect()
    }

    // T-036
    #[test]
    fn families_alternate_after_the_first_ones() {
        assert_eq!(order(0), "12345");
        assert_eq!(order(1), "14253");
        assert_eq!(order(2), "12435");
        assert_eq!(order(9), "12345");
    }
}

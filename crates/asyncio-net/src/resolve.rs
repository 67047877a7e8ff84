//! Resolving names to addresses, and addresses to names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use asyncio_loop::machinery::at_await;
use asyncio_loop::{LoopRef, running_loop};
use dns_lookup::SockType;

use crate::endpoint::{Endpoint, Port};
use crate::network::Network;
use crate::sockets::Sockets;

/// The family of an internet address.
///
/// # Examples
///
/// ```
/// use asyncio_net::Family;
///
/// assert_eq!(Family::of(&"[::1]:80".parse()?), Family::Inet6);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "AF_INET")]
#[doc(alias = "AF_INET6")]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// The family of an address.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::Family;
    ///
    /// assert_eq!(Family::of(&"127.0.0.1:80".parse()?), Family::Inet);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }
}

/// The addresses to connect to, in the resolver's order.
pub(crate) async fn resolve(
    event_loop: &LoopRef,
    endpoint: &Endpoint,
) -> io::Result<Vec<SocketAddr>> {
    if let (Some(host), "") = (endpoint.hosts.first(), endpoint.port.as_str()) {
        let host = host.as_deref().unwrap_or_default();
        return Err(invalid(format!("no port to connect to: {host:?}")));
    }
    let anywhere = [IpAddr::from(Ipv6Addr::LOCALHOST), Ipv4Addr::LOCALHOST.into()];
    resolve_all(event_loop, endpoint, &anywhere).await
}

/// The addresses to listen on.
pub(crate) async fn resolve_passive(
    event_loop: &LoopRef,
    endpoint: &Endpoint,
) -> io::Result<Vec<SocketAddr>> {
    let numbers = |host: &&String| host.bytes().all(|byte| byte.is_ascii_digit());
    if let (Some(port), "") = (endpoint.hosts.iter().flatten().find(numbers), &*endpoint.port) {
        // Resolvers turn 8888 into 0.0.34.184.
        return Err(invalid(format!(
            "no host to listen on: {port:?}; a port alone is \":{port}\""
        )));
    }
    let anywhere = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    resolve_all(event_loop, endpoint, &anywhere).await
}

/// Options of [`getaddrinfo`].
///
/// # Examples
///
/// ```
/// use asyncio_net::{AddrInfoHints, Family};
///
/// let hints = AddrInfoHints::new().family(Family::Inet).numeric_host(true);
/// # let _ = hints;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddrInfoHints {
    family: Option<Family>,
    datagram: bool,
    passive: bool,
    numeric_host: bool,
    canonical_name: bool,
}

impl AddrInfoHints {
    /// Stream sockets of any family.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{AddrInfoHints, getaddrinfo};
    ///
    /// asyncio_task::run(async {
    ///     let hints = AddrInfoHints::new();
    ///     let answers = getaddrinfo(Some("127.0.0.1"), 80, hints).await?;
    ///     assert_eq!(answers[0].address, "127.0.0.1:80".parse().unwrap());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Addresses of one family only.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{AddrInfoHints, Family, getaddrinfo};
    ///
    /// asyncio_task::run(async {
    ///     let hints = AddrInfoHints::new().family(Family::Inet6).passive(true);
    ///     let answers = getaddrinfo(None, 80, hints).await?;
    ///     assert!(answers.iter().all(|answer| answer.address.is_ipv6()));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// Whether the addresses are for datagram sockets instead of stream sockets, which matters for
    /// service names.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{AddrInfoHints, getaddrinfo};
    ///
    /// asyncio_task::run(async {
    ///     let hints = AddrInfoHints::new().datagram(true);
    ///     let answers = getaddrinfo(Some("127.0.0.1"), 53, hints).await?;
    ///     assert_eq!(answers[0].address.port(), 53);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn datagram(mut self, yes: bool) -> Self {
        self.datagram = yes;
        self
    }

    /// Whether the addresses are for listening. Then no host means every interface.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{AddrInfoHints, getaddrinfo};
    ///
    /// asyncio_task::run(async {
    ///     let hints = AddrInfoHints::new().passive(true);
    ///     let answers = getaddrinfo(None, 80, hints).await?;
    ///     assert!(answers[0].address.ip().is_unspecified());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    #[doc(alias = "AI_PASSIVE")]
    pub fn passive(mut self, yes: bool) -> Self {
        self.passive = yes;
        self
    }

    /// Whether the host must be a numeric address, so that no name server is asked.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{AddrInfoHints, getaddrinfo};
    ///
    /// asyncio_task::run(async {
    ///     let hints = AddrInfoHints::new().numeric_host(true);
    ///     assert!(getaddrinfo(Some("localhost"), 80, hints).await.is_err());
    ///     assert!(getaddrinfo(Some("127.0.0.1"), 80, hints).await.is_ok());
    /// });
    /// ```
    #[must_use]
    #[doc(alias = "AI_NUMERICHOST")]
    pub fn numeric_host(mut self, yes: bool) -> Self {
        self.numeric_host = yes;
        self
    }

    /// Whether the first answer includes the host's full name.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{AddrInfoHints, getaddrinfo};
    ///
    /// asyncio_task::run(async {
    ///     let hints = AddrInfoHints::new().canonical_name(true);
    ///     let answers = getaddrinfo(Some("127.0.0.1"), 80, hints).await?;
    ///     assert_eq!(answers[0].canonical_name.as_deref(), Some("127.0.0.1"));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    #[doc(alias = "AI_CANONNAME")]
    pub fn canonical_name(mut self, yes: bool) -> Self {
        self.canonical_name = yes;
        self
    }

    fn for_resolver(self) -> dns_lookup::AddrInfoHints {
        let family = match self.family {
            None => libc::AF_UNSPEC,
            Some(Family::Inet) => libc::AF_INET,
            Some(Family::Inet6) => libc::AF_INET6,
        };
        let flags = [
            (self.passive, libc::AI_PASSIVE),
            (self.numeric_host, libc::AI_NUMERICHOST),
            (self.canonical_name, libc::AI_CANONNAME),
        ];
        let kind = if self.datagram { SockType::DGram } else { SockType::Stream };
        dns_lookup::AddrInfoHints {
            flags: flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum(),
            address: family,
            socktype: kind.into(),
            protocol: 0,
        }
    }
}

/// One of the resolver's answers.
///
/// # Examples
///
/// ```
/// use asyncio_net::{AddrInfoHints, Family, getaddrinfo};
///
/// asyncio_task::run(async {
///     let hints = AddrInfoHints::new().passive(true).family(Family::Inet);
///     let answers = getaddrinfo(None, 80, hints).await?;
///     assert!(answers[0].address.ip().is_unspecified());
///     assert_eq!(answers[0].canonical_name, None);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddrInfo {
    /// The host and port.
    pub address: SocketAddr,
    /// The host's full name, if it was asked for.
    pub canonical_name: Option<String>,
}

/// Asks the system's resolver for the addresses of a host and a service, on the executor.
///
/// # Errors
///
/// The resolver's error, with the name.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping the future does not stop the resolver; its answer is dropped.
///
/// # Examples
///
/// ```
/// use asyncio_net::{AddrInfoHints, getaddrinfo};
///
/// asyncio_task::run(async {
///     let answers = getaddrinfo(Some("127.0.0.1"), 80, AddrInfoHints::new()).await.unwrap();
///     assert_eq!(answers[0].address, "127.0.0.1:80".parse().unwrap());
/// });
/// ```
pub fn getaddrinfo(
    host: Option<&str>,
    port: impl Into<Port>,
    hints: AddrInfoHints,
) -> impl Future<Output = io::Result<Vec<AddrInfo>>> {
    at_await(async move {
        ask(&running_loop(), host.map(str::to_owned), port.into().into_string(), hints).await
    })
}

/// Asks the system's resolver for the name of a host and the service at a port, on the executor. If
/// there is no name, the number is returned.
///
/// # Errors
///
/// The resolver's error.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// As [`getaddrinfo`].
///
/// # Examples
///
/// ```
/// use asyncio_net::getnameinfo;
///
/// asyncio_task::run(async {
///     let (host, port) = getnameinfo("127.0.0.1:59999".parse().unwrap()).await?;
///     assert!(!host.is_empty());
///     assert_eq!(port, "59999", "no service has that number");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn getnameinfo(address: SocketAddr) -> impl Future<Output = io::Result<(String, String)>> {
    at_await(async move {
        if let Some(sockets) = Network::running().sockets() {
            let ip = address.ip();
            let host = sockets.name_of(ip).unwrap_or_else(|| ip.to_string());
            return Ok((host, address.port().to_string()));
        }
        let question = move || dns_lookup::getnameinfo(&address, 0).map_err(io::Error::from);
        running_loop().run_in_executor(None, question).await.map_err(io::Error::other)?
    })
}

async fn resolve_all(
    event_loop: &LoopRef,
    endpoint: &Endpoint,
    anywhere: &[IpAddr],
) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = endpoint.addresses.clone();
    for host in &endpoint.hosts {
        let port = endpoint.port.as_str();
        match (known(host.as_deref(), anywhere), known_port(port)) {
            (Some(hosts), Some(port)) => {
                addresses.extend(hosts.into_iter().map(|host| SocketAddr::new(host, port)));
            }
            _ => {
                let hints = AddrInfoHints::new();
                let answers = ask(event_loop, host.clone(), port.to_owned(), hints).await?;
                addresses.extend(answers.into_iter().map(|answer| answer.address));
            }
        }
    }
    if addresses.is_empty() {
        return Err(invalid("no host to resolve".to_owned()));
    }
    Ok(addresses)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Hosts that need no resolver.
fn known(host: Option<&str>, anywhere: &[IpAddr]) -> Option<Vec<IpAddr>> {
    match host {
        None => Some(anywhere.to_vec()),
        Some(host) => host.parse().ok().map(|address| vec![address]),
    }
}

fn known_port(port: &str) -> Option<u16> {
    if port.is_empty() { Some(0) } else { port.parse().ok() }
}

async fn ask(
    event_loop: &LoopRef,
    host: Option<String>,
    port: String,
    hints: AddrInfoHints,
) -> io::Result<Vec<AddrInfo>> {
    let colon = if port.is_empty() { "" } else { ":" };
    let name = format!("{}{colon}{port}", host.as_deref().unwrap_or_default());
    // Of a number that is too large, resolvers use the lower 16 bits.
    if port.bytes().all(|byte| byte.is_ascii_digit()) && known_port(&port).is_none() {
        return Err(invalid(format!("cannot resolve {name}: there is no port {port}")));
    }
    if let Some(sockets) = Network::of(event_loop).sockets() {
        return ask_simulated(&*sockets, host.as_deref(), &port, hints).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot resolve {name}: {error}"))
        });
    }
    let question = move || -> io::Result<Vec<AddrInfo>> {
        let port = (!port.is_empty()).then_some(port.as_str());
        let hints = Some(hints.for_resolver());
        let answers = dns_lookup::getaddrinfo(host.as_deref(), port, hints)?;
        answers
            .map(|answer| {
                let answer = answer?;
                Ok(AddrInfo { address: answer.sockaddr, canonical_name: answer.canonname })
            })
            .collect()
    };
    let answer = event_loop.run_in_executor(None, question).await.map_err(io::Error::other)?;
    answer.map_err(|error| io::Error::new(error.kind(), format!("cannot resolve {name}: {error}")))
}

/// The answers of a simulated network, which knows hosts but no services.
fn ask_simulated(
    sockets: &dyn Sockets,
    host: Option<&str>,
    port: &str,
    hints: AddrInfoHints,
) -> io::Result<Vec<AddrInfo>> {
    let no_service = || invalid(format!("a simulated network has no services such as {port:?}"));
    let port = known_port(port).ok_or_else(no_service)?;
    let anywhere = if hints.passive { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let (addresses, name) = match (known(host, &[anywhere.into()]), host) {
        (Some(addresses), host) => (addresses, host.unwrap_or_default().to_owned()),
        (None, Some(host)) if !hints.numeric_host => sockets.resolve(host)?,
        (None, _) => return Err(invalid("not an address".to_owned())),
    };
    let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, port));
    let fits = |address: &SocketAddr| hints.family.is_none_or(|it| Family::of(address) == it);
    let fitting = addresses.filter(fits);
    let canonical_name = hints.canonical_name.then_some(name);
    let info = |address| AddrInfo { address, canonical_name: canonical_name.clone() };
    Ok(fitting.map(info).collect())
}

//! Names to addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use asyncio_loop::LoopRef;
use dns_lookup::{AddrInfoHints, SockType};

use crate::endpoint::Endpoint;

/// A kind of internet address.
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
    /// That of an address.
    pub fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }
}

/// The addresses to connect to, in the resolver's order.
pub(crate) async fn resolve(
    event_loop: &LoopRef,
    endpoint: &Endpoint,
) -> io::Result<Vec<SocketAddr>> {
    let anywhere = [IpAddr::from(Ipv6Addr::LOCALHOST), Ipv4Addr::LOCALHOST.into()];
    resolve_all(event_loop, endpoint, &anywhere).await
}

/// The addresses to listen on.
pub(crate) async fn resolve_passive(
    event_loop: &LoopRef,
    endpoint: &Endpoint,
) -> io::Result<Vec<SocketAddr>> {
    let anywhere = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    resolve_all(event_loop, endpoint, &anywhere).await
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
            _ => addresses.extend(look_up(event_loop, host.clone(), port.to_owned()).await?),
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host to resolve"));
    }
    Ok(addresses)
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

/// Asks the system's resolver, on the executor.
async fn look_up(
    event_loop: &LoopRef,
    host: Option<String>,
    port: String,
) -> io::Result<Vec<SocketAddr>> {
    let name = format!("{}:{port}", host.as_deref().unwrap_or_default());
    let question = move || -> io::Result<Vec<SocketAddr>> {
        let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
        let answers = dns_lookup::getaddrinfo(host.as_deref(), Some(&port), Some(hints))?;
        answers.map(|answer| answer.map(|answer| answer.sockaddr)).collect()
    };
    let answer = event_loop.run_in_executor(None, question).await.map_err(io::Error::other)?;
    answer.map_err(|error| io::Error::new(error.kind(), format!("cannot resolve {name}: {error}")))
}

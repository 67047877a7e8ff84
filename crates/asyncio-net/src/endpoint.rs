use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host and port to connect to or to listen on. The host is a name or an address, the port a
/// number or a service name.
///
/// Functions take `impl Into<Endpoint>`: `"localhost:8080"`, `("example.org", 443)`,
/// `("example.org", "https")`, a [`SocketAddr`], or a list of them. Without a host (`(None, 8080)`,
/// `":8080"`) a server listens on all interfaces, and a client connects to this machine.
///
/// # Examples
///
/// ```
/// use asyncio_net::Endpoint;
///
/// for endpoint in [Endpoint::from("[::1]:80"), Endpoint::from(("::1", 80))] {
///     assert_eq!(endpoint.to_string(), "[::1]:80");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) hosts: Vec<Option<String>>,
    pub(crate) port: String,
    /// Known addresses, which need no resolver.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Endpoint {
    /// Makes an endpoint of several hosts, for a server that listens on all of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::Endpoint;
    ///
    /// let endpoint = Endpoint::hosts(["127.0.0.1", "::1"], 80);
    /// assert_eq!(endpoint.to_string(), "127.0.0.1:80, [::1]:80");
    /// ```
    pub fn hosts<H: Into<String>>(
        hosts: impl IntoIterator<Item = H>,
        port: impl Into<Port>,
    ) -> Self {
        let hosts = hosts.into_iter().map(|host| non_empty(host.into())).collect();
        Self { hosts, port: port.into().0, addresses: Vec::new() }
    }

    /// The host, by its name or address, if there is exactly one.
    pub(crate) fn only_host(&self) -> Option<String> {
        match (&self.hosts[..], &self.addresses[..]) {
            ([host], []) => host.clone(),
            ([], [address, others @ ..]) => {
                let is_same = |other: &SocketAddr| other.ip() == address.ip();
                others.iter().all(is_same).then(|| address.ip().to_string())
            }
            _ => None,
        }
    }

    fn one(host: Option<String>, port: Port) -> Self {
        Self { hosts: vec![host], port: port.0, addresses: Vec::new() }
    }
}

/// A port: a number, or a name from the system's services file. `None` or an empty text stands for
/// 0, with which the system chooses a server's port; a client must name a port.
///
/// # Examples
///
/// ```
/// use asyncio_net::{Endpoint, Port};
///
/// assert_eq!(Port::from(443), Port::from("443"));
/// assert_eq!(Endpoint::from(("::1", "https")).to_string(), "[::1]:https");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port(String);

impl Port {
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl From<u16> for Port {
    fn from(port: u16) -> Self {
        Self(port.to_string())
    }
}

impl From<&str> for Port {
    fn from(port: &str) -> Self {
        Self(port.to_owned())
    }
}

impl From<Option<u16>> for Port {
    fn from(port: Option<u16>) -> Self {
        Self(port.map(|port| port.to_string()).unwrap_or_default())
    }
}

fn non_empty(host: String) -> Option<String> {
    (!host.is_empty()).then_some(host)
}

impl From<&str> for Endpoint {
    /// `host:port`; an IPv6 address is in brackets. `:port` has no host, `host` has no port.
    fn from(text: &str) -> Self {
        let split = if text.ends_with(']') { None } else { text.rsplit_once(':') };
        let (host, port) = split.unwrap_or((text, ""));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self::one(non_empty(host.to_owned()), port.into())
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Endpoint {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl<P: Into<Port>> From<(&str, P)> for Endpoint {
    fn from((host, port): (&str, P)) -> Self {
        Self::one(non_empty(host.to_owned()), port.into())
    }
}

impl<P: Into<Port>> From<(String, P)> for Endpoint {
    fn from((host, port): (String, P)) -> Self {
        Self::one(non_empty(host), port.into())
    }
}

impl<P: Into<Port>> From<(Option<&str>, P)> for Endpoint {
    fn from((host, port): (Option<&str>, P)) -> Self {
        Self::one(host.map(str::to_owned).and_then(non_empty), port.into())
    }
}

impl From<(IpAddr, u16)> for Endpoint {
    fn from(address: (IpAddr, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl From<(Ipv4Addr, u16)> for Endpoint {
    fn from(address: (Ipv4Addr, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl From<(Ipv6Addr, u16)> for Endpoint {
    fn from(address: (Ipv6Addr, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::from(vec![address])
    }
}

impl From<&[SocketAddr]> for Endpoint {
    fn from(addresses: &[SocketAddr]) -> Self {
        Self::from(addresses.to_vec())
    }
}

impl From<Vec<SocketAddr>> for Endpoint {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self { hosts: Vec::new(), port: String::new(), addresses }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = Vec::new();
        for host in &self.hosts {
            texts.push(match host.as_deref() {
                Some(host) if host.contains(':') => format!("[{host}]:{}", self.port),
                host => format!("{}:{}", host.unwrap_or_default(), self.port),
            });
        }
        texts.extend(self.addresses.iter().map(SocketAddr::to_string));
        f.write_str(&texts.join(", "))
    }
}

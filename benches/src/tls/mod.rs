//! TLS: servers side by side on one configuration of rustls, and the load on them.

mod asyncio;
mod load;
mod tokio;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::str::FromStr;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, ServerConfig};

pub use self::load::{Exchange, TlsLoad};

/// What a server does with a connection, once the handshake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsService {
    /// Echoes each read through a buffer of a given size.
    Echo(usize),
    /// Reads a number of bytes, then answers with one.
    Receive(usize),
    /// Reads one byte, then sends a number of bytes.
    Send(usize),
    /// Closes at once.
    Close,
}

/// How much one write of [`TlsService::Send`] and one read of [`TlsService::Receive`] move.
const PIECE: usize = 64 * 1024;

/// The command line's spelling: `echo:4096`, `receive:1048576`, `send:1048576`, `close`.
impl fmt::Display for TlsService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo(buffer) => write!(formatter, "echo:{buffer}"),
            Self::Receive(bytes) => write!(formatter, "receive:{bytes}"),
            Self::Send(bytes) => write!(formatter, "send:{bytes}"),
            Self::Close => formatter.write_str("close"),
        }
    }
}

impl FromStr for TlsService {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = text.split_once(':').unwrap_or((text, "0"));
        let number = number.parse().map_err(|_| format!("no number: {number}"))?;
        match name {
            "echo" => Ok(Self::Echo(number)),
            "receive" => Ok(Self::Receive(number)),
            "send" => Ok(Self::Send(number)),
            "close" => Ok(Self::Close),
            _ => Err(format!("no service {text}")),
        }
    }
}

/// Serves forever.
type Serve = fn(TcpListener, Arc<ServerConfig>, TlsService) -> io::Result<()>;

/// Every server, by name.
pub const TLS_SERVERS: &[(&str, Serve)] = &[
    ("asyncio protocol", asyncio::serve_protocol),
    ("asyncio streams", asyncio::serve_streams),
    ("tokio-rustls", tokio::serve),
];

/// A configuration with a fresh certificate and, if the provider makes them, tickets.
///
/// # Errors
///
/// When the system has no randomness.
pub fn server_config() -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The client's configuration: it believes every server, and resumes sessions if `resumes`.
///
/// # Errors
///
/// When rustls refuses it.
pub fn client_config(resumes: bool) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let client = ::asyncio::tls::TlsClient::builder().danger_accept_any_certificate();
    let client = client.resumption(resumes).build()?;
    Ok(client.config().clone())
}

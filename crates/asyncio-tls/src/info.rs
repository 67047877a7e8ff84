//! [`TlsInfo`]: the result of a handshake.

use std::fmt;

use rustls::{HandshakeKind, ProtocolVersion, SupportedCipherSuite};
use rustls_pki_types::CertificateDer;

use crate::session::Session;

/// The result of a handshake.
#[derive(Clone)]
#[doc(alias = "get_extra_info")]
pub struct TlsInfo {
    alpn: Option<Vec<u8>>,
    version: Option<ProtocolVersion>,
    cipher_suite: Option<SupportedCipherSuite>,
    peer_certificates: Vec<CertificateDer<'static>>,
    server_name: Option<String>,
    resumed: bool,
}

impl TlsInfo {
    pub(crate) fn new(session: &Session) -> Self {
        let server_name = session.server_name().map(str::to_owned);
        let session = session.common();
        let peer_certificates = session.peer_certificates().unwrap_or_default();
        Self {
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            version: session.protocol_version(),
            cipher_suite: session.negotiated_cipher_suite(),
            peer_certificates: peer_certificates
                .iter()
                .map(|der| der.clone().into_owned())
                .collect(),
            server_name,
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// The protocol that both sides agreed on by ALPN, if any.
    #[must_use]
    #[doc(alias = "selected_alpn_protocol")]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The TLS version, for instance `"TLSv1.3"`.
    #[must_use]
    pub fn version(&self) -> &'static str {
        match self.version {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        }
    }

    /// The cipher suite's IANA name.
    #[must_use]
    #[doc(alias = "cipher")]
    pub fn cipher_suite(&self) -> &'static str {
        self.cipher_suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown")
    }

    /// The key length of the cipher, in bits; 0 if it is unknown.
    #[must_use]
    pub fn cipher_bits(&self) -> u16 {
        let name = self.cipher_suite();
        let lengths = [("AES_128", 128), ("AES_256", 256), ("CHACHA20", 256)];
        lengths.iter().find(|(part, _)| name.contains(part)).map_or(0, |(_, bits)| *bits)
    }

    /// The peer's certificate chain in DER, its own certificate first; empty if the peer presented
    /// none.
    #[must_use]
    #[doc(alias = "peercert")]
    #[doc(alias = "getpeercert")]
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }

    /// On a server, the name that the client asked for (SNI).
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether an earlier session was resumed.
    #[must_use]
    #[doc(alias = "session_reused")]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version())
            .field("cipher_suite", &self.cipher_suite())
            .field("alpn", &self.alpn.as_deref().map(String::from_utf8_lossy))
            .field("server_name", &self.server_name)
            .field("peer_certificates", &self.peer_certificates.len())
            .field("resumed", &self.resumed)
            .finish()
    }
}

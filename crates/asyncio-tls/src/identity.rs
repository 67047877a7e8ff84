//! [`Identity`]: a certificate and its key.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::provider::provider;

/// A certificate chain and the private key of its first certificate. It proves the identity of a
/// server or client.
///
/// # Examples
///
/// ```no_run
/// use asyncio_tls::Identity;
///
/// // What Let's Encrypt's tools write.
/// let folder = "/etc/letsencrypt/live/example.org";
/// let identity = Identity::from_pem_files(
///     format!("{folder}/fullchain.pem"),
///     format!("{folder}/privkey.pem"),
/// )?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads the chain (its own certificate first) and the key from PEM files. One file may contain
    /// both.
    ///
    /// # Errors
    ///
    /// If a file cannot be read; `InvalidData` if it contains no certificate or key, or if the key
    /// does not match the certificate. The error names the file.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        Self::from_pem(&read(chain)?, &read(key)?).map_err(|error| {
            let files = format!("{} and {}", chain.display(), key.display());
            io::Error::new(error.kind(), format!("{files}: {error}"))
        })
    }

    /// Reads the chain (its own certificate first) and the key from PEM text.
    ///
    /// # Errors
    ///
    /// `InvalidData` if there is no certificate or key, or if the key does not match the
    /// certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| invalid(format!("no private key: {error}")))?;
        Self::from_der(chain, key)
    }

    /// Takes a chain (its own certificate first) and its key.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the key does not match the certificate.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> io::Result<Self> {
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(invalid)?;
        Ok(Self { key: Arc::new(key) })
    }

    pub(crate) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

impl fmt::Debug for Identity {
    /// Does not show the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.key.cert.len()).finish_non_exhaustive()
    }
}

/// All certificates of a PEM text.
pub(crate) fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| invalid(format!("no certificate: {error}")))?;
    if found.is_empty() {
        return Err(invalid("no certificate"));
    }
    Ok(found)
}

/// Reads a file; the error names it.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

pub(crate) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

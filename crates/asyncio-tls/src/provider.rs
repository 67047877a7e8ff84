//! The cryptography provider for rustls.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The provider that the crate's features select.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    return CryptoProvider::get_default()
        .expect(
            "without the features `ring` and `aws-lc-rs`, the program installs a CryptoProvider",
        )
        .clone();
}

/// Issues session tickets, with which a client resumes its session at any server that has the same
/// keys. `None` if the provider does not support tickets.
pub(crate) fn ticketer() -> Option<Arc<dyn rustls::server::ProducesTickets>> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::Ticketer::new().ok();
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return rustls::crypto::ring::Ticketer::new().ok();
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    return None;
}

//! The name that a client asks for. rustls's unbuffered session has no method that returns the
//! name, but passes it to the certificate resolver.

use std::cell::Cell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

thread_local! {
    static NAME: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// The name that the client asked for in the session step that has just ended.
pub(crate) fn take_name_asked_for() -> Option<Box<str>> {
    NAME.try_with(Cell::take).ok().flatten()
}

/// Notes the name, and leaves the choice of the certificate to another resolver.
#[derive(Debug)]
pub(super) struct Noting(pub(super) Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let _ = NAME.try_with(|name| name.set(hello.server_name().map(Box::from)));
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

//! The name that a client asks for. A session without buffers does not tell it, but it shows it to
//! whoever chooses the certificate.

use std::cell::Cell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

thread_local! {
    static NAME: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// The name that was asked for in the step of a session that is just over.
pub(crate) fn take_name_asked_for() -> Option<Box<str>> {
    NAME.try_with(Cell::take).ok().flatten()
}

/// Takes note of the name, and leaves the choice to another one.
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

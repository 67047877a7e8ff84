//! The certificates that a server presents, which may change while it runs.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Identity;

/// Certificates by the name that a client asks for (SNI, RFC 6066).
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// For clients that ask for no name or for an unknown one.
    pub(super) default: Option<Identity>,
    /// In lower case; the `*` of `*.example.org` stands for one label.
    pub(super) by_name: HashMap<String, Identity>,
}

impl Table {
    fn find(&self, name: Option<&str>) -> Option<&Identity> {
        name.and_then(|name| self.named(name)).or(self.default.as_ref())
    }

    fn named(&self, name: &str) -> Option<&Identity> {
        let name = name.to_ascii_lowercase();
        if let Some(identity) = self.by_name.get(&name) {
            return Some(identity);
        }
        let (_, parent) = name.split_once('.')?;
        self.by_name.get(&format!("*.{parent}"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.default.is_none() && self.by_name.is_empty()
    }
}

/// The current table.
#[derive(Debug)]
pub(super) struct Certificates(RwLock<Arc<Table>>);

impl Certificates {
    pub(super) fn new(table: Table) -> Self {
        Self(RwLock::new(Arc::new(table)))
    }

    pub(super) fn table(&self) -> Arc<Table> {
        // A poisoned lock still holds a complete table, since the table is replaced as a whole.
        Arc::clone(&self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(super) fn replace(&self, table: Table) {
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(table);
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table();
        table.find(hello.server_name()).map(|identity| Arc::clone(identity.key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }

    fn is_same(found: Option<&Identity>, wanted: &Identity) -> bool {
        found.is_some_and(|found| Arc::ptr_eq(found.key(), wanted.key()))
    }

    #[test]
    fn names_go_before_wildcards_and_both_before_the_default() {
        let (default, exact, wild) = (identity(), identity(), identity());
        let by_name = [("a.example.org", &exact), ("*.example.org", &wild)];
        let by_name = by_name.map(|(name, identity)| (name.to_owned(), identity.clone()));
        let table = Table { default: Some(default.clone()), by_name: by_name.into() };
        assert!(is_same(table.find(Some("A.example.org")), &exact));
        assert!(is_same(table.find(Some("b.example.org")), &wild));
        assert!(is_same(table.find(Some("x.b.example.org")), &default), "one label only");
        assert!(is_same(table.find(Some("example.org")), &default));
        assert!(is_same(table.find(None), &default));
    }
}

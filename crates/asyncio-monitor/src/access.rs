//! Access control.

use std::net::IpAddr;

use subtle::ConstantTimeEq;

use crate::options::AccessOptions;

/// Why a request is refused: a status and a text.
pub(crate) type Refusal = (u16, &'static str);

impl AccessOptions {
    /// Whether this is the token, or no token is needed. The comparison takes the same time for all
    /// wrong tokens of one length.
    pub(crate) fn is_token(&self, given: Option<&str>) -> bool {
        match (&self.token, given) {
            (None, _) => true,
            (Some(token), Some(given)) => token.as_bytes().ct_eq(given.as_bytes()).into(),
            (Some(_), None) => false,
        }
    }

    /// Checks the `Host` and `Origin` of a request. A page of another origin can make the user's
    /// browser send requests here. It can even make its own host name resolve to this address (DNS
    /// rebinding), but then `Host` contains that name.
    pub(crate) fn check_origin(
        &self,
        host: Option<&str>,
        origin: Option<&str>,
    ) -> Result<(), Refusal> {
        let host = host.ok_or((400, "a request needs a header Host"))?;
        if !self.is_host(host) {
            return Err((403, "this host is not one of the monitor's"));
        }
        match origin {
            None => Ok(()),
            Some(origin) if is_same(origin, host) => Ok(()),
            Some(_) => Err((403, "requests of other origins are refused")),
        }
    }

    fn is_host(&self, host: &str) -> bool {
        let name = without_port(host);
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        literal.unwrap_or(name).parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|host| name.eq_ignore_ascii_case(host))
    }
}

/// The name or address in `Host`, without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// Whether an origin belongs to this host. Pages are loaded by HTTP, or by HTTPS through a proxy.
fn is_same(origin: &str, host: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>) -> bool {
        let access = AccessOptions { token: None, hosts: vec!["box.example".to_owned()] };
        access.check_origin(Some(host), origin).is_ok()
    }

    #[test]
    fn only_hosts_that_cannot_be_rebound_are_taken() {
        for host in ["127.0.0.1:8000", "127.0.0.1", "[::1]:8000", "[::1]", "localhost:8000"] {
            assert!(check(host, None), "{host}");
        }
        assert!(check("LOCALHOST", None) && check("box.example:80", None));
        for host in ["evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", ""] {
            assert!(!check(host, None), "{host}");
        }
        assert_eq!(AccessOptions::default().check_origin(None, None).unwrap_err().0, 400);
    }

    #[test]
    fn another_origin_is_refused() {
        assert!(check("127.0.0.1:8000", Some("http://127.0.0.1:8000")));
        for origin in ["http://127.0.0.1:8001", "http://evil.example", "null", "", "file://"] {
            assert!(!check("127.0.0.1:8000", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn the_token_is_needed_whole() {
        let access = AccessOptions { token: Some("secret".to_owned()), hosts: Vec::new() };
        assert!(access.is_token(Some("secret")));
        for wrong in [None, Some(""), Some("secre"), Some("secret "), Some("Secret")] {
            assert!(!access.is_token(wrong), "{wrong:?}");
        }
        assert!(AccessOptions::default().is_token(None));
    }
}

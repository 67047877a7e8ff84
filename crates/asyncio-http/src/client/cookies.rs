//! The cookies of a session (RFC 6265).

use std::cell::RefCell;

use cookie_store::{CookieStore, RawCookie};
use http::{HeaderMap, HeaderValue, header};
use url::{Host, Url};

use crate::BoxError;

#[derive(Default)]
pub(super) struct Jar(RefCell<CookieStore>);

impl Jar {
    /// Keeps the cookies of an answer.
    pub(super) fn store(&self, url: &Url, headers: &HeaderMap) {
        let values = headers.get_all(header::SET_COOKIE).iter();
        let texts = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        let cookies = texts.filter_map(|text| RawCookie::parse(text.to_owned()).ok());
        let cookies = cookies.filter(|cookie| !is_for_a_registry(cookie, url));
        self.0.borrow_mut().store_response_cookies(cookies, url);
    }

    /// Keeps one cookie, in the syntax of `Set-Cookie`, as if the server of the URL had set it.
    pub(super) fn set(&self, url: &Url, text: &str) -> Result<(), BoxError> {
        let cookie = RawCookie::parse(text.to_owned())?;
        if is_for_a_registry(&cookie, url) {
            return Err("the cookie is for a whole registry".into());
        }
        self.0.borrow_mut().insert_raw(&cookie, url)?;
        Ok(())
    }

    /// The value of a cookie that a request for the URL carries.
    pub(super) fn get(&self, url: &Url, name: &str) -> Option<String> {
        let jar = self.0.borrow();
        let mut values = jar.get_request_values(url);
        values.find(|(each, _)| *each == name).map(|(_, value)| value.to_owned())
    }

    /// The header with the cookies for a URL.
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let jar = self.0.borrow();
        let pairs: Vec<_> =
            jar.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() {
            return None;
        }
        HeaderValue::from_str(&pairs.join("; ")).ok()
    }
}

/// A cookie for `com` would be sent to every server under `com`.
fn is_for_a_registry(cookie: &RawCookie<'_>, url: &Url) -> bool {
    let Some(domain) = cookie.domain() else { return false };
    let domain = domain.trim_matches('.');
    let is_own =
        matches!(url.host(), Some(Host::Domain(host)) if host.eq_ignore_ascii_case(domain));
    !domain.contains('.') && !is_own
}

//! Following redirects (RFC 9110, section 15.4).

use http::{HeaderMap, Method, StatusCode, header};
use url::Url;

use super::content::Content;
use super::error::{ClientError, ClientErrorKind};

/// One request of a chain of redirects.
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    /// Whether the request asks for an upgrade of the connection.
    pub(super) upgrades: bool,
}

impl Hop {
    /// Turns this into the request that a redirect asks for. Returns whether the answer is a
    /// redirect.
    pub(super) fn follow(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<bool, ClientError> {
        let keeps_method = match status.as_u16() {
            301 | 302 => self.method != Method::POST,
            303 => self.method == Method::HEAD,
            307 | 308 => true,
            _ => return Ok(false),
        };
        let Some(location) = headers.get(header::LOCATION) else { return Ok(false) };
        let url = self.join(location.as_bytes())?;
        if !keeps_method {
            self.method = Method::GET;
            self.content = Content::default();
            for name in [
                header::CONTENT_LENGTH,
                header::CONTENT_TYPE,
                header::CONTENT_ENCODING,
                header::TRANSFER_ENCODING,
            ] {
                self.headers.remove(name);
            }
        } else if !self.content.is_there() {
            let text = "a redirect asks for a body that was streamed";
            return Err(ClientError::new(ClientErrorKind::Redirect, text).at(&self.url));
        }
        if url.origin() != self.url.origin() {
            // Credentials for one host must not be sent to another.
            for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
                self.headers.remove(name);
            }
            self.headers.remove(header::HOST);
        }
        self.url = url;
        Ok(true)
    }

    fn join(&self, location: &[u8]) -> Result<Url, ClientError> {
        let unfit = || {
            let text = format!("unfit redirect to {:?}", String::from_utf8_lossy(location));
            ClientError::new(ClientErrorKind::Redirect, text).at(&self.url)
        };
        let text = std::str::from_utf8(location).map_err(|_| unfit())?;
        let mut url = self.url.join(text).map_err(|_| unfit())?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(unfit());
        }
        if url.fragment().is_none() {
            url.set_fragment(self.url.fragment());
        }
        Ok(url)
    }
}

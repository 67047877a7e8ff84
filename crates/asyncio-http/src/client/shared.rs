//! The part of a session that its requests need.

use std::panic::Location;
use std::rc::Rc;

use asyncio_loop::machinery::report_unclosed;
use http::HeaderMap;
use url::Url;

use super::pool::Pool;
use super::timeouts::Timeouts;

/// The state that the requests of a session share.
pub(super) struct Shared {
    /// The place where the session was created.
    pub(super) site: &'static Location<'static>,
    pub(super) pool: Rc<Pool>,
    pub(super) headers: HeaderMap,
    pub(super) base_url: Option<Url>,
    pub(super) timeouts: Timeouts,
    pub(super) max_redirects: usize,
    pub(super) max_body: usize,
    pub(super) decompresses: bool,
    pub(super) raises: bool,
    #[cfg(feature = "cookies")]
    pub(super) cookies: Option<super::cookies::Jar>,
}

impl Drop for Shared {
    /// Reports unclosed connections in debug mode. A session without connections has nothing to
    /// close, and a test client's session ends with the client.
    fn drop(&mut self) {
        let (pool, is_test) = (&self.pool, self.pool.connector().is_test());
        if is_test || pool.is_closed() || pool.open_count() == 0 {
            return;
        }
        let message = "an HTTP client session was dropped without being closed";
        report_unclosed(message, self.site, |context| {
            context.field("connections", pool.open_count())
        });
    }
}

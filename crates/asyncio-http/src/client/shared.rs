//! The part of a session that its requests need.

use std::rc::Rc;

use http::HeaderMap;
use url::Url;

use super::pool::Pool;
use super::timeouts::Timeouts;

/// What the requests of a session share.
pub(super) struct Shared {
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

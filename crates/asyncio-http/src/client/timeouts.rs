//! [`Timeouts`].

use std::time::Duration;

/// The time limits of a request.
///
/// # From aiohttp
///
/// `ClientTimeout`, with its defaults.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_http::{ClientSession, Timeouts};
///
/// # asyncio_task::run(async {
/// let session = ClientSession::builder()
///     .timeouts(Timeouts::none().connect(Duration::from_secs(3)).read(Duration::from_secs(10)))
///     .build();
/// # let _ = session;
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "ClientTimeout")]
pub struct Timeouts {
    pub(crate) total: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) read: Option<Duration>,
}

impl Default for Timeouts {
    /// Five minutes in total, and 30 s to connect.
    fn default() -> Self {
        let (total, connect) = (Duration::from_secs(300), Duration::from_secs(30));
        Self { total: Some(total), connect: Some(connect), read: None }
    }
}

impl Timeouts {
    /// No limits.
    #[must_use]
    pub fn none() -> Self {
        Self { total: None, connect: None, read: None }
    }

    /// From the request to the last byte of the answer's body, redirects included.
    #[must_use]
    pub fn total(mut self, limit: Duration) -> Self {
        self.total = Some(limit);
        self
    }

    /// To get a connection: to wait for one from the pool or to open one, including TLS.
    #[must_use]
    pub fn connect(mut self, limit: Duration) -> Self {
        self.connect = Some(limit);
        self
    }

    /// From the end of the request to the headers of the answer, and from each piece of the
    /// answer's body to the next.
    #[must_use]
    #[doc(alias = "sock_read")]
    pub fn read(mut self, limit: Duration) -> Self {
        self.read = Some(limit);
        self
    }
}

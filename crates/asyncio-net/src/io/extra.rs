//! Information about a stream beyond its addresses, requested by type.

use std::any::Any;
use std::fmt;

/// A request for a value of some type, which a [`ByteStream`](crate::ByteStream) may answer.
///
/// # Examples
///
/// ```
/// use std::io::{self, IoSlice};
/// use std::task::{Context, Poll};
/// use asyncio_net::{ByteSource, ByteStream, Extra, stream_over};
///
/// /// The address that a proxy named as the client's.
/// #[derive(Debug, PartialEq)]
/// struct ProxiedFor(&'static str);
///
/// struct Proxied;
///
/// impl ByteSource for Proxied {
///     fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
///         Poll::Ready(Ok(0))
///     }
/// }
///
/// impl ByteStream for Proxied {
///     fn extra(&self, request: &mut Extra<'_>) {
///         request.offer(|| ProxiedFor("192.0.2.7"));
///     }
///     # fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
///     #     Ok(slices.iter().map(|slice| slice.len()).sum())
///     # }
///     # fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///     #     Poll::Ready(Ok(()))
///     # }
///     # fn write_eof(&self) -> io::Result<()> { Ok(()) }
///     # fn close(&self) {}
///     // The other methods are left out.
/// }
///
/// asyncio_task::run(async {
///     let (_reader, writer) = stream_over(Proxied);
///     assert_eq!(writer.extra::<ProxiedFor>(), Some(ProxiedFor("192.0.2.7")));
///     assert_eq!(writer.extra::<u32>(), None);
/// });
/// ```
pub struct Extra<'a> {
    /// An `Option<T>` of the type that is asked for.
    slot: &'a mut dyn Any,
}

impl Extra<'_> {
    /// Answers the request if it is for a `T` and has no answer yet.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn offer<T: 'static>(&mut self, make: impl FnOnce() -> T) {
        if let Some(slot) = self.slot.downcast_mut::<Option<T>>() {
            slot.get_or_insert_with(make);
        }
    }
}

impl fmt::Debug for Extra<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extra").finish_non_exhaustive()
    }
}

/// Makes a request for a `T`, which `ask` passes to a stream.
pub(crate) fn extra<T: 'static>(ask: impl FnOnce(&mut Extra<'_>)) -> Option<T> {
    let mut slot: Option<T> = None;
    ask(&mut Extra { slot: &mut slot });
    slot
}

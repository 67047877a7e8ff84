//! `local`: futures that stay on their thread, for libraries that require `Send`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;
use send_wrapper::SendWrapper;

/// Wraps a future that must stay on this thread in one that is `Send`, and checks the thread at
/// every poll.
///
/// Futures of `asyncio` are not `Send`: [`sleep`](crate::sleep()), [`timeout`](crate::timeout()),
/// [`gather`](crate::gather()), [`to_thread`](crate::to_thread), tasks and promises belong to the
/// loop of the thread that polls them. Some libraries require `Send` futures although they poll
/// them on the thread where they were made: axum's handlers, tower's services, `async_trait`. Wrap
/// the body of such a handler:
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{local, run, sleep};
///
/// async fn handler() -> &'static str {
///     local(async {
///         sleep(Duration::from_millis(1)).await;
///         "slow"
///     })
///     .await
/// }
///
/// /// As a library asks for it.
/// fn route<F: Future<Output = &'static str> + Send>(handler: fn() -> F) -> F {
///     handler()
/// }
///
/// assert_eq!(run(route(handler)), "slow");
/// ```
///
/// Needs the feature `send`.
///
/// # Panics
///
/// When it is polled or dropped on another thread than the one on which `local` was called, because
/// a library moves its futures between threads. The inner future is leaked then.
///
/// # Cancel safety
///
/// As the future itself.
#[doc(alias = "Send")]
#[doc(alias = "SendWrapper")]
#[track_caller]
pub fn local<F: IntoFuture>(future: F) -> Local<F::IntoFuture> {
    Local { future: SendWrapper::new(future.into_future()), site: Location::caller() }
}

pin_project! {
    /// The future of [`local`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Local<F> {
        #[pin]
        future: SendWrapper<F>,
        site: &'static Location<'static>,
    }

    impl<F> PinnedDrop for Local<F> {
        fn drop(this: Pin<&mut Self>) {
            // While another panic unwinds, this one would abort the process.
            if !thread::panicking() {
                this.check("dropped");
            }
        }
    }
}

impl<F> Local<F> {
    fn check(&self, what: &str) {
        assert!(
            self.future.valid(),
            "a future of another thread, made `Send` by `local` at {}, was {what} on this thread",
            self.site,
        );
    }
}

impl<F: Future> Future for Local<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.check("polled");
        self.project().future.poll(cx)
    }
}

impl<F> fmt::Debug for Local<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("site", &self.site).finish_non_exhaustive()
    }
}

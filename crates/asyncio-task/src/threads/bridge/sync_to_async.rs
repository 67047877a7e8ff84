//! `sync_to_async`: asynchronous code calls a synchronous function.

use std::fmt;
use std::future::IntoFuture;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;

use asyncio_loop::machinery::{AtAwait, at_await};
use asyncio_loop::{
    Context, Executor, JobError, SendContext, ThreadFuture, running_loop, wrap_future,
};

use super::cancel::{CancelOnDrop, Chain};
use super::place::run_sensitive;
use crate::cancel::catch_cancel;

/// Calls a synchronous function from a task; `.await` gives the function's value.
///
/// By default the function is *thread-sensitive*: all such functions run on the same thread, one
/// after the other, so that code which is bound to a thread (a database connection, a GUI) can be
/// called from anywhere. The thread is:
///
/// * below [`async_to_sync`](crate::async_to_sync), the thread that called it and waits;
/// * inside a [`thread_sensitive_scope`](crate::thread_sensitive_scope), the thread of that scope;
/// * otherwise a thread that the whole program shares.
///
/// With [`thread_sensitive(false)`](SyncToAsync::thread_sensitive) it runs on the default executor,
/// like [`to_thread`](crate::to_thread).
///
/// The function sees the context variables that can travel between threads, and the caller sees the
/// values that the function has set.
///
/// # Errors
///
/// [`JobError::Panicked`] if the function panics. [`JobError::WouldDeadlock`] if the function is
/// thread-sensitive and its thread is blocked by the loop itself. [`JobError::Cancelled`] if the
/// function was dropped before it started, and [`JobError::ExecutorShutdown`] if its executor is
/// shut down.
///
/// # Cancel safety
///
/// Cancelling the caller, or dropping this future, cancels a function that has not started. If a
/// running function waits in `async_to_sync`, the task that it waits for is cancelled. If that task
/// absorbs the request, the caller goes on too; otherwise the function gets
/// [`JobError::Cancelled`]. Any other running function goes on to its end without its caller.
///
/// # Examples
///
/// ```
/// use asyncio_task::{run, sync_to_async};
/// use std::thread;
///
/// run(async {
///     let first = sync_to_async(|| thread::current().id()).await.unwrap();
///     let second = sync_to_async(|| thread::current().id()).await.unwrap();
///     assert_eq!(first, second);
///     assert_ne!(first, thread::current().id());
/// });
/// ```
#[track_caller]
pub fn sync_to_async<F, T>(function: F) -> SyncToAsync<F>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    SyncToAsync {
        function,
        thread_sensitive: None,
        executor: None,
        context: None,
        site: Location::caller(),
    }
}

/// A call that has not started; see [`sync_to_async`].
#[must_use = "it does nothing until it is awaited"]
pub struct SyncToAsync<F> {
    function: F,
    thread_sensitive: Option<bool>,
    executor: Option<Rc<dyn Executor>>,
    context: Option<Context>,
    site: &'static Location<'static>,
}

impl<F> SyncToAsync<F> {
    /// Sets whether the function is thread-sensitive. Default: yes, unless an
    /// [executor](Self::executor) is given. A function that is not runs on the default executor.
    ///
    /// # Panics
    ///
    /// If `yes` is true and an executor was given.
    #[track_caller]
    pub fn thread_sensitive(mut self, yes: bool) -> Self {
        self.thread_sensitive = Some(yes);
        self.check();
        self
    }

    /// Runs the function on this executor, which makes it not thread-sensitive.
    ///
    /// # Panics
    ///
    /// If [`thread_sensitive(true)`](Self::thread_sensitive) was called.
    #[track_caller]
    pub fn executor(mut self, executor: Rc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self.check();
        self
    }

    /// Runs the function in this context. The function sees the context's values that can travel
    /// between threads, and the values that it sets go into this context, not into the caller's.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, context_var};
    /// use asyncio_task::{run, sync_to_async};
    ///
    /// context_var! { static USER: String = "nobody".to_owned(); }
    ///
    /// run(async {
    ///     let context = Context::new();
    ///     let login = sync_to_async(|| drop(USER.set("guido".to_owned())));
    ///     login.context(&context).await.unwrap();
    ///     assert_eq!(context.run(|| USER.get()), "guido");
    ///     assert_eq!(USER.get(), "nobody");
    /// });
    /// ```
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    fn is_thread_sensitive(&self) -> bool {
        self.thread_sensitive.unwrap_or(self.executor.is_none())
    }

    #[track_caller]
    fn check(&self) {
        assert!(
            !(self.is_thread_sensitive() && self.executor.is_some()),
            "an executor was given, so the function cannot be thread-sensitive"
        );
    }
}

impl<F, T> SyncToAsync<F>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    async fn call(self) -> Result<T, JobError> {
        let event_loop = running_loop();
        let chain = Chain::default();
        let sensitive = self.is_thread_sensitive();
        let function = {
            let context = match &self.context {
                Some(context) => context.run(SendContext::current),
                None => SendContext::current(),
            };
            let (chain, function) = (chain.clone(), self.function);
            move || context.run(|| (chain.call(function), SendContext::current()))
        };
        let site = self.site;
        let future = if sensitive {
            run_sensitive(
                |wrapped| {
                    let (job, future) = event_loop.job(move || wrapped.call());
                    (job.submitted_at(site), future)
                },
                function,
            )
        } else {
            let (job, future) = event_loop.job(function);
            event_loop.execute(self.executor.as_deref(), job.submitted_at(site));
            future
        };
        let (value, changed) = wait(future, chain).await?;
        match self.context {
            Some(context) => context.run(|| changed.apply()),
            None => changed.apply(),
        }
        Ok(value)
    }
}

/// Waits for the function. A cancellation goes to the task that the function waits for. If that
/// task absorbs it, the function and this wait go on.
async fn wait<T: Send + 'static>(future: ThreadFuture<T>, chain: Chain) -> Result<T, JobError> {
    let mut on_drop = CancelOnDrop(Some(chain.clone()));
    let outcome = match catch_cancel(wrap_future(future.clone())).await {
        Ok(outcome) => outcome,
        Err(cancelled) => {
            if chain.cancel_and_wait().await {
                drop(cancelled);
                wrap_future(future).await
            } else {
                cancelled.resume().await
            }
        }
    };
    on_drop.0 = None;
    outcome
}

impl<F, T> IntoFuture for SyncToAsync<F>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T, JobError>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = Result<T, JobError>>>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.call()))
    }
}

impl<F> fmt::Debug for SyncToAsync<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncToAsync")
            .field("thread_sensitive", &self.is_thread_sensitive())
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

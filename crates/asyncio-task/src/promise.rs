//! Promises: values that are set later (asyncio's `Future`).

mod waiting;

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::{Wait, with_running};
use asyncio_loop::{
    CallbackRef, CancelReason, ErrorContext, LoopRef, LoopWaker, is_cancelling, running_loop,
};

use waiting::{DoneCallback, Place, Waiting};

use crate::error::{Exception, InvalidState, PromiseError};

/// Makes a promise that belongs to the running loop.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_future, create_task, run};
///
/// run(async {
///     let promise = create_future();
///     let setter = promise.clone();
///     create_task(async move { setter.set_result("done").unwrap() });
///     assert_eq!(promise.await.unwrap(), "done");
/// });
/// ```
#[doc(alias = "oneshot")]
#[must_use]
#[inline]
#[track_caller]
pub fn create_future<T>() -> Promise<T> {
    let site = Location::caller();
    let promise = with_running(|event_loop| Promise::made_at(site, event_loop));
    promise.unwrap_or_else(|error| panic!("cannot create a future: {error}"))
}

/// A value that is set once, and that any number of tasks can await: `asyncio.Future`.
///
/// Clones are handles to the same promise. Awaiting a promise gives a clone of the value, and does
/// not suspend once the value is set. Callbacks run in the turn after the value was set.
///
/// If a promise was given an error that was never retrieved, the loop's exception handler gets a
/// report when the last handle is dropped.
///
/// # Cancel safety
///
/// Dropping a handle that waits leaves the promise as it is. When the wait is *cancelled*, with its
/// task or by a timeout or group around it, the promise is cancelled too. To protect a promise that
/// others need, await it in a task of its own and [`shield`](crate::shield()) that task.
///
/// # From asyncio
///
/// Errors are `Arc<dyn Error + Send + Sync>`, shared by all waiters. The value must be `Clone` to
/// be awaited or taken by [`result`](Self::result); [`with_result`](Self::with_result) lends it.
/// `InvalidStateError` for reading a pending promise is [`PromiseError::Pending`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{create_future, run, running_loop};
///
/// run(async {
///     let answer = create_future();
///     let setter = answer.clone();
///     running_loop().call_later(Duration::from_millis(1), move || {
///         setter.set_result("a callback's answer").unwrap();
///     });
///     assert_eq!(answer.await.unwrap(), "a callback's answer");
/// });
/// ```
#[doc(alias = "Future")]
pub struct Promise<T> {
    shared: Rc<Shared<T>>,
    /// The place of this handle among the waiters, if it waits.
    place: Cell<Place>,
}

struct Shared<T> {
    state: RefCell<State<T>>,
    /// Whether the error was retrieved.
    observed: Cell<bool>,
    event_loop: OnceCell<LoopRef>,
    site: Cell<&'static Location<'static>>,
}

enum State<T> {
    Pending(Waiting<T>),
    Done(Result<T, PromiseError>),
}

impl<T> Shared<T> {
    /// The initial value is a constant, and the other fields are set in place. A value that is
    /// built in pieces on the stack and then moved to the heap makes the processor wait for its own
    /// stores.
    const fn new() -> Self {
        Self {
            state: RefCell::new(State::Pending(Waiting::NOBODY)),
            observed: Cell::new(false),
            event_loop: OnceCell::new(),
            site: Cell::new(Location::caller()),
        }
    }

    fn event_loop(&self) -> &LoopRef {
        self.event_loop.get().expect("filled in by `Promise::made_at`")
    }
}

/// Calls the callback with a new handle to the promise.
fn call<T, F>(callback: F, promise: Rc<Cell<Option<Promise<T>>>>) -> impl FnOnce()
where
    F: FnOnce(&Promise<T>),
{
    move || {
        if let Some(promise) = promise.take() {
            callback(&promise);
        }
    }
}

impl<T> Promise<T> {
    /// Makes a pending promise that belongs to `event_loop`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    /// use asyncio_task::Promise;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let promise = Promise::of(&event_loop);
    /// let setter = promise.clone();
    /// event_loop.call_soon(move || setter.set_result(1).unwrap());
    /// assert_eq!(event_loop.run_until_complete(promise)??, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    pub fn of(event_loop: &LoopRef) -> Self {
        Self::made_at(Location::caller(), event_loop)
    }

    #[inline]
    fn made_at(site: &'static Location<'static>, event_loop: &LoopRef) -> Self {
        let shared = Rc::new(const { Shared::new() });
        let made = shared.event_loop.set(event_loop.clone());
        debug_assert!(made.is_ok(), "a new promise has no loop");
        shared.site.set(site);
        Self { shared, place: Cell::new(Place::None) }
    }

    /// Gives the promise its value, and wakes the tasks that await it.
    ///
    /// # Errors
    ///
    /// [`InvalidState`] with the value, if the promise is done.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future();
    ///     promise.set_result("first").unwrap();
    ///     assert_eq!(promise.set_result("second").unwrap_err().0, "second");
    ///     assert_eq!(promise.await.unwrap(), "first");
    /// });
    /// ```
    #[inline]
    pub fn set_result(&self, value: T) -> Result<(), InvalidState<T>> {
        self.settle(Ok(value)).map_err(|refused| match refused {
            Ok(value) => InvalidState(value),
            Err(_) => unreachable!("a value was given"),
        })
    }

    /// Gives the promise an error instead of a value.
    ///
    /// # Errors
    ///
    /// [`InvalidState`] with the error, if the promise is done.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future::<u8>();
    ///     promise.set_exception(io::Error::other("no luck")).unwrap();
    ///     assert_eq!(promise.await.unwrap_err().to_string(), "no luck");
    /// });
    /// ```
    pub fn set_exception<E>(&self, error: E) -> Result<(), InvalidState<Exception>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let error = Exception::from(error.into());
        self.settle(Err(PromiseError::Exception(error))).map_err(|refused| match refused {
            Err(PromiseError::Exception(error)) => InvalidState(error),
            _ => unreachable!("an error was given"),
        })
    }

    /// Cancels the promise: its awaiters get [`PromiseError::Cancelled`]. Returns false if the
    /// promise is done already.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future::<u8>();
    ///     assert!(promise.cancel());
    ///     assert!(!promise.cancel(), "it is done");
    ///     assert!(promise.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn cancel(&self) -> bool {
        self.mark_seen();
        self.settle(Err(PromiseError::Cancelled(CancelReason::default()))).is_ok()
    }

    /// [`cancel`](Self::cancel) with a message for its awaiters.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future::<u8>();
    ///     promise.cancel_with("shutting down");
    ///     let error = promise.await.unwrap_err();
    ///     assert_eq!(error.to_string(), "promise was cancelled: shutting down");
    /// });
    /// ```
    pub fn cancel_with(&self, message: &str) -> bool {
        self.mark_seen();
        self.settle(Err(PromiseError::Cancelled(CancelReason::new(message)))).is_ok()
    }

    /// Cancelling a promise that was given an error counts as retrieving the error.
    fn mark_seen(&self) {
        if self.is_done() {
            self.shared.observed.set(true);
        }
    }

    #[inline]
    fn settle(&self, outcome: Result<T, PromiseError>) -> Result<(), Result<T, PromiseError>> {
        let Some(mut state) = self.state_if_pending() else { return Err(outcome) };
        let State::Pending(waiting) = &mut *state else { return Err(outcome) };
        let waiting = waiting.take();
        *state = State::Done(outcome);
        drop(state);
        if let Some(waiting) = waiting {
            waiting.tell(self);
        }
        Ok(())
    }

    /// The state, to be changed. `None` while it is borrowed, which happens only when the promise
    /// is done.
    fn state_if_pending(&self) -> Option<RefMut<'_, State<T>>> {
        self.shared.state.try_borrow_mut().ok()
    }

    /// Whether it has a value, has an error, or is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future();
    ///     assert!(!promise.is_done());
    ///     promise.set_result(1).unwrap();
    ///     assert!(promise.is_done());
    /// });
    /// ```
    #[doc(alias = "done")]
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Done(_))
    }

    /// Whether the promise was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future::<u8>();
    ///     promise.cancel();
    ///     assert!(promise.is_cancelled() && promise.is_done());
    /// });
    /// ```
    #[doc(alias = "cancelled")]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Done(Err(PromiseError::Cancelled(_))))
    }

    /// The value, without waiting.
    ///
    /// # Errors
    ///
    /// [`PromiseError`] if the promise is pending, was cancelled, or was given an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{PromiseError, create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future();
    ///     assert!(matches!(promise.result(), Err(PromiseError::Pending)));
    ///     promise.set_result(1).unwrap();
    ///     assert_eq!(promise.result().unwrap(), 1);
    /// });
    /// ```
    pub fn result(&self) -> Result<T, PromiseError>
    where
        T: Clone,
    {
        self.with_result(|result| result.cloned().map_err(Clone::clone))
    }

    /// Calls `look` with the outcome, and returns its result.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future();
    ///     promise.set_result(vec![1, 2, 3]).unwrap();
    ///     assert_eq!(promise.with_result(|list| list.unwrap().len()), 3);
    /// });
    /// ```
    pub fn with_result<R>(&self, look: impl FnOnce(Result<&T, &PromiseError>) -> R) -> R {
        let state = self.shared.state.borrow();
        match &*state {
            State::Done(outcome) => {
                self.shared.observed.set(true);
                look(outcome.as_ref())
            }
            State::Pending(_) => {
                drop(state);
                look(Err(&PromiseError::Pending))
            }
        }
    }

    /// The error that the promise was given, or `None` if it has a value.
    ///
    /// # Errors
    ///
    /// [`PromiseError`] if the promise is pending or was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let (good, bad) = (create_future(), create_future::<u8>());
    ///     good.set_result(1).unwrap();
    ///     bad.set_exception("no luck").unwrap();
    ///     assert!(good.exception().unwrap().is_none());
    ///     assert_eq!(bad.exception().unwrap().unwrap().to_string(), "no luck");
    /// });
    /// ```
    pub fn exception(&self) -> Result<Option<Exception>, PromiseError> {
        self.with_result(|result| match result {
            Ok(_) => Ok(None),
            Err(PromiseError::Exception(error)) => Ok(Some(Arc::clone(error))),
            Err(error) => Err(error.clone()),
        })
    }

    /// Runs `callback` with the promise in the turn after it is done, in a copy of the current
    /// context; in the next turn if it is done already. Callbacks run in the order in which they
    /// were added.
    ///
    /// Returns the registration, for [`remove_done_callback`](Self::remove_done_callback).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_task::{create_future, run, yield_now};
    ///
    /// run(async {
    ///     let (promise, seen) = (create_future(), Rc::new(Cell::new(0)));
    ///     let see = Rc::clone(&seen);
    ///     promise.add_done_callback(move |promise| see.set(promise.result().unwrap()));
    ///     promise.set_result(7).unwrap();
    ///     assert_eq!(seen.get(), 0, "not inside set_result");
    ///     yield_now().await;
    ///     assert_eq!(seen.get(), 7);
    /// });
    /// ```
    pub fn add_done_callback<F>(&self, callback: F) -> CallbackRef
    where
        F: FnOnce(&Promise<T>) + 'static,
        T: 'static,
    {
        self.register(|promise| self.shared.event_loop().callback(call(callback, promise)))
    }

    fn register(&self, make: impl FnOnce(Rc<Cell<Option<Self>>>) -> CallbackRef) -> CallbackRef {
        let promise = Rc::default();
        let callback = make(Rc::clone(&promise));
        let done_callback = DoneCallback { callback: callback.clone(), promise };
        match self.state_if_pending().as_deref_mut() {
            Some(State::Pending(waiting)) => waiting.add_callback(done_callback),
            Some(State::Done(_)) | None => done_callback.schedule(self),
        }
        callback
    }

    /// Removes a callback that has not been scheduled yet. Returns the number of removed
    /// registrations: 1, or 0 if the promise is done or does not have the callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run, yield_now};
    ///
    /// run(async {
    ///     let promise = create_future();
    ///     let callback = promise.add_done_callback(|_| unreachable!("removed"));
    ///     assert_eq!(promise.remove_done_callback(&callback), 1);
    ///     assert_eq!(promise.remove_done_callback(&callback), 0);
    ///     promise.set_result(1).unwrap();
    ///     yield_now().await;
    /// });
    /// ```
    pub fn remove_done_callback(&self, callback: &CallbackRef) -> usize {
        let removed = match self.state_if_pending().as_deref_mut() {
            Some(State::Pending(waiting)) => waiting.remove_callback(callback),
            Some(State::Done(_)) | None => None,
        };
        if removed.is_some() {
            callback.cancel();
        }
        usize::from(removed.is_some())
    }

    /// The loop that the promise belongs to.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run, running_loop};
    ///
    /// run(async {
    ///     assert_eq!(*create_future::<u8>().event_loop(), running_loop());
    /// });
    /// ```
    #[doc(alias = "get_loop")]
    #[must_use]
    pub fn event_loop(&self) -> &LoopRef {
        self.shared.event_loop()
    }

    /// The numbers of the tasks that await it, in the order in which they came.
    pub(crate) fn awaiters(&self) -> Vec<u64> {
        match &*self.shared.state.borrow() {
            State::Pending(waiting) => waiting.awaiters(),
            State::Done(_) => Vec::new(),
        }
    }

    /// Where it was made.
    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.shared.site.get()
    }

    /// The address that tells it from other promises.
    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.shared).addr()
    }

    #[track_caller]
    fn check_loop(&self) {
        let other = with_running(|running| running != self.shared.event_loop()) == Ok(true);
        assert!(
            !other,
            "a promise created at {} is attached to a different loop than the one it is awaited \
             on, {:?}",
            self.shared.site.get(),
            running_loop(),
        );
    }
}

impl<T: Clone> Future for Promise<T> {
    type Output = Result<T, PromiseError>;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Done(outcome) = &*self.shared.state.borrow() {
            self.shared.observed.set(true);
            self.place.set(Place::None);
            return Poll::Ready(match outcome {
                Ok(value) => Ok(value.clone()),
                Err(error) => Err(error.clone()),
            });
        }
        self.wait(cx);
        Poll::Pending
    }
}

impl<T> Promise<T> {
    /// Notes the waker of a task that waits.
    #[track_caller]
    fn wait(&self, cx: &Context<'_>) {
        self.check_loop();
        // The waker is cloned with nothing borrowed: the clone function of a foreign waker may use
        // the promise.
        let waker = LoopWaker::waiting(cx, Wait::promise(self.shared.site.get()));
        let mut state = self.shared.state.borrow_mut();
        let State::Pending(waiting) = &mut *state else {
            // It has settled it.
            drop(state);
            waker.wake();
            return;
        };
        let replaced = waiting.set_waker(&self.place, waker);
        drop(state);
        drop(replaced);
    }
}

impl<T> Clone for Promise<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), place: Cell::new(Place::None) }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if self.place.get() == Place::None {
            return;
        }
        if is_cancelling() {
            // The task that waits here was cancelled, so the promise is cancelled too.
            self.cancel();
            return;
        }
        let waker = match self.state_if_pending().as_deref_mut() {
            Some(State::Pending(waiting)) => waiting.remove(self.place.get()),
            Some(State::Done(_)) | None => None,
        };
        drop(waker);
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let State::Done(Err(PromiseError::Exception(error))) = self.state.get_mut() {
            if !self.observed.get() {
                let context = ErrorContext::new("promise exception was never retrieved")
                    .with_error(error.to_string())
                    .field("created at", self.site.get());
                self.event_loop().report(&context);
            }
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.shared.state.try_borrow().as_deref() {
            Ok(State::Pending(_)) => "pending",
            Ok(State::Done(Ok(_))) => "finished",
            Ok(State::Done(Err(PromiseError::Cancelled(_)))) => "cancelled",
            Ok(State::Done(Err(_))) => "failed",
            Err(_) => "being settled",
        };
        write!(f, "<Promise {state} created at {}>", self.shared.site.get())
    }
}

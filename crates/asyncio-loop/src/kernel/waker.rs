use std::marker::PhantomData;
use std::task::{Context, Waker};

/// A waker that stays on the thread it was taken on.
#[derive(Clone, Debug)]
pub struct LocalWaker {
    waker: Waker,
    _not_send: PhantomData<*const ()>,
}

impl LocalWaker {
    /// Takes the waker of the task being polled.
    #[must_use]
    pub fn from_context(cx: &Context<'_>) -> Self {
        Self { waker: cx.waker().clone(), _not_send: PhantomData }
    }

    /// Wakes the task and gives up the reference.
    pub fn wake(self) {
        self.waker.wake();
    }

    /// Wakes the task and keeps the reference.
    pub fn wake_by_ref(&self) {
        self.waker.wake_by_ref();
    }

    /// Whether waking `self` wakes the task being polled with `cx`.
    #[must_use]
    pub fn will_wake(&self, cx: &Context<'_>) -> bool {
        self.waker.will_wake(cx.waker())
    }
}

//! Shows the user's line for a wait inside this project's code.
//!
//! A leaf notes where it waits by `#[track_caller]` on its `poll`: the place of `.await`. Inside an
//! `async fn` of this project that is a line of this project, which is of no use to a user. So
//! futures that users get are wrapped, and the wrapper replaces that line by the one at which it is
//! polled.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::kernel::{move_wait, move_wait_out_of};

pin_project! {
    /// Wraps a future of this project that runs no code of a user. While it is pending, its task is
    /// shown as waiting at the place where this wrapper is polled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct AtAwait<F> {
        #[pin]
        future: F,
    }
}

/// See [`AtAwait`].
#[inline]
pub fn at_await<F: Future>(future: F) -> AtAwait<F> {
    AtAwait { future }
}

impl<F: Future> Future for AtAwait<F> {
    type Output = F::Output;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.project().future.poll(cx);
        if polled.is_pending() {
            move_wait(cx, Location::caller());
        }
        polled
    }
}

pin_project! {
    /// Wraps a future of this project that polls a future of a user. While it is pending, and its
    /// task is shown as waiting in the source file `inside`, the place is replaced by the one where
    /// this wrapper is polled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct AroundUser<F> {
        #[pin]
        future: F,
        inside: &'static &'static str,
    }
}

/// See [`AroundUser`].
#[inline]
pub fn around_user<F: Future>(future: F, inside: &'static &'static str) -> AroundUser<F> {
    AroundUser { future, inside }
}

impl<F: Future> Future for AroundUser<F> {
    type Output = F::Output;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.future.poll(cx);
        if polled.is_pending() {
            move_wait_out_of(this.inside, cx, Location::caller());
        }
        polled
    }
}

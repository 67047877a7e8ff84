//! Sets of futures that wait for one event. Each is woken once, and removed when it is dropped.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_loop::LoopWaker;
use asyncio_loop::machinery::Wait;
use slab::Slab;

/// The wakers of the futures that wait.
#[derive(Default)]
pub(crate) struct Waiters(RefCell<Slab<LoopWaker>>);

impl Waiters {
    /// Waits until `outcome` returns a value. It is called at each poll.
    pub(crate) fn until<T, F: Fn() -> Option<T> + Unpin>(
        &self,
        wait: Wait,
        outcome: F,
    ) -> Until<'_, F> {
        Until { waiters: self, wait, outcome, place: None }
    }

    pub(crate) fn wake_all(&self) {
        let waiters = self.0.take();
        waiters.into_iter().for_each(|(_, waiter)| waiter.wake());
    }
}

/// See [`Waiters::until`].
pub(crate) struct Until<'a, F> {
    waiters: &'a Waiters,
    wait: Wait,
    outcome: F,
    /// The place of the waker in the set.
    place: Option<usize>,
}

impl<T, F: Fn() -> Option<T> + Unpin> Future for Until<'_, F> {
    type Output = T;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(outcome) = (self.outcome)() {
            self.place = None;
            return Poll::Ready(outcome);
        }
        // The waker is cloned and dropped with nothing borrowed: both may run code of a user.
        let mut waker = LoopWaker::waiting(cx, self.wait);
        let mut waiters = self.waiters.0.borrow_mut();
        match self.place.and_then(|place| waiters.get_mut(place)) {
            Some(before) => std::mem::swap(before, &mut waker),
            None => {
                self.place = Some(waiters.insert(waker));
                return Poll::Pending;
            }
        }
        drop(waiters);
        drop(waker);
        Poll::Pending
    }
}

impl<F> Drop for Until<'_, F> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.waiters.0.borrow_mut().try_remove(place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    // Case `stale_waiters`
    #[test]
    fn a_wait_that_is_given_up_is_forgotten() {
        let (waiters, over) = (Waiters::default(), Cell::new(None));
        let cx = &mut Context::from_waker(Waker::noop());
        let mut kept = pin!(waiters.until(Wait::process(1), || over.get()));
        assert!(kept.as_mut().poll(cx).is_pending());
        for _ in 0..100 {
            let mut given_up = pin!(waiters.until(Wait::process(1), || over.get()));
            assert!(given_up.as_mut().poll(cx).is_pending());
            assert!(given_up.as_mut().poll(cx).is_pending());
            assert!(waiters.0.borrow().len() <= 2);
        }
        over.set(Some(5));
        waiters.wake_all();
        assert_eq!(kept.poll(cx), Poll::Ready(5));
    }
}

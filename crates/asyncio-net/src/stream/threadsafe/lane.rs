//! One direction of a relayed stream: bytes that move from one thread to another.

use std::io::{self, ErrorKind};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

/// The maximum number of bytes that wait for the other thread.
const CAPACITY: usize = 64 * 1024;

/// Bytes are put in by one thread, the *giver*, and taken out by another, the *taker*.
#[derive(Debug, Default)]
pub(super) struct Lane(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    /// The end: no more bytes come, or only this error.
    end: Option<Result<(), ErrorKind>>,
    /// The taker is gone, so bytes are refused.
    refusal: Option<ErrorKind>,
    /// Bytes that were put in, or the end, have not been sent yet.
    is_unsettled: bool,
    giver: Option<Waker>,
    taker: Option<Waker>,
}

impl Lane {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes the wakers that `change` returns, without the lock.
    fn change(&self, change: impl FnOnce(&mut State) -> [Option<Waker>; 2]) {
        let woken = change(&mut self.state());
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    // The giver.

    /// Puts in as many of the first `bytes` as there is room for; waits while there is none.
    pub(super) fn poll_put(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.end.is_some() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if let Some(kind) = state.refusal {
            return Poll::Ready(Err(kind.into()));
        }
        let count = bytes.len().min(CAPACITY.saturating_sub(state.bytes.len()));
        if count == 0 && !bytes.is_empty() {
            set(&mut state.giver, cx);
            return Poll::Pending;
        }
        state.bytes.extend_from_slice(&bytes[..count]);
        state.is_unsettled = true;
        let taker = state.taker.take();
        drop(state);
        if let Some(taker) = taker {
            taker.wake();
        }
        Poll::Ready(Ok(count))
    }

    /// Waits until bytes would be taken.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if let Some(kind) = state.refusal {
            return Poll::Ready(Err(kind.into()));
        }
        // The waker is stored even if there is room: a taker that ends wakes the giver.
        set(&mut state.giver, cx);
        if state.bytes.len() < CAPACITY { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Ends the input. The first end counts.
    pub(super) fn end(&self, end: Result<(), ErrorKind>) {
        self.change(|state| {
            if state.end.is_some() {
                return [None, None];
            }
            state.end = Some(end);
            state.is_unsettled = true;
            [state.taker.take(), None]
        });
    }

    /// Waits until everything that was put in, and the end, has been sent.
    pub(super) fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if !state.is_unsettled {
            return Poll::Ready(Ok(()));
        }
        if let Some(kind) = state.refusal {
            return Poll::Ready(Err(kind.into()));
        }
        set(&mut state.giver, cx);
        Poll::Pending
    }

    // The taker.

    /// Calls `take` with the available bytes, and drops as many as it returns; waits while there
    /// are none. At the end `take` is not called.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut BytesMut),
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.bytes.is_empty() {
            return match state.end {
                Some(end) => Poll::Ready(end.map_err(io::Error::from)),
                None => {
                    set(&mut state.taker, cx);
                    Poll::Pending
                }
            };
        }
        take(&mut state.bytes);
        let giver = state.giver.take();
        drop(state);
        if let Some(giver) = giver {
            giver.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes all available bytes; `None` at the end.
    pub(super) fn poll_take_all(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut taken = None;
        let poll = self.poll_take(cx, |bytes| taken = Some(mem::take(bytes).freeze()));
        poll.map_ok(|()| taken)
    }

    /// Notes that the taken bytes have been sent. An end that has come meanwhile has not.
    pub(super) fn settle(&self) {
        self.change(|state| {
            state.is_unsettled = !state.bytes.is_empty() || state.end.is_some();
            [state.giver.take(), None]
        });
    }

    /// Notes that the end has been sent too.
    pub(super) fn settle_end(&self) {
        self.change(|state| {
            state.is_unsettled = false;
            [state.giver.take(), None]
        });
    }

    /// Notes that the taker is gone: the giver gets this error from now on.
    pub(super) fn refuse(&self, kind: ErrorKind) {
        self.change(|state| {
            state.refusal.get_or_insert(kind);
            state.bytes.clear();
            [state.giver.take(), None]
        });
    }
}

/// Stores a waker, unless the stored one wakes the same task.
fn set(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    /// This is the case in which the other thread ends while the loop flushes taken bytes.
    #[test]
    fn an_end_is_settled_when_it_has_left_and_not_with_the_bytes_before_it() {
        let (lane, mut cx) = (Lane::default(), context());
        assert!(lane.poll_put(&mut cx, b"bytes").is_ready());
        assert!(lane.poll_take_all(&mut cx).is_ready());
        lane.end(Ok(()));
        lane.settle();
        assert!(lane.poll_settled(&mut cx).is_pending());
        assert!(matches!(lane.poll_take_all(&mut cx), Poll::Ready(Ok(None))));
        lane.settle_end();
        assert!(matches!(lane.poll_settled(&mut cx), Poll::Ready(Ok(()))));
    }

    #[test]
    fn bytes_that_came_during_a_flush_are_not_settled_by_it() {
        let (lane, mut cx) = (Lane::default(), context());
        assert!(lane.poll_put(&mut cx, b"one").is_ready());
        assert!(lane.poll_take_all(&mut cx).is_ready());
        assert!(lane.poll_put(&mut cx, b"two").is_ready());
        lane.settle();
        assert!(lane.poll_settled(&mut cx).is_pending());
        assert!(lane.poll_take_all(&mut cx).is_ready());
        lane.settle();
        assert!(lane.poll_settled(&mut cx).is_ready());
    }

    #[test]
    fn an_end_that_fails_is_told_to_who_waits_for_it() {
        let (lane, mut cx) = (Lane::default(), context());
        lane.end(Ok(()));
        assert!(lane.poll_settled(&mut cx).is_pending());
        lane.refuse(ErrorKind::ConnectionReset);
        let Poll::Ready(Err(error)) = lane.poll_settled(&mut cx) else { panic!("it waits") };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

//! Requests that wait for a connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Key, Pool};

/// A waiting request.
pub(super) struct Waiter {
    pub(super) key: Rc<Key>,
    /// Its place in the order of arrival.
    ticket: u64,
    is_woken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Waiter {
    /// Whether its turn has come. It is then no longer in the queue.
    pub(super) fn wake(&self) {
        self.is_woken.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_woken.get() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Waits for a turn, behind the requests with lower tickets. A turn that is not used goes to the
/// next request.
pub(super) async fn wait(pool: &Rc<Pool>, key: &Rc<Key>, ticket: u64) {
    let waiter = Rc::new(Waiter {
        key: Rc::clone(key),
        ticket,
        is_woken: Cell::new(false),
        waker: RefCell::default(),
    });
    {
        let mut waiters = pool.waiters.borrow_mut();
        let place = waiters.partition_point(|other| other.ticket < ticket);
        waiters.insert(place, Rc::clone(&waiter));
    }
    pool.with_host(key, |host| host.waiting += 1);
    let mut waiting = Waiting { pool, waiter, was_taken: false };
    poll_fn(|cx| waiting.waiter.poll(cx)).await;
    waiting.was_taken = true;
}

struct Waiting<'a> {
    pool: &'a Rc<Pool>,
    waiter: Rc<Waiter>,
    was_taken: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Self { pool, waiter, was_taken } = self;
        pool.with_host(&waiter.key, |host| host.waiting = host.waiting.saturating_sub(1));
        if *was_taken {
            return;
        }
        if waiter.is_woken.get() {
            pool.wake_next();
        } else {
            pool.waiters.borrow_mut().retain(|other| !Rc::ptr_eq(other, waiter));
        }
    }
}

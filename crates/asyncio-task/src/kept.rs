//! Values that belong to a loop, with an owner that any thread may drop.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::{Rc, Weak};

use asyncio_loop::machinery::{WaitKey, WaitList};
use asyncio_loop::{LoopHandle, LoopRef};
use send_wrapper::SendWrapper;

/// A value that the loop keeps until this is dropped, or until the loop is closed.
///
/// Other libraries drop the `Send` values that they are given on any thread, even after the loop
/// has been closed. The kept value itself never leaves the loop's thread, and is always dropped
/// there.
pub struct Kept<T: 'static> {
    /// `None` while this is dropped.
    place: Option<SendWrapper<Place<T>>>,
    home: LoopHandle,
}

/// The values that one loop keeps.
#[derive(Default)]
struct Keeper(RefCell<WaitList<Rc<dyn Any>>>);

struct Place<T> {
    value: Weak<T>,
    keeper: Weak<Keeper>,
    key: WaitKey,
}

impl<T> Kept<T> {
    /// Keeps `value` in the loop. Call this on the loop's thread.
    #[must_use]
    pub fn new(event_loop: &LoopRef, value: T) -> Self {
        let (value, keeper) = (Rc::new(value), event_loop.local::<Keeper>());
        let key = keeper.0.borrow_mut().push(Rc::clone(&value) as Rc<dyn Any>);
        let (value, keeper) = (Rc::downgrade(&value), Rc::downgrade(&keeper));
        let place = SendWrapper::new(Place { value, keeper, key });
        Self { place: Some(place), home: event_loop.handle() }
    }

    /// Whether the calling thread is the loop's.
    #[must_use]
    pub fn is_home(&self) -> bool {
        self.place.as_ref().is_some_and(SendWrapper::valid)
    }

    /// The value; `None` on other threads, and when the loop has been closed.
    #[must_use]
    pub fn get(&self) -> Option<Rc<T>> {
        let place = self.place.as_ref().filter(|place| place.valid())?;
        place.value.upgrade()
    }

    /// Makes the loop call `what` with the value, and then keep the value no longer. False if the
    /// loop is closed, and the value dropped.
    pub fn send_home(mut self, what: impl FnOnce(Rc<T>) + Send + 'static) -> bool {
        let Some(place) = self.place.take() else { return false };
        give_back(&self.home, place, |place| {
            let value = place.value.upgrade();
            drop(place);
            if let Some(value) = value {
                what(value);
            }
        })
    }
}

fn give_back<T: 'static>(
    home: &LoopHandle,
    place: SendWrapper<Place<T>>,
    what: impl FnOnce(Place<T>) + Send + 'static,
) -> bool {
    let sent = home.call_soon_threadsafe(move || what(place.take()));
    // The call was refused: the loop is closed, and has dropped the value. Only bare memory is
    // left.
    sent.map_err(mem::forget).is_ok()
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let Some(keeper) = self.keeper.upgrade() else { return };
        // The value is dropped with nothing borrowed.
        let _value = keeper.0.borrow_mut().remove(self.key);
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        match self.place.take() {
            Some(place) if place.valid() => drop(place),
            Some(place) => _ = give_back(&self.home, place, drop),
            None => {}
        }
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::{run, yield_now};
    use asyncio_loop::running_loop;

    /// Notes the thread on which it is dropped.
    struct Noting(Rc<Cell<Option<thread::ThreadId>>>);

    impl Drop for Noting {
        fn drop(&mut self) {
            self.0.set(Some(thread::current().id()));
        }
    }

    fn kept() -> (Kept<Noting>, Rc<Cell<Option<thread::ThreadId>>>) {
        let dropped = Rc::new(Cell::new(None));
        (Kept::new(&running_loop(), Noting(Rc::clone(&dropped))), dropped)
    }

    fn elsewhere<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
        thread::spawn(what).join().unwrap()
    }

    #[test]
    fn a_value_is_dropped_at_home_at_once_or_in_a_later_turn() {
        run(async {
            let this = Some(thread::current().id());
            let (value, dropped) = kept();
            assert!(value.is_home() && value.get().is_some());
            drop(value);
            assert_eq!(dropped.get(), this);

            let (value, dropped) = kept();
            elsewhere(move || {
                assert!(!value.is_home() && value.get().is_none());
                drop(value);
            });
            assert_eq!(dropped.get(), None);
            while dropped.get().is_none() {
                yield_now().await;
            }
            assert_eq!(dropped.get(), this);
        });
    }

    #[test]
    fn a_value_that_is_sent_home_is_given_to_the_function() {
        run(async {
            let (value, dropped) = kept();
            let (sender, receiver) = mpsc::channel();
            let give = move |value: Rc<Noting>| {
                assert_eq!(Rc::strong_count(&value), 1, "nobody else keeps it");
                mem::forget(value);
                sender.send(()).unwrap();
            };
            assert!(elsewhere(move || value.send_home(give)));
            while receiver.try_recv().is_err() {
                yield_now().await;
            }
            assert_eq!(dropped.get(), None);
        });
    }

    #[test]
    fn a_loop_that_closes_drops_what_it_keeps() {
        let (value, dropped) = run(async { kept() });
        assert_eq!(dropped.get(), Some(thread::current().id()));
        assert!(value.is_home() && value.get().is_none());
        assert!(!elsewhere(move || value.send_home(drop)));
        let (value, _) = run(async { kept() });
        elsewhere(move || drop(value));
    }
}

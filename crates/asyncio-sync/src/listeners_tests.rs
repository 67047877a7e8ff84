use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use asyncio_loop::{EventLoop, WaitsFor};
use proptest::prelude::*;

use super::*;

/// A waker that logs its number when it is woken.
struct Numbered(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(usize),
    /// Waits again, in another task.
    Move(usize),
    Leave(usize),
    /// Drops the receiver, and puts a new one in its place.
    Drop(usize),
    Signal,
}

const RECEIVERS: usize = 6;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..RECEIVERS).prop_map(Step::Wait),
        1 => (0..RECEIVERS).prop_map(Step::Move),
        3 => (0..RECEIVERS).prop_map(Step::Leave),
        1 => (0..RECEIVERS).prop_map(Step::Drop),
        1 => Just(Step::Signal),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn those_who_wait_are_woken_in_order(steps in steps()) {
        let listeners = Listeners::new(WaitsFor::Item);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waker = |receiver| Waker::from(Arc::new(Numbered(receiver, Arc::clone(&woken))));
        let mut wakers: Vec<_> = (0..RECEIVERS).map(waker).collect();
        let mut seats: Vec<_> = (0..RECEIVERS).map(|_| Seat::NONE).collect();
        let mut model: Vec<usize> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(receiver) | Step::Move(receiver) => {
                    if matches!(step, Step::Move(_)) {
                        wakers[receiver] = waker(receiver);
                    }
                    let cx = Context::from_waker(&wakers[receiver]);
                    listeners.wait(&mut seats[receiver], &cx);
                    if !model.contains(&receiver) {
                        model.push(receiver);
                    }
                }
                Step::Leave(receiver) => {
                    listeners.leave(&seats[receiver]);
                    model.retain(|other| *other != receiver);
                }
                Step::Drop(receiver) => {
                    let gone = std::mem::replace(&mut seats[receiver], Seat::NONE);
                    listeners.give_up(&gone);
                    model.retain(|other| *other != receiver);
                }
                Step::Signal => {
                    listeners.signal();
                    prop_assert_eq!(std::mem::take(&mut *woken.lock().unwrap()), &model[..]);
                    model.clear();
                }
            }
            if let Some(shared) = listeners.shared.get() {
                let seats = shared.seats.borrow();
                prop_assert_eq!(seats.waiting(), model.len());
                prop_assert!(seats.line.len() <= 2 * RECEIVERS, "gaps are closed");
                prop_assert!(seats.places.len() <= RECEIVERS, "seats are used again");
            }
        }
        prop_assert!(woken.lock().unwrap().is_empty(), "no receiver is woken without a signal");
    }
}

/// The code that a hostile waker runs when it is woken.
type Deed = Box<dyn Fn(&Listeners, &RefCell<Vec<Seat>>)>;

#[test]
fn whoever_is_woken_may_wait_leave_and_signal() {
    thread_local! {
        static LISTENERS: Listeners = Listeners::new(WaitsFor::Item);
        static SEATS: RefCell<Vec<Seat>> = RefCell::default();
        static DEEDS: RefCell<Vec<Deed>> = RefCell::default();
    }

    struct Hostile;

    impl Wake for Hostile {
        fn wake(self: Arc<Self>) {
            let deed = DEEDS.with(|deeds| deeds.borrow_mut().pop());
            LISTENERS.with(|listeners| {
                SEATS.with(|seats| deed.into_iter().for_each(|deed| deed(listeners, seats)));
            });
        }
    }

    let wait = |listeners: &Listeners, seats: &RefCell<Vec<Seat>>, number: usize| {
        let waker = Waker::from(Arc::new(Hostile));
        let mut seat = std::mem::replace(&mut seats.borrow_mut()[number], Seat::NONE);
        listeners.wait(&mut seat, &Context::from_waker(&waker));
        seats.borrow_mut()[number] = seat;
    };
    LISTENERS.with(|listeners| {
        SEATS.with(|seats| {
            seats.borrow_mut().extend((0..4).map(|_| Seat::NONE));
            (0..4).for_each(|number| wait(listeners, seats, number));
            // The listeners are woken from the last to the first.
            let deeds: [Deed; 3] = [
                Box::new(|listeners, seats| {
                    let gone = std::mem::replace(&mut seats.borrow_mut()[3], Seat::NONE);
                    listeners.give_up(&gone);
                }),
                Box::new(move |listeners, seats| wait(listeners, seats, 1)),
                Box::new(|listeners, seats| {
                    listeners.leave(&seats.borrow()[2]);
                    listeners.signal();
                }),
            ];
            DEEDS.with(|all| all.borrow_mut().extend(deeds));
            listeners.signal();
            assert_eq!(DEEDS.with(|deeds| deeds.borrow().len()), 0, "three were woken");
            let shared = listeners.shared.get().expect("a receiver has waited");
            assert_eq!(shared.seats.borrow().waiting(), 1, "the receiver that waits again");
        });
    });
}

#[test]
fn a_task_keeps_its_seat_and_its_waker() {
    let event_loop = EventLoop::new().expect("a poller");
    let listeners = Listeners::new(WaitsFor::Item);
    let (mut seat, mut polls) = (Seat::NONE, 0);
    let waiting = std::future::poll_fn(|cx| {
        polls += 1;
        let anew = listeners.wait(&mut seat, cx);
        assert_eq!(anew, polls == 1, "only the first wait takes a waker");
        listeners.signal();
        if polls == 3 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    event_loop.run_until_complete(waiting).expect("a signal wakes it");
}

//! Compares the list with a simple model: the futures that joined, in order, and the state of each.

use std::cell::Cell;
use std::task::{Context, Waker};

use proptest::prelude::*;

use super::{Key, State, WaiterList, Wake};

thread_local! {
    static JOINED: Cell<usize> = const { Cell::new(0) };
}

/// The waker of the future that joined as number n.
#[derive(Debug, PartialEq, Eq)]
struct Numbered(usize);

impl Wake for Numbered {
    fn of(_: &Context<'_>) -> Self {
        Self(JOINED.replace(JOINED.get() + 1))
    }

    fn is_current(&self, _: &Context<'_>) -> bool {
        true
    }

    fn wake(self) {}
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Join,
    Notify,
    Withdraw,
    PassOver,
    /// Reads the state of a future that has not left.
    Answer(usize),
    Leave(usize),
    Refresh(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Join),
        3 => Just(Step::Notify),
        1 => Just(Step::Withdraw),
        1 => Just(Step::PassOver),
        3 => any::<usize>().prop_map(Step::Answer),
        3 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Refresh),
    ];
    prop::collection::vec(step, 0..200)
}

struct Model {
    line: WaiterList<Numbered>,
    /// The futures that have not left, in order, with the number of the waker if it is in the list.
    waiters: Vec<(Key, State, Option<usize>)>,
}

impl Model {
    fn at(&self, n: usize) -> Option<usize> {
        n.checked_rem(self.waiters.len())
    }

    fn step(&mut self, step: Step) {
        let cx = &Context::from_waker(Waker::noop());
        match step {
            Step::Join => {
                let number = JOINED.get();
                self.waiters.push((self.line.join(cx), State::Waiting, Some(number)));
            }
            Step::Notify => {
                let next = self.waiters.iter_mut().find(|waiter| waiter.1 == State::Waiting);
                let number = next.and_then(|waiter| {
                    waiter.1 = State::Notified;
                    waiter.2.take()
                });
                assert_eq!(self.line.notify(), number.map(Numbered));
            }
            Step::Withdraw => {
                self.line.withdraw();
                if let Some(last) = self.waiters.iter_mut().rfind(|it| it.1 == State::Notified) {
                    last.1 = State::Waiting;
                }
            }
            Step::PassOver => {
                self.line.pass_over();
                if let Some(first) = self.waiters.iter_mut().find(|it| it.1 == State::Notified) {
                    first.1 = State::Out;
                }
            }
            Step::Answer(n) => {
                let Some(at) = self.at(n) else { return };
                let (key, state, _) = self.waiters[at];
                assert_eq!(self.line.answer(key), state == State::Notified);
                if state == State::Notified {
                    self.waiters.remove(at);
                }
            }
            Step::Leave(n) => {
                let Some(at) = self.at(n) else { return };
                let (key, state, number) = self.waiters.remove(at);
                assert_eq!(self.line.leave(key), (state, number.map(Numbered)));
            }
            Step::Refresh(n) => {
                let Some(at) = self.at(n) else { return };
                let waiter = &mut self.waiters[at];
                if waiter.1 == State::Waiting {
                    let number = JOINED.get();
                    assert_eq!(self.line.refresh(waiter.0, cx), None);
                    waiter.2.get_or_insert(number);
                }
            }
        }
    }

    fn check(&self) {
        let count = |state| self.waiters.iter().filter(|waiter| waiter.1 == state).count();
        assert_eq!(self.line.notified(), count(State::Notified));
        assert_eq!(self.line.waiting(), count(State::Waiting));
        for &(key, state, _) in &self.waiters {
            assert_eq!(self.line.state(key), state);
        }
        let ring = self.line.ring.borrow();
        assert!(ring.places.len() <= 2 * self.line.len(), "more gaps than waiters");
        assert_eq!(ring.places.is_empty(), !self.line.in_ring.get());
    }
}

proptest! {
    #[test]
    fn every_step_does_what_the_model_does(steps in steps()) {
        JOINED.set(0);
        let mut model = Model { line: WaiterList::default(), waiters: vec![] };
        for step in steps {
            model.step(step);
            model.check();
        }
    }

    /// Futures that have left are not notified, and the others are, in order.
    #[test]
    fn everybody_is_called_in_order(leaves in prop::collection::vec(any::<bool>(), 0..20)) {
        JOINED.set(0);
        let line = WaiterList::<Numbered>::default();
        let cx = &Context::from_waker(Waker::noop());
        for _ in 0..2 {
            let first = JOINED.get();
            let keys: Vec<_> = leaves.iter().map(|_| line.join(cx)).collect();
            for (key, _) in keys.iter().zip(&leaves).filter(|(_, leaves)| **leaves) {
                line.leave(*key);
            }
            let (only, all) = line.notify_all();
            let mut called: Vec<_> = only.into_iter().collect();
            if let Some(mut all) = all {
                called.extend(all.wakers());
                line.recycle(all);
            }
            let stayed = leaves.iter().enumerate().filter(|(_, leaves)| !**leaves);
            let expected: Vec<_> = stayed.map(|(n, _)| Numbered(first + n)).collect();
            prop_assert_eq!(called, expected);
            prop_assert_eq!(line.len(), 0);
            for key in keys {
                prop_assert!(line.was_called(key));
                prop_assert_eq!(line.leave(key), (State::Out, None));
            }
        }
    }
}

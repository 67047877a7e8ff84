//! Permits are conserved, and given in order, when futures and guards are dropped at random.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_sync::{Condition, Lock, OwnedPermit, Semaphore};
use common::{Id, Turns};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A task that takes a permit for good.
    Acquire,
    TryAcquire,
    /// A task that polls its wait once and then neither polls nor drops it.
    KeepAside,
    /// Gives the n-th permit back.
    Release(usize),
    /// Cancels the n-th task.
    Cancel(usize),
    /// Gives a permit back and ends a task, in one turn.
    ReleaseAndCancel(usize),
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Acquire),
        1 => Just(Step::TryAcquire),
        1 => Just(Step::KeepAside),
        3 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::ReleaseAndCancel),
        3 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 0..80)
}

struct World {
    turns: Turns,
    semaphore: Rc<Semaphore>,
    tasks: Vec<Id>,
    /// The tasks that have taken a permit, and the permits that are held.
    served: Rc<RefCell<Vec<usize>>>,
    held: Rc<RefCell<Vec<OwnedPermit>>>,
    aside: usize,
}

impl World {
    fn new(permits: usize) -> Self {
        Self {
            turns: Turns::new(),
            semaphore: Rc::new(Semaphore::new(permits)),
            tasks: vec![],
            served: Rc::default(),
            held: Rc::default(),
            aside: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Acquire => {
                let (semaphore, name) = (self.semaphore.clone(), self.tasks.len());
                let (served, held) = (self.served.clone(), self.held.clone());
                self.tasks.push(self.turns.spawn(async move {
                    let permit = semaphore.acquire_owned().await;
                    served.borrow_mut().push(name);
                    held.borrow_mut().push(permit);
                }));
            }
            Step::TryAcquire => {
                let permit = self.semaphore.clone().try_acquire_owned();
                self.held.borrow_mut().extend(permit);
            }
            Step::KeepAside => self.keep_aside(),
            Step::Release(n) => self.release(n),
            Step::Cancel(n) => self.cancel(n),
            Step::ReleaseAndCancel(n) => {
                self.release(n);
                self.cancel(n);
            }
            Step::Turn => drop(self.turns.turn()),
        }
    }

    /// Keeps at most one future unpolled: behind two neighbours, a wake needs a newcomer or this
    /// project's loop.
    fn keep_aside(&mut self) {
        if self.aside > 0 {
            return;
        }
        self.aside = 1;
        let semaphore = self.semaphore.clone();
        let held = self.held.clone();
        self.turns.spawn(async move {
            let mut future = Box::pin(semaphore.acquire_owned());
            if let std::task::Poll::Ready(permit) = futures::poll!(future.as_mut()) {
                held.borrow_mut().push(permit);
            }
            std::future::pending::<()>().await;
        });
    }

    fn release(&self, n: usize) {
        let permit = {
            let mut held = self.held.borrow_mut();
            if held.is_empty() {
                return;
            }
            let n = n % held.len();
            held.swap_remove(n)
        };
        drop(permit);
    }

    fn cancel(&self, n: usize) {
        if !self.tasks.is_empty() {
            self.turns.cancel(self.tasks[n % self.tasks.len()]);
        }
    }
}

proptest! {
    #[test]
    fn permits_are_conserved(permits in 0_usize..4, steps in steps()) {
        let mut world = World::new(permits);
        for step in steps {
            world.step(step);
            let held = world.held.borrow().len();
            prop_assert_eq!(world.semaphore.available() + held, permits);
        }
        world.turns.run();
        let free = world.semaphore.available();
        prop_assert_eq!(free + world.held.borrow().len(), permits);
        let waiting = world.tasks.iter().filter(|&&id| !world.turns.is_done(id)).count();
        prop_assert!(free == 0 || waiting == 0, "{} free, {} waiting", free, waiting);
    }

    /// Tasks that are not cancelled are served in the order of their arrival. The test uses a
    /// single permit, since two tasks that are woken in one turn may be polled in any order.
    #[test]
    fn a_permit_goes_round_in_order(
        steps in prop::collection::vec(prop_oneof![
            Just(Step::Acquire), any::<usize>().prop_map(Step::Release), Just(Step::Turn),
        ], 0..80),
    ) {
        let mut world = World::new(1);
        for step in steps {
            world.step(step);
        }
        world.turns.run();
        prop_assert!(world.served.borrow().is_sorted());
    }

    /// One task holds the lock at a time, whatever is dropped when, and each task that is not
    /// cancelled gets the lock.
    #[test]
    fn a_lock_excludes(
        work in prop::collection::vec((0_usize..3, prop::option::of(0_usize..8)), 1..12),
    ) {
        let (turns, lock) = (Turns::new(), Rc::new(Lock::new(0)));
        let mut cancels = vec![];
        for &(rounds, cancel) in &work {
            let lock = lock.clone();
            let id = turns.spawn(async move {
                for _ in 0..=rounds {
                    let mut guard = lock.acquire().await;
                    *guard += 1;
                    let mine = *guard;
                    common::yield_now().await;
                    assert_eq!(*guard, mine);
                }
            });
            cancels.extend(cancel.map(|turn| (turn, id)));
        }
        for turn in 0..8 {
            cancels.iter().filter(|(when, _)| *when == turn).for_each(|&(_, id)| turns.cancel(id));
            turns.turn();
        }
        turns.run();
        prop_assert_eq!(turns.unfinished(), 0);
        prop_assert!(!lock.is_locked());
    }

    /// For each notification one task takes an apple, whichever tasks are cancelled in between.
    #[test]
    fn notifications_are_conserved(
        eaters in 1_usize..6,
        cancels in prop::collection::vec((0_usize..6, 0_usize..12), 0..4),
    ) {
        let (turns, apples) = (Turns::new(), Rc::new(Condition::new(0_usize)));
        let ids: Vec<_> = (0..eaters).map(|_| {
            let apples = apples.clone();
            turns.spawn(async move {
                *apples.wait_for(apples.acquire().await, |apples| *apples > 0).await -= 1;
            })
        }).collect();
        let grower = apples.clone();
        turns.spawn(async move {
            for _ in 0..eaters {
                let mut guard = grower.acquire().await;
                *guard += 1;
                grower.notify(&guard, 1);
                drop(guard);
                common::yield_now().await;
            }
        });
        for turn in 0..12 {
            for &(eater, when) in &cancels {
                if when == turn && eater < eaters {
                    turns.cancel(ids[eater]);
                }
            }
            turns.turn();
        }
        turns.run();
        prop_assert_eq!(turns.unfinished(), 0, "each notified task has an apple");
    }
}

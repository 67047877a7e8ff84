//! The turn of a loop that has a director.

use std::io;
use std::rc::Rc;

use super::director::{Director, Rest, Step};
use super::marks::{HOOKS, STOPPING};
use super::running::try_running_loop;
use super::{Inner, RESTLESS_TURNS};
use crate::clock::{LoopTime, system_nanos};
use crate::driver::Wait;
use crate::kernel::{Candidate, Candidates, LocalScheduler, LoopWaker};

/// Turns between two polls for descriptors, while there is work.
const POLL_TURNS: u64 = 16;

/// The director of a loop, and the candidates that it may choose from. Between runs the candidates
/// are in the ready queue.
#[derive(Debug)]
pub(super) struct Guided {
    director: Rc<dyn Director>,
    candidates: Candidates,
}

impl std::fmt::Debug for dyn Director {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Director")
    }
}

impl Guided {
    pub(super) fn new(director: Rc<dyn Director>, scheduler: &LocalScheduler) -> Self {
        Self { director, candidates: Candidates::new(scheduler) }
    }

    /// The number of candidates, without the entries of the ready queue.
    pub(super) fn ready(&self) -> usize {
        self.candidates.total()
    }

    pub(super) fn director(&self) -> Rc<dyn Director> {
        Rc::clone(&self.director)
    }
}

/// A choice of the director, taken out of the candidates.
enum Chosen {
    Run(Candidate),
    PutOff(Candidate, LoopTime),
    Nothing,
}

impl Inner {
    /// [`turn`](Inner::turn) with a director.
    pub(super) fn guided_turn(&self) -> io::Result<bool> {
        let Some(director) = self.guided.borrow().as_ref().map(Guided::director) else {
            return Ok(true);
        };
        if !director.between_turns() {
            self.marks.set(STOPPING, true);
            return Ok(true);
        }
        self.guided_poll(&*director)?;
        let count = self.with_candidates(Candidates::begin_turn);
        for _ in 0..count {
            match self.choose(&*director) {
                Chosen::Run(candidate) => {
                    director.before(candidate.task().as_ref());
                    candidate.run();
                }
                Chosen::PutOff(candidate, until) => self.put_off(candidate.put_off(), until),
                Chosen::Nothing => break,
            }
        }
        self.end_turn();
        Ok(true)
    }

    /// Runs `f`, which calls no code of a user, with the candidates.
    fn with_candidates<R>(&self, f: impl FnOnce(&mut Candidates) -> R) -> R {
        let mut guided = self.guided.borrow_mut();
        let guided = guided.as_mut().expect("a director is not taken away in a run");
        guided.candidates.absorb();
        f(&mut guided.candidates)
    }

    fn choose(&self, director: &dyn Director) -> Chosen {
        let now = LoopTime::from_nanos(self.clock.now());
        self.with_candidates(|candidates| {
            if candidates.is_empty() {
                return Chosen::Nothing;
            }
            match director.next(candidates, now) {
                Step::Run(index) => Chosen::Run(candidates.take(index)),
                Step::PutOff(index, until) => Chosen::PutOff(candidates.take(index), until),
                Step::Stop => {
                    self.marks.set(STOPPING, true);
                    Chosen::Nothing
                }
            }
        })
    }

    fn put_off(&self, waker: Option<LoopWaker>, until: LoopTime) {
        if let Some(waker) = waker {
            self.timers.borrow_mut().insert(until.as_nanos(), waker);
        }
    }

    /// Puts the candidates back into the ready queue, at the end of a run.
    #[cold]
    pub(super) fn restore_candidates(&self) {
        if let Some(guided) = self.guided.borrow_mut().as_mut() {
            guided.candidates.restore();
        }
    }

    /// Takes the remote queue when the director says so, polls the driver, and moves the clock when
    /// nothing is ready.
    fn guided_poll(&self, director: &dyn Director) -> io::Result<()> {
        if self.has_guided_work() {
            if self.scheduler.has_remote() && director.takes_remote() {
                self.scheduler.take_remote();
            }
            if self.scheduler.turns() % POLL_TURNS == 0 && self.driver.is_watching() {
                self.driver.poll(Wait::Now)?;
            }
            if self.scheduler.turns() - self.rested.get() >= RESTLESS_TURNS {
                self.move_clock(director, false);
            }
        } else {
            self.scheduler.take_remote();
            if self.driver.is_watching() {
                self.driver.poll(Wait::Now)?;
            }
            if !self.has_guided_work() && !self.move_clock(director, true) {
                self.stall(director)?;
            }
        }
        self.expire_picked(director);
        Ok(())
    }

    pub(super) fn has_guided_work(&self) -> bool {
        !self.with_candidates(|candidates| candidates.is_empty())
            || self.marks.has(STOPPING | HOOKS)
    }

    /// Moves the clock to the next deadline; false if there is none.
    fn move_clock(&self, director: &dyn Director, idle: bool) -> bool {
        self.rested.set(self.scheduler.turns());
        match director.rest(self.next_deadline().map(LoopTime::from_nanos), idle) {
            Rest::MoveTo(moment) => {
                self.clock.advance_to(moment.as_nanos());
                director.moved(LoopTime::from_nanos(self.clock.now()), idle);
                true
            }
            Rest::Again => true,
            Rest::Stall => false,
        }
    }

    /// Called when nothing is ready and there is no deadline: waits for other threads and
    /// descriptors as long as the director says.
    fn stall(&self, director: &dyn Director) -> io::Result<()> {
        let Ok(event_loop) = try_running_loop() else { return Ok(()) };
        let reachable = self.scheduler.is_held_elsewhere() || self.driver.is_watching();
        match director.stalled(&event_loop, reachable) {
            None => self.marks.set(STOPPING, true),
            Some(wait) if self.scheduler.prepare_park() => {
                let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                let until = system_nanos().saturating_add(wait);
                let polled = self.driver.poll(Wait::Until(until));
                self.scheduler.unparked();
                polled?;
            }
            Some(_) => {}
        }
        self.scheduler.take_remote();
        Ok(())
    }

    /// Wakes the waiters whose deadlines have come: in order of the deadlines, equal ones in the
    /// order that the director picks.
    fn expire_picked(&self, director: &dyn Director) {
        let now = self.clock.now();
        self.scheduler.set_time(LoopTime::from_nanos(now));
        loop {
            let mut equal = Vec::new();
            {
                let mut timers = self.timers.borrow_mut();
                let Some(deadline) = timers.next_deadline().filter(|&next| next <= now) else {
                    return;
                };
                while timers.next_deadline() == Some(deadline) {
                    equal.extend(timers.pop_due(deadline).map(|(_, waker)| waker));
                }
            }
            while equal.len() > 1 {
                equal.remove(director.pick(equal.len()).min(equal.len() - 1)).wake();
            }
            equal.into_iter().for_each(LoopWaker::wake);
        }
    }
}

//! The director, which decides the order of a loop under test.

use std::rc::Rc;
use std::time::Duration;

use super::LoopRef;
use super::guided::Guided;
use super::marks::GUIDED;
use crate::clock::LoopTime;
use crate::executor::Job;
use crate::kernel::{Candidates, TaskRef};

/// The next action of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Runs the candidate with this index.
    Run(usize),
    /// Keeps the task with this index from running until the moment, or until it is woken again.
    PutOff(usize, LoopTime),
    /// Stops the run, as [`LoopRef::stop`] does, without running anything more.
    Stop,
}

/// How a loop that has nothing to run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Its clock moves.
    MoveTo(LoopTime),
    /// It checks again, because other code may have given it work.
    Again,
    /// There is no deadline to wait for.
    Stall,
}

/// Decides the order of ready tasks and callbacks, of equal deadlines and of wakes from other
/// threads, and when jobs run.
///
/// The loop calls it on its own thread, with virtual time. A loop without a director runs
/// everything in first-in-first-out order, and pays nothing.
pub trait Director {
    /// Called before each turn, when no code of the loop runs, so that other loops can make their
    /// turns. False stops the run.
    fn between_turns(&self) -> bool {
        true
    }

    /// Chooses what runs next. It must not use the loop.
    fn next(&self, ready: &Candidates, now: LoopTime) -> Step;

    /// Called with the task (`None` for a callback) that is about to run.
    fn before(&self, task: Option<&TaskRef>);

    /// Chooses one of `count` items that the loop may take in any order; 0 is the first.
    fn pick(&self, count: usize) -> usize;

    /// Whether the loop takes callbacks and tasks that other threads have scheduled, while it has
    /// others to run.
    fn takes_remote(&self) -> bool;

    /// Says how the loop goes on when nothing is ready (`idle`), or when the loop has been busy for
    /// very long. `deadline` is the next one.
    fn rest(&self, deadline: Option<LoopTime>, idle: bool) -> Rest {
        let _ = idle;
        deadline.map_or(Rest::Stall, Rest::MoveTo)
    }

    /// Called when the clock has moved to the next deadline, because nothing was ready (`idle`), or
    /// because the loop has been busy for very long.
    fn moved(&self, to: LoopTime, idle: bool);

    /// Called when nothing is ready and there is no deadline. `reachable` says whether another
    /// thread or a descriptor could still wake the loop. Returns how long to wait for that; `None`
    /// stops the run.
    fn stalled(&self, event_loop: &LoopRef, reachable: bool) -> Option<Duration>;

    /// Takes a job that was meant for an executor, and makes sure that it is run.
    fn execute(&self, event_loop: &LoopRef, job: Job);

    /// A random number.
    fn random(&self) -> u64;
}

impl LoopRef {
    /// Makes `director` decide the order from now on; `None` restores first-in-first-out order.
    /// Call it outside a run. It needs virtual time.
    ///
    /// # Panics
    ///
    /// If called in a run, and if the loop's time is not virtual.
    #[doc(hidden)]
    pub fn set_director(&self, director: Option<Rc<dyn Director>>) {
        assert!(!self.is_running(), "a running loop keeps its director");
        assert!(self.is_virtual_time(), "a loop with a director has virtual time");
        if self.is_closed() {
            return;
        }
        let pick = director.clone().map(|director| -> Rc<dyn Fn(usize) -> usize> {
            Rc::new(move |count| director.pick(count))
        });
        self.0.scheduler.set_pick(pick);
        self.0.marks.set(GUIDED, director.is_some());
        let guided = director.map(|director| Guided::new(director, &self.0.scheduler));
        let before = self.0.guided.replace(guided);
        drop(before);
    }

    /// The director, if there is one.
    #[doc(hidden)]
    #[must_use]
    pub fn director(&self) -> Option<Rc<dyn Director>> {
        if !self.0.marks.has(GUIDED) {
            return None;
        }
        self.0.guided.borrow().as_ref().map(Guided::director)
    }
}

/// For helpers of tests.
impl LoopRef {
    /// The number of callbacks and tasks that are ready, without the running one.
    #[doc(hidden)]
    #[must_use]
    pub fn ready_count(&self) -> usize {
        self.0.scheduler.ready() + self.0.guided.borrow().as_ref().map_or(0, Guided::ready)
    }

    /// A number that changes when another thread schedules something, and is 0 when the loop has
    /// taken all of it.
    #[doc(hidden)]
    #[must_use]
    pub fn remote_mark(&self) -> usize {
        self.0.scheduler.remote_mark()
    }
}

/// A random number: of the running loop's director, or of the system's generator.
#[must_use]
pub fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};

    let director = super::running::with_running(LoopRef::director).ok().flatten();
    director.map_or_else(|| RandomState::new().hash_one(0_u8), |director| director.random())
}

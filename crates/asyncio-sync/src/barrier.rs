//! [`Barrier`]: tasks wait until all of them have arrived.

use std::cell::{Cell, RefCell};
use std::fmt;

use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::at_await;

use crate::error::BrokenBarrier;
use crate::line::{Line, Signal};

/// A point at which a fixed number of tasks wait for each other, in rounds.
///
/// A round fills up as tasks call [`wait`](Self::wait). When the last one arrives, all go on. A
/// task that arrives while others leave waits for the next round.
///
/// # From asyncio
///
/// `async with barrier as position` is `let position = barrier.wait().await?`. Positions stay
/// distinct even after a waiting task was cancelled. [`reset`](Self::reset) and
/// [`abort`](Self::abort) need no `await`.
///
/// # Examples
///
/// ```
/// use asyncio_sync::Barrier;
///
/// # futures::executor::block_on(async {
/// let barrier = Barrier::new(2);
/// let (first, second) = futures::join!(barrier.wait(), barrier.wait());
/// assert_eq!((first, second), (Ok(0), Ok(1)));
/// # });
/// ```
pub struct Barrier {
    parties: usize,
    phase: Cell<Phase>,
    /// Tasks in this round that have not left.
    inside: Cell<usize>,
    arrived: RefCell<Arrivals>,
    arrivals: Cell<u64>,
    filling: Line,
    next_round: Line,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl Barrier {
    /// Creates a barrier for `parties` tasks.
    ///
    /// # Panics
    ///
    /// If `parties` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(parties: usize) -> Self {
        assert!(parties > 0, "a barrier needs one party at least");
        Self {
            parties,
            phase: Cell::new(Phase::Filling),
            inside: Cell::new(0),
            arrived: RefCell::default(),
            arrivals: Cell::new(0),
            filling: Line::new(WaitsFor::Barrier),
            next_round: Line::new(WaitsFor::Barrier),
        }
    }

    /// Waits until all parties have called this. Returns the position in the order of arrival, from
    /// 0.
    ///
    /// The last party to arrive does not wait.
    ///
    /// # Errors
    ///
    /// [`BrokenBarrier`] if the barrier was aborted, or was reset while this call waited.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the round is complete removes this party from the round; the
    /// barrier is not broken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Barrier;
    /// # futures::executor::block_on(async {
    /// let barrier = Barrier::new(1);
    /// assert_eq!(barrier.wait().await, Ok(0));
    /// assert_eq!(barrier.wait().await, Ok(0));
    /// # });
    /// ```
    pub fn wait(&self) -> impl Future<Output = Result<usize, BrokenBarrier>> {
        at_await(self.pass())
    }

    async fn pass(&self) -> Result<usize, BrokenBarrier> {
        while matches!(self.phase.get(), Phase::Draining | Phase::Resetting) {
            Signal::new(&self.next_round).await;
        }
        if self.is_broken() {
            return Err(BrokenBarrier(()));
        }
        let party = self.enter();
        if self.inside.get() == self.parties {
            self.phase.set(Phase::Draining);
            self.arrived.borrow_mut().close_gaps();
            self.filling.signal();
        } else {
            Signal::new(&self.filling).await;
        }
        match self.phase.get() {
            Phase::Resetting | Phase::Broken => Err(BrokenBarrier(())),
            Phase::Filling | Phase::Draining => Ok(party.position()),
        }
    }

    fn enter(&self) -> Party<'_> {
        let arrival = self.arrivals.get();
        self.arrivals.set(arrival + 1);
        self.arrived.borrow_mut().add(arrival);
        self.inside.set(self.inside.get() + 1);
        Party { barrier: self, arrival }
    }

    /// Ends every wait with an error and starts a new round.
    ///
    /// Tasks that already wait for the next round take part in it. A broken barrier can be used
    /// again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Barrier;
    /// let barrier = Barrier::new(2);
    /// barrier.abort();
    /// barrier.reset();
    /// assert!(!barrier.is_broken());
    /// ```
    pub fn reset(&self) {
        if self.inside.get() > 0 {
            self.phase.set(Phase::Resetting);
            self.filling.signal();
        } else {
            self.begin_round();
        }
    }

    /// Breaks the barrier: every wait ends with an error, and so does every later one until it is
    /// [reset](Self::reset).
    ///
    /// Call this when one of the parties cannot arrive any more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Barrier;
    /// # futures::executor::block_on(async {
    /// let barrier = Barrier::new(2);
    /// barrier.abort();
    /// assert!(barrier.wait().await.is_err());
    /// # });
    /// ```
    pub fn abort(&self) {
        self.phase.set(Phase::Broken);
        self.filling.signal();
        self.next_round.signal();
    }

    /// The number of tasks that a round needs.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Barrier::new(3).parties(), 3);
    /// ```
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// The number of tasks that wait for the round to be complete.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Barrier::new(3).n_waiting(), 0);
    /// ```
    pub fn n_waiting(&self) -> usize {
        if self.phase.get() == Phase::Filling { self.inside.get() } else { 0 }
    }

    /// Whether the barrier was aborted.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!asyncio_sync::Barrier::new(3).is_broken());
    /// ```
    #[doc(alias = "broken")]
    pub fn is_broken(&self) -> bool {
        self.phase.get() == Phase::Broken
    }

    fn leave(&self, arrival: u64) {
        let inside = self.inside.get() - 1;
        self.inside.set(inside);
        match self.phase.get() {
            Phase::Filling => self.arrived.borrow_mut().remove(arrival),
            Phase::Draining | Phase::Resetting if inside == 0 => self.begin_round(),
            Phase::Broken if inside == 0 => self.arrived.borrow_mut().clear(),
            Phase::Draining | Phase::Resetting | Phase::Broken => {}
        }
    }

    fn begin_round(&self) {
        self.arrived.borrow_mut().clear();
        self.phase.set(Phase::Filling);
        self.next_round.signal();
    }
}

/// The arrivals of a round, in order. Parties that give up while it fills leave gaps, which are
/// closed when half of the places are gaps, and when the round is complete.
#[derive(Default)]
struct Arrivals {
    places: Vec<Arrival>,
    gaps: usize,
}

struct Arrival {
    number: u64,
    is_gap: bool,
}

impl Arrivals {
    fn add(&mut self, number: u64) {
        self.places.push(Arrival { number, is_gap: false });
    }

    fn remove(&mut self, number: u64) {
        let at = position(&self.places, number);
        let Some(place) = self.places.get_mut(at) else { return };
        place.is_gap = true;
        self.gaps += 1;
        if self.gaps > self.places.len() / 2 {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        if self.gaps > 0 {
            self.places.retain(|place| !place.is_gap);
            self.gaps = 0;
        }
    }

    /// The number of earlier arrivals. Valid only while there are no gaps.
    fn position(&self, number: u64) -> usize {
        position(&self.places, number)
    }

    fn clear(&mut self) {
        self.places.clear();
        self.gaps = 0;
    }
}

fn position(places: &[Arrival], number: u64) -> usize {
    places.partition_point(|place| place.number < number)
}

/// A task that takes part in a round, until dropped.
struct Party<'a> {
    barrier: &'a Barrier,
    arrival: u64,
}

impl Party<'_> {
    fn position(&self) -> usize {
        self.barrier.arrived.borrow().position(self.arrival)
    }
}

impl Drop for Party<'_> {
    fn drop(&mut self) {
        self.barrier.leave(self.arrival);
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Barrier");
        output.field("state", &self.phase.get());
        if !self.is_broken() {
            output.field("waiters", &format_args!("{}/{}", self.n_waiting(), self.parties));
        }
        output.finish()
    }
}

//! Histories of operations, and a check that they are linearizable.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::rc::Rc;

/// Operations on an object that tasks share, with the moments at which they began and ended.
///
/// [`check`](Self::check) says whether the history is *linearizable*: whether each operation could
/// have taken effect at one moment between its beginning and its end, so that all results are those
/// of a sequential execution.
///
/// # Examples
///
/// A counter that two tasks increment, and that loses an update:
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_task::{create_task, yield_now};
/// use asyncio_testing::{History, Simulation};
///
/// let failure = Simulation::new().seeds(100).check(async || {
///     let (history, counter) = (History::new(), Rc::new(Cell::new(0)));
///     let tasks = [0, 1].map(|way| {
///         let (history, counter) = (history.clone(), Rc::clone(&counter));
///         create_task(async move {
///             for _ in 0..3 * way {
///                 yield_now().await;
///             }
///             let call = history.begin("add");
///             let before = counter.get();
///             yield_now().await;
///             counter.set(before + 1);
///             call.end(before);
///         })
///     });
///     for task in tasks {
///         task.await.unwrap();
///     }
///     history.check(0, |count, _| {
///         *count += 1;
///         *count - 1
///     })
/// });
/// assert!(failure.unwrap_err().message().contains("not linearizable"));
/// ```
#[derive(Debug)]
pub struct History<O, R>(Rc<RefCell<Events<O, R>>>);

#[derive(Debug)]
struct Events<O, R> {
    calls: Vec<Call<O, R>>,
    /// The number of beginnings and ends so far, which is the clock of the history.
    now: usize,
}

#[derive(Debug)]
struct Call<O, R> {
    operation: O,
    began: usize,
    /// When the operation ended, and its result; `None` if it did not end.
    ended: Option<(usize, R)>,
}

impl<O, R> Clone for History<O, R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<O, R> Default for History<O, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O, R> History<O, R> {
    /// An empty history. Clones share it.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(RefCell::new(Events { calls: Vec::new(), now: 0 })))
    }

    /// Notes that an operation begins.
    ///
    /// If the returned value is dropped without [`end`](PendingCall::end), the operation may have
    /// taken effect or not, like a request whose answer was lost.
    pub fn begin(&self, operation: O) -> PendingCall<O, R> {
        let mut events = self.0.borrow_mut();
        let began = events.tick();
        events.calls.push(Call { operation, began, ended: None });
        PendingCall { history: self.clone(), call: events.calls.len() - 1 }
    }
}

impl<O, R> Events<O, R> {
    fn tick(&mut self) -> usize {
        self.now += 1;
        self.now
    }
}

/// An operation that has begun.
#[derive(Debug)]
#[must_use = "an operation that ends has a result"]
pub struct PendingCall<O, R> {
    history: History<O, R>,
    call: usize,
}

impl<O, R> PendingCall<O, R> {
    /// Notes that the operation has ended, with this result.
    pub fn end(self, result: R) {
        let mut events = self.history.0.borrow_mut();
        let ended = events.tick();
        events.calls[self.call].ended = Some((ended, result));
    }
}

impl<O: Debug, R: Debug + PartialEq> History<O, R> {
    /// Searches for a sequential order that explains the results. `step` applies one operation to
    /// the state of a sequential model, and returns its result.
    ///
    /// The algorithm is the one of Wing and Gong ("Testing and Verifying Concurrent Objects",
    /// 1993), with a cache of visited states as Lowe proposed. Its time may grow exponentially with
    /// the number of overlapping operations.
    ///
    /// # Errors
    ///
    /// If there is no such order. The error shows the history.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_testing::History;
    ///
    /// let history = History::new();
    /// let write = history.begin(Some(1));
    /// let read = history.begin(None);
    /// read.end(1);
    /// write.end(0);
    /// let step = |register: &mut i32, operation: &Option<i32>| match operation {
    ///     Some(value) => std::mem::replace(register, *value),
    ///     None => *register,
    /// };
    /// // The read overlaps the write, so it may see it.
    /// history.check(0, step).unwrap();
    /// history.begin(None).end(0);
    /// // This one does not: the write is over.
    /// history.check(0, step).unwrap_err();
    /// ```
    pub fn check<S: Clone + Eq + Hash>(
        &self,
        initial: S,
        step: impl Fn(&mut S, &O) -> R,
    ) -> Result<(), NotLinearizable> {
        let events = self.0.borrow();
        let mut search = Search {
            calls: &events.calls,
            step,
            taken: vec![0; events.calls.len().div_ceil(64)],
            seen: HashSet::new(),
            order: Vec::new(),
            longest: Vec::new(),
        };
        if search.extend(&initial) { Ok(()) } else { Err(search.failure()) }
    }
}

/// A search for an order.
struct Search<'a, O, R, S, F> {
    calls: &'a [Call<O, R>],
    step: F,
    /// A bit for each call that is in `order`.
    taken: Vec<u64>,
    /// The sets of operations that were tried, and the states that they led to.
    seen: HashSet<(Vec<u64>, S)>,
    order: Vec<usize>,
    /// The longest order that was found.
    longest: Vec<usize>,
}

impl<O, R, S, F> Search<'_, O, R, S, F>
where
    O: Debug,
    R: Debug + PartialEq,
    S: Clone + Eq + Hash,
    F: Fn(&mut S, &O) -> R,
{
    /// Whether the remaining operations could have happened after the ones in `order`.
    fn extend(&mut self, state: &S) -> bool {
        if self.order.len() > self.longest.len() {
            self.longest.clone_from(&self.order);
        }
        let Some(limit) = self.first_end() else { return true };
        for index in 0..self.calls.len() {
            let call = &self.calls[index];
            // An operation that began after another had ended comes after it.
            if self.has(index) || call.began > limit {
                continue;
            }
            let mut next = state.clone();
            let result = (self.step)(&mut next, &call.operation);
            if call.ended.as_ref().is_some_and(|(_, seen)| *seen != result) {
                continue;
            }
            self.flip(index);
            self.order.push(index);
            if self.seen.insert((self.taken.clone(), next.clone())) && self.extend(&next) {
                return true;
            }
            self.order.pop();
            self.flip(index);
        }
        false
    }

    /// When the first of the remaining operations ended.
    fn first_end(&self) -> Option<usize> {
        let left = self.calls.iter().enumerate().filter(|(index, _)| !self.has(*index));
        left.filter_map(|(_, call)| call.ended.as_ref().map(|(ended, _)| *ended)).min()
    }

    fn has(&self, index: usize) -> bool {
        self.taken[index / 64] & 1 << (index % 64) != 0
    }

    fn flip(&mut self, index: usize) {
        self.taken[index / 64] ^= 1 << (index % 64);
    }

    fn failure(&self) -> NotLinearizable {
        let words = |call: &Call<O, R>| match &call.ended {
            Some((ended, result)) => {
                format!("{}..{ended} {:?} -> {result:?}", call.began, call.operation)
            }
            None => format!("{}.. {:?}, without an end", call.began, call.operation),
        };
        NotLinearizable {
            history: self.calls.iter().map(words).collect(),
            longest: self.longest.iter().map(|&index| words(&self.calls[index])).collect(),
        }
    }
}

/// The history is not linearizable: no sequential order explains its results.
#[derive(Clone, PartialEq, Eq)]
pub struct NotLinearizable {
    history: Vec<String>,
    longest: Vec<String>,
}

impl fmt::Display for NotLinearizable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the history is not linearizable:")?;
        self.history.iter().try_for_each(|call| write!(f, "\n  {call}"))?;
        write!(f, "\nthe longest order that fits:")?;
        self.longest.iter().try_for_each(|call| write!(f, "\n  {call}"))
    }
}

/// As `Display`, since a test that returns this error shows it with `Debug`.
impl Debug for NotLinearizable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NotLinearizable {}

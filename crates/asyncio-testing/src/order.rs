//! How a seed orders ready callbacks and tasks.

use std::collections::{BTreeSet, HashMap};

use asyncio_loop::machinery::Candidates;

use crate::rng::{Rng, mix};

/// The order in which ready callbacks and tasks run.
///
/// In each of them, callbacks of `call_soon` keep their own order, as asyncio guarantees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Any ready task may run next, also one that became ready later than others. Every ready task
    /// runs eventually.
    ///
    /// So `yield_now` lets other tasks run, but not necessarily each of them.
    #[default]
    Any,
    /// Within each turn of the loop, the tasks run in any order. Tasks that become ready meanwhile
    /// wait for the next turn: `yield_now` lets each ready task run once.
    Turns,
    /// First in, first out, as outside of tests. Seeds then vary only the faults, the jobs and the
    /// program's random numbers.
    Fifo,
}

/// A candidate runs next after it has waited for this many arrivals and for eight times the number
/// of candidates.
const MAX_AGE: u64 = 256;
/// After this many runs in a row, a task is moved behind the others.
const IN_A_ROW: u32 = 8;

/// A way to choose among candidates.
#[derive(Debug)]
pub(crate) enum Strategy {
    /// The first candidate.
    Fifo,
    /// A random candidate, with equal probability.
    Uniform,
    /// The first candidate, and once in this many choices a random one.
    Occasional { one_in: usize },
    /// Each task has a random priority, and at a few moments the task that would run drops to the
    /// lowest one. This finds a bug that needs `d` such moments with a probability that does not
    /// depend on the number of schedules (Burckhardt and others, "A Randomized Scheduler with
    /// Probabilistic Guarantees of Finding Bugs", 2010).
    Priorities(Box<Priorities>),
    /// One task runs only when no other can.
    Starve { victim: u64, uniform: bool },
}

#[derive(Debug)]
pub(crate) struct Priorities {
    seed: u64,
    /// Steps at which the task that would run drops to the end.
    drops: BTreeSet<u64>,
    /// The priorities by task number, up to [`KNOWN`], of the tasks seen so far.
    known: Vec<Option<u64>>,
    /// The priorities of other tasks that dropped.
    others: HashMap<u64, u64>,
    step: u64,
    last: u64,
    in_a_row: u32,
}

/// For lower task numbers, priorities are looked up without hashing.
const KNOWN: usize = 1 << 16;
/// The priority of a task that has not dropped has this bit.
const NOT_DROPPED: u64 = 1 << 63;

impl Strategy {
    /// The strategy of a seed.
    pub(crate) fn of_seed(seed: u64, rng: &mut Rng) -> Self {
        if seed == 0 {
            return Self::Fifo;
        }
        match seed % 4 {
            1 => Self::Uniform,
            2 => Self::Priorities(Box::new(Priorities::new(rng))),
            3 => Self::Occasional { one_in: 2 << rng.below(5) },
            _ => {
                let magnitude = 1 << rng.below(7);
                let victim = rng.below(magnitude) as u64;
                Self::Starve { victim, uniform: rng.chance(0.5) }
            }
        }
    }

    /// Chooses among the first `count` candidates. There is more than one.
    pub(crate) fn choose(&mut self, ready: &Candidates, count: usize, rng: &mut Rng) -> usize {
        if ready.age(0) > MAX_AGE + 8 * ready.len() as u64 {
            return 0;
        }
        match self {
            Self::Fifo => 0,
            Self::Uniform => rng.below(count),
            Self::Occasional { one_in } => {
                if rng.below(*one_in) == 0 {
                    rng.below(count)
                } else {
                    0
                }
            }
            Self::Priorities(priorities) => priorities.choose(ready, count),
            Self::Starve { victim, uniform } => {
                let choice = if *uniform { rng.below(count) } else { 0 };
                if ready.task_id(choice) != *victim {
                    return choice;
                }
                (choice + 1) % count
            }
        }
    }
}

impl Priorities {
    fn new(rng: &mut Rng) -> Self {
        let count = 1 + rng.below(4);
        let drops = (0..count).map(|_| {
            let magnitude = 1 << (1 + rng.below(13));
            rng.below(magnitude) as u64
        });
        Self {
            drops: drops.collect(),
            seed: rng.next_u64(),
            known: Vec::new(),
            others: HashMap::new(),
            step: 0,
            last: 0,
            in_a_row: 0,
        }
    }

    fn choose(&mut self, ready: &Candidates, count: usize) -> usize {
        self.step += 1;
        let mut best = self.best(ready, count);
        let task = ready.task_id(best);
        self.in_a_row = if task == self.last { self.in_a_row + 1 } else { 0 };
        if self.drops.contains(&self.step) || self.in_a_row >= IN_A_ROW {
            self.in_a_row = 0;
            self.drop_to_end(task);
            best = self.best(ready, count);
        }
        self.last = ready.task_id(best);
        best
    }

    /// The index of the highest priority.
    fn best(&mut self, ready: &Candidates, count: usize) -> usize {
        let mut best = (0, 0);
        for (index, task) in ready.task_ids().take(count).enumerate() {
            let priority = self.priority(task);
            if priority > best.1 {
                best = (index, priority);
            }
        }
        best.0
    }

    fn priority(&mut self, task: u64) -> u64 {
        let drawn = mix(self.seed ^ task.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | NOT_DROPPED;
        match self.place(task) {
            Some(place) => *place.get_or_insert(drawn),
            None => self.others.get(&task).copied().unwrap_or(drawn),
        }
    }

    /// Puts a task below all others, including the ones that dropped earlier.
    fn drop_to_end(&mut self, task: u64) {
        let priority = NOT_DROPPED - 1 - self.step;
        match self.place(task) {
            Some(place) => *place = Some(priority),
            None => drop(self.others.insert(task, priority)),
        }
    }

    fn place(&mut self, task: u64) -> Option<&mut Option<u64>> {
        let place = usize::try_from(task).ok().filter(|&place| place < KNOWN)?;
        if self.known.len() <= place {
            self.known.resize(place + 1, None);
        }
        self.known.get_mut(place)
    }
}

//! The decisions of a run: their source, and the ones that differ from the default.

use std::collections::HashMap;

use asyncio_loop::machinery::Candidates;

use crate::order::Strategy;
use crate::rng::Rng;
use crate::schedule::{Schedule, Switch};

/// The source of decisions.
#[derive(Debug)]
enum Source {
    /// A seed.
    Seed { strategy: Strategy, rng: Rng },
    /// The switches of an earlier run. All other decisions are the default.
    Replay(HashMap<u64, usize>),
    /// Given choices for the first decisions, and the default for later ones. Each decision is
    /// recorded.
    Explore { prefix: Vec<usize>, made: Vec<Decision> },
}

/// A decision and the number of its choices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) choice: usize,
    pub(crate) count: usize,
}

/// The decisions of one run, in their order.
#[derive(Debug)]
pub(crate) struct Choices {
    source: Source,
    /// The number of decisions so far.
    made: u64,
    switches: Vec<Switch>,
}

impl Choices {
    /// The decisions of a schedule.
    pub(crate) fn of(schedule: &Schedule) -> Self {
        match &schedule.switches {
            None => {
                let mut rng = Rng::new(crate::rng::mix(schedule.seed ^ 0x5EED));
                let strategy = Strategy::of_seed(schedule.seed, &mut rng);
                Self::new(Source::Seed { strategy, rng })
            }
            Some(switches) => {
                let switches = switches.iter().map(|switch| (switch.decision, switch.choice));
                Self::new(Source::Replay(switches.collect()))
            }
        }
    }

    /// Decisions that start with `prefix`.
    pub(crate) fn explore(prefix: Vec<usize>) -> Self {
        Self::new(Source::Explore { prefix, made: Vec::new() })
    }

    fn new(source: Source) -> Self {
        Self { source, made: 0, switches: Vec::new() }
    }

    /// Chooses one of the first `count` candidates.
    pub(crate) fn order(&mut self, ready: &Candidates, count: usize) -> usize {
        self.decide(count, |strategy, rng| strategy.choose(ready, count, rng))
    }

    /// Chooses one of `count` with equal probability. 0 is the default.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        self.decide(count, |strategy, rng| match strategy {
            Strategy::Fifo => 0,
            _ => rng.below(count),
        })
    }

    /// Decides whether an event with this probability happens. The default is that it does not.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.decide(2, |_, rng| usize::from(rng.chance(probability))) == 1
    }

    fn decide(
        &mut self,
        count: usize,
        by_seed: impl FnOnce(&mut Strategy, &mut Rng) -> usize,
    ) -> usize {
        if count <= 1 {
            return 0;
        }
        let choice = match &mut self.source {
            Source::Seed { strategy, rng } => by_seed(strategy, rng),
            Source::Replay(switches) => switches.get(&self.made).copied().unwrap_or(0),
            Source::Explore { prefix, made } => {
                let choice = prefix.get(made.len()).copied().unwrap_or(0).min(count - 1);
                made.push(Decision { choice, count });
                choice
            }
        };
        let choice = choice.min(count - 1);
        if choice > 0 {
            self.switches.push(Switch { decision: self.made, choice });
        }
        self.made += 1;
        choice
    }

    /// The decisions so far that differ from the default.
    pub(crate) fn switches(&self) -> &[Switch] {
        &self.switches
    }

    /// Every decision of an exploration.
    pub(crate) fn explored(&self) -> &[Decision] {
        match &self.source {
            Source::Explore { made, .. } => made,
            _ => &[],
        }
    }
}

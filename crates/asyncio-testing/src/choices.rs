//! The decisions of a run: where each comes from, and what departs from the usual.

use std::collections::HashMap;

use asyncio_loop::machinery::Candidates;

use crate::order::Strategy;
use crate::rng::Rng;
use crate::schedule::{Schedule, Switch};

/// Where decisions come from.
#[derive(Debug)]
enum Source {
    /// A seed.
    Seed { strategy: Strategy, rng: Rng },
    /// The switches of an earlier run; everything else is as usual.
    Replay(HashMap<u64, usize>),
    /// Given choices for the first decisions; then as usual. Each decision is kept.
    Explore { prefix: Vec<usize>, made: Vec<Decision> },
}

/// A decision, and how many choices there were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) choice: usize,
    pub(crate) count: usize,
}

/// The decisions of one run, in their order.
#[derive(Debug)]
pub(crate) struct Choices {
    source: Source,
    /// Decisions so far.
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

    /// Decisions that begin with `prefix`.
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

    /// Chooses one of `count`, each as likely; 0 is the usual.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        self.decide(count, |strategy, rng| match strategy {
            Strategy::Fifo => 0,
            _ => rng.below(count),
        })
    }

    /// Whether something unusual happens that has this probability.
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

    /// What departed from the usual so far.
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

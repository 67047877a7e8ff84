//! Every schedule up to a number of preemptions, one after another.

use crate::choices::Decision;

/// The initial choices of the next schedule, after one with these decisions: the last decision that
/// has another choice takes it. `None` after the last schedule.
///
/// A preemption is a choice that differs from the default. This is the search of CHESS (Musuvathi
/// and others, "Finding and Reproducing Heisenbugs in Concurrent Programs", 2008).
pub(crate) fn next_prefix(made: &[Decision], preemptions: usize) -> Option<Vec<usize>> {
    let mut before: Vec<usize> = Vec::with_capacity(made.len());
    let mut used = 0;
    for decision in made {
        before.push(used);
        used += usize::from(decision.choice > 0);
    }
    let at = (0..made.len()).rev().find(|&at| {
        let Decision { choice, count } = made[at];
        choice + 1 < count && before[at] < preemptions
    })?;
    let mut prefix: Vec<usize> = made[..at].iter().map(|decision| decision.choice).collect();
    prefix.push(made[at].choice + 1);
    Some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All schedules of a program with the given number of choices at each decision.
    fn all(counts: &[usize], preemptions: usize) -> Vec<Vec<usize>> {
        let (mut prefix, mut found) = (Some(Vec::new()), Vec::new());
        while let Some(begin) = prefix {
            let made: Vec<_> = counts
                .iter()
                .enumerate()
                .map(|(at, &count)| Decision { choice: begin.get(at).copied().unwrap_or(0), count })
                .collect();
            found.push(made.iter().map(|decision| decision.choice).collect());
            prefix = next_prefix(&made, preemptions);
        }
        found
    }

    #[test]
    fn without_a_bound_it_is_the_whole_product() {
        let found = all(&[2, 3, 2], 3);
        assert_eq!(found.len(), 12);
        assert!(found.is_sorted() && found.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_bound_counts_unusual_choices() {
        assert_eq!(all(&[2, 3, 2], 0), [vec![0, 0, 0]]);
        let one = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 2, 0], [1, 0, 0]];
        assert_eq!(all(&[2, 3, 2], 1), one);
    }
}

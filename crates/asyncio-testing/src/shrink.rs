//! Makes a failing schedule smaller: removes switches that the failure does not need.

use crate::schedule::Switch;

/// Tries to remove switches, first many at once, then fewer, down to single ones. `fails` runs a
/// schedule, and `runs` limits how often. The returned schedule failed.
///
/// Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
/// 2002), without its tests of small subsets, which rarely fail here.
pub(crate) fn shrink(
    mut switches: Vec<Switch>,
    mut runs: usize,
    mut fails: impl FnMut(&[Switch]) -> bool,
) -> Vec<Switch> {
    let mut size = switches.len();
    while size > 0 {
        let mut start = 0;
        while start < switches.len() {
            if runs == 0 {
                return switches;
            }
            runs -= 1;
            let end = (start + size).min(switches.len());
            let fewer: Vec<_> = [&switches[..start], &switches[end..]].concat();
            if fails(&fewer) {
                switches = fewer;
            } else {
                start = end;
            }
        }
        size = (size / 2).min(switches.len());
    }
    switches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switches(count: u64) -> Vec<Switch> {
        (0..count).map(|decision| Switch { decision, choice: 1 }).collect()
    }

    #[test]
    fn the_needed_switches_are_left() {
        let needed = [3, 70, 71];
        let fails = |switches: &[Switch]| {
            needed.iter().all(|need| switches.iter().any(|switch| switch.decision == *need))
        };
        let left = shrink(switches(100), 1000, fails);
        assert_eq!(left.iter().map(|switch| switch.decision).collect::<Vec<_>>(), needed);
    }

    #[test]
    fn a_failure_without_switches_shrinks_to_none() {
        assert!(shrink(switches(100), 1000, |_| true).is_empty());
    }

    #[test]
    fn it_ends_when_the_runs_are_used_up() {
        let mut runs = 0;
        let left = shrink(switches(100), 7, |_| (runs += 1, false).1);
        assert_eq!((left.len(), runs), (100, 7));
    }
}

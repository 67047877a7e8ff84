//! A schedule as text: the seed, and where it departs from first-in-first-out.

use std::fmt;
use std::str::FromStr;

/// One decision that was not the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    /// Counts the decisions of the run from 0.
    pub(crate) decision: u64,
    /// What was chosen; 0 would be the usual.
    pub(crate) choice: usize,
}

/// What a run does where it has a choice.
///
/// As text it is `17`, the schedule that the seed 17 makes, or `17:12=1,40=2`: first in, first out,
/// but for decision 12, which takes the second candidate, and decision 40, which takes the third.
/// The random numbers of the program come from the seed in both cases.
///
/// # Examples
///
/// ```
/// use asyncio_testing::Schedule;
///
/// let schedule: Schedule = "17:12=1,40=2".parse().unwrap();
/// assert_eq!((schedule.seed(), schedule.switches()), (17, Some(2)));
/// assert_eq!(schedule.to_string(), "17:12=1,40=2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) seed: u64,
    pub(crate) switches: Option<Vec<Switch>>,
}

impl Schedule {
    /// The schedule that a seed makes. That of seed 0 is first in, first out.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self { seed, switches: None }
    }

    pub(crate) fn with_switches(seed: u64, switches: Vec<Switch>) -> Self {
        Self { seed, switches: Some(switches) }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many decisions depart from first-in-first-out; `None` if the seed decides.
    #[must_use]
    pub fn switches(&self) -> Option<usize> {
        self.switches.as_ref().map(Vec::len)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seed.fmt(f)?;
        let Some(switches) = &self.switches else { return Ok(()) };
        let mut mark = ':';
        if switches.is_empty() {
            write!(f, "{mark}")?;
        }
        for Switch { decision, choice } in switches {
            write!(f, "{mark}{decision}={choice}")?;
            mark = ',';
        }
        Ok(())
    }
}

/// A text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseScheduleError(String);

impl fmt::Display for ParseScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no schedule: expected a seed, as in `17` or `17:12=1,40=2`", self.0)
    }
}

impl std::error::Error for ParseScheduleError {}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        parse(text).ok_or_else(|| ParseScheduleError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Schedule> {
    let Some((seed, list)) = text.trim().split_once(':') else {
        return Some(Schedule::of_seed(text.trim().parse().ok()?));
    };
    let pairs = list.split(',').filter(|pair| !pair.is_empty());
    let switches = pairs.map(|pair| {
        let (decision, choice) = pair.split_once('=')?;
        Some(Switch { decision: decision.parse().ok()?, choice: choice.parse().ok()? })
    });
    Some(Schedule::with_switches(seed.parse().ok()?, switches.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_what_it_writes() {
        for text in ["0", "17", "17:", "17:3=1", "18446744073709551615:0=4,9=1"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        for text in ["", "x", "-1", "17:3", "17:3=", "17:a=1", "1:2=3;4=5"] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{text:?} is no schedule")));
        }
    }
}

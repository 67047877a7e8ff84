//! A schedule as text: the seed, and its differences from first-in-first-out.

use std::fmt;
use std::str::FromStr;

/// One decision that differs from the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    /// The number of the decision in its run, from 0.
    pub(crate) decision: u64,
    /// The choice; 0 is the default.
    pub(crate) choice: usize,
}

/// The decisions of a run.
///
/// The text `17` is the schedule of seed 17. The text `17:12=1,40=2` is first in, first out, except
/// that decision 12 takes the second candidate and decision 40 the third. In both cases the seed
/// determines the program's random numbers.
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
    /// The schedule of a seed. The schedule of seed 0 is first in, first out.
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

    /// How many decisions differ from first-in-first-out; `None` if the seed decides.
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

/// The text is not a schedule.
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

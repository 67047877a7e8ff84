//! Several futures at once: all of them, the first, one after the other as they come.
//!
//! `gather`, `try_gather`, `race` and `staggered_race` stand on groups: what they run are children,
//! which are all cancelled, and all waited for, when they are. `wait` and `as_completed` look at
//! tasks that go on by themselves.

mod as_completed;
mod gather;
mod race;
mod staggered;
mod wait;

pub use as_completed::{AsCompleted, as_completed};
pub use gather::{Gather, TryGather, gather, try_gather};
pub use race::{Race, race};
pub use staggered::{Loss, Staggered, staggered_race};
pub use wait::{ReturnWhen, WaitTasks, wait};

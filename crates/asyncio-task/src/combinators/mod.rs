//! Several futures at once: waiting for all of them, for the first, or for each as it ends.
//!
//! `gather`, `try_gather`, `race` and `staggered_race` are built on groups: their futures are
//! children. When the combinator is cancelled, all children are cancelled and awaited. `wait` and
//! `as_completed` observe tasks that run independently.

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

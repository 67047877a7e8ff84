//! Cancellation that runs cleanup.
//!
//! A task has a tree of *scopes*, nested as its futures are. Some are *targets*, which can be asked
//! to end: the task, a timeout, the body of a group. Others are *handlers*, which act before a
//! target ends: `catch_cancel`, `finally`, a group, the await of another task. A request goes to
//! the innermost handlers below its target, then outwards; at the end the target drops its body.
//! `docs/CANCELLATION.md` explains the model; the files here are the mechanism. Each file uses only
//! the files above it:
//!
//! * `tree`: which node is inside which,
//! * `scope`: the kinds of nodes, and their state,
//! * `awaits`: awaits of tasks, as long as they have no node,
//! * `work`: requests and wakes that are still to be done when the tree has changed,
//! * `delivery`: the rules by which requests are asked for, answered and lost,
//! * `tasks`: requests to tasks, and the supervisor that looks at them at each poll,
//! * `slot`: how a scope becomes a node, at the place where it is polled,
//! * `link`, `cancelled`, `catch`, `finally`, `critical`, `shield`: the scopes that users write.

mod awaits;
mod cancelled;
mod catch;
mod critical;
mod delivery;
mod finally;
mod link;
mod scope;
mod shield;
mod slot;
mod tasks;
mod tree;
mod work;

pub use cancelled::Cancelled;
pub use catch::{CatchCancel, catch_cancel};
pub use critical::{Critical, critical};
pub use finally::{Outcome, finally};
pub use shield::{Shield, shield};
pub use tasks::cancel_all;

pub(crate) use cancelled::{Ending, end_as_by_resume, ending, wait_to_be_dropped};
pub(crate) use delivery::Progress;
pub(crate) use link::Link;
pub(crate) use scope::{Answer, Kind};
pub(crate) use slot::{Slot, ending_scopes_of, is_ending_here};
pub(crate) use tasks::{Node, cancel, reason, run, uncancel};

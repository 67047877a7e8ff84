//! Cancellation that runs cleanup.
//!
//! A task has a tree of *scopes*, nested as its futures are. Some are *targets*, which can be asked
//! to end: the task, a timeout, the body of a group. Others are *handlers*, which have something to
//! do before that: `catch_cancel`, `finally`, a group, the await of another task. A request goes to
//! the innermost handlers below its target, then outwards; at the end the target drops its body.
//! `docs/CANCELLATION.md` has the model, the files here the mechanism:
//!
//! * `node`: what the tree is made of, and how a scope gets into it,
//! * `deliver`: asking, waiting for answers, acting,
//! * `request`: how a task is asked, and its supervisor,
//! * `link`: awaiting a task,
//! * `catch`, `finally`, `critical`, `shield`, `cancelled`: the scopes that users write.

mod cancelled;
mod catch;
mod critical;
mod deliver;
mod finally;
mod link;
mod node;
mod request;
mod shield;

pub use cancelled::Cancelled;
pub use catch::{CatchCancel, catch_cancel};
pub use critical::{Critical, critical};
pub use finally::{Outcome, finally};
pub use request::cancel_all;
pub use shield::{Shield, shield};

pub(crate) use cancelled::{Ending, end_as_by_resume, ending, wait_to_be_dropped};
pub(crate) use deliver::{Look, Work};
pub(crate) use link::Link;
pub(crate) use node::{Answer, Kind, Node, Slot};
pub(crate) use request::{cancel, ending_scopes_of, is_ending_here, reason, uncancel};

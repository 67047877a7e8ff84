//! Tasks: they poll a future, and keep its output for the handle.

mod awaiter;
mod control;
mod error_text;
mod extra;
mod header;
mod look;
mod name;
mod on_done;
mod outcome;
mod poll;
mod raw_task;
mod recorded;
mod report_errors;
mod spawn;
mod supervisor;
mod task_ref;
mod traced;
mod unseen;

pub use control::TaskControl;
pub(super) use header::{Noted, Stage, TaskHeader, TaskPtr};
pub(crate) use look::LookAtWait;
pub use name::TaskName;
pub use outcome::Outcome;
pub(super) use poll::{destroy, drop_local, drop_output, drop_stage, end_quietly, poll};
pub use raw_task::{Join, RawTask};
pub(crate) use report_errors::ErrorTexts;
pub use spawn::NumbersFromOne;
pub(crate) use spawn::Spawn;
pub(super) use spawn::{start_eagerly, write_header};
pub use supervisor::{Supervisor, Verdict};
pub use task_ref::TaskRef;
pub(super) use traced::created;

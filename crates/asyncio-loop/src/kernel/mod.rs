//! The kernel: callbacks and tasks, which the loop runs, and most of the unsafe code.
//!
//! # Picture
//!
//! ```text
//!   Task<T>, TaskRef, Handle, LoopWaker           std::task::Waker        (any thread)
//!        │ counted in `refs`, no atomics               │ counted in `shared`, atomic
//!        ▼                                             ▼
//!   ┌─ callback or task: one allocation ───────────────────────────────────┐
//!   │ Header: vtable · refs · flags · shared · place · scheduler · context │
//!   │ (tasks) id · detail · extra · awaiter · sites · ticks · polls        │
//!   │ stage: the callback or future, later the output                      │
//!   └──────────────────────────────────────────────────────────────────────┘
//!        ▲ `tasks`: one reference a live task        ▲ `remote`: wakes from other threads
//!   ┌─ Scheduler: one a loop ──────────────────────────────────────────────┐
//!   │ thread · remote queue │ its thread only: ready queue, tasks, current │
//!   └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Layers
//!
//! Each file uses only files above it in this list. Outside the kernel it uses `primitives`,
//! `context` and `cancel_reason`, and nothing that knows a loop: the loop gives it a table of
//! functions ([`Host`]), and is stored in the scheduler as a `dyn Any`.
//!
//! | file | contents |
//! |---|---|
//! | `panics`, `frames`, `lent`, `site`, `waits_for`, `place` | small parts without dependencies |
//! | `members`, `ready`, `remote_queue`, `memory` | index list, ready queue, remote queue, kept memory |
//! | `ring` | the last events of a loop |
//! | `header`, `scheduler`, `host` | header, counts and end; the queues of a loop; the table |
//! | `guest_queue` | the ready queue of a guest, while its host runs |
//! | `callback`, `waker` | closures that run once; wakers |
//! | `task/` | tasks: header, polling, ending, handles |
//! | `children` | tasks that belong to a future |
//! | `trace` | traced polls, which record where the futures of a task wait |
//! | `local_scheduler` | the functions that the loop calls |
//! | `glimpse` | data of the running step for a signal handler |
//! | `candidates` | the ready queue as a list, for a director of tests |
//!
//! # The promises
//!
//! Unsafe blocks below refer to these by number.
//!
//! 1. **Owner's thread.** All of a header but `shared` and `next_remote`, and all of a scheduler's
//!    [`Local`](scheduler::Local), is read and written on one thread: the one that made the
//!    scheduler. The types that lead there ([`RunnableRef`], [`LoopWaker`], [`LocalScheduler`],
//!    [`TaskRef`], [`RawTask`]) are neither `Send` nor `Sync`, and a [`Waker`](std::task::Waker)
//!    compares thread numbers first. A callback that another thread makes (`FOREIGN`) belongs to
//!    that thread alone until it is in the remote queue, and then to the owner alone.
//! 2. **Alive.** The memory of a callback or task is freed when there is no local reference (`refs`
//!    is 0), it is neither in a ready queue or among candidates
//!    (`SCHEDULED`) nor running (`RUNNING`), and no waker
//!    counts in `shared`. The whole local side counts as one in `shared` (the bit `LOCAL`), so the
//!    side that brings `shared` to nothing frees, on whatever thread that is. Only bare memory is
//!    left to free by then: values, outputs, contexts and extras are dropped on the owner's thread
//!    when the local side ends.
//! 3. **One at a time.** The stage is reached by the run or poll while `RUNNING` is set, which is
//!    never entered twice; else, when `DONE` is not set, by the code that ends it without a run
//!    (cancelled handle, closing loop), which sets `DONE` first; and once `DONE` is set, by the one
//!    [`RawTask`], or without one by the end of the local side. The flag `FULL` says that the stage
//!    holds a live value; it is cleared before the value is taken or dropped.
//! 4. **The scheduler lives** while its loop is open, while the local side of a callback or task,
//!    or a set of children, is alive (counted in `Local::shares`), and while a counted waker
//!    exists: the first waker of a task takes a count of the scheduler, the last gives it back. A
//!    borrowed waker (the one in the context of a poll) needs none: a poll happens inside its loop.
//!    A closed scheduler queues nothing.
//! 5. **Short.** No reference into a `Local`, a set or an `Extra` is held across code of a user: no
//!    waker, no destructor, no poll, no callback.
//! 6. **Pinned.** A future is written into its memory once, never moved, and dropped in place.
//! 7. **Caught.** Nothing unwinds through a run or through the end of a task, where a stage may be
//!    empty although `FULL` was set before, and where the current task must be put back. Code of a
//!    user is called inside `catch_unwind`: polls, closures, supervisors, foreign wakers, exception
//!    handlers, and the destructors of all of these, of contexts and of the payloads of panics.
//!    Reports never unwind.
//! 8. **Frames.** The stack of frames of a thread is linked through stack frames of calls that are
//!    active on it: a call that pushes pops before it returns or unwinds.
//! 9. **Children.** The future and the output of a child may borrow all that lives as long as its
//!    set, [`ChildSet`]. They are polled by the set, while that is borrowed, and dropped by it at
//!    the latest when it is dropped; a leaked set leaks them. So a child with a value in its stage
//!    is a member of its set, and a member's pointer to the set is valid. A closing loop leaves
//!    children to their owners. An output to which a reference was given out (`LENT`) is the
//!    [`RawTask`]'s alone when the set is dropped: a handle of a `T` is not dropped after the
//!    borrows of `T` end.
//! 10. **Links.** If a task is `LINKED`, its `detail` names another task. That is not `DONE`, and
//!     has the task as its `awaiter`: the link is cleared whenever that place is emptied.
//! 11. **Pointers.** Each [`Runnable`](header::Runnable), and each pointer to a task that is made
//!     of one, is used on the owner's thread, and only while the local side is alive: while a
//!     reference of the holder, a list, `SCHEDULED` or `RUNNING` keeps it.

mod callback;
mod candidates;
mod children;
mod frames;
mod glimpse;
mod guest_queue;
mod header;
mod host;
mod lent;
mod local_scheduler;
#[cfg(all(test, loom))]
mod loom_tests;
mod members;
mod memory;
mod panics;
mod place;
mod ready;
mod remote_queue;
mod ring;
mod scheduler;
mod site;
mod task;
mod trace;
mod waits_for;
mod waker;

pub use callback::CallbackRef;
pub(crate) use candidates::Candidate;
pub use candidates::Candidates;
pub use children::ChildSet;
pub use frames::{is_cancelling, visit_frames, while_cancelling, with_boundary, with_frame};
pub(crate) use glimpse::Glimpse;
pub(crate) use header::RunnableRef;
pub use host::caught;
pub(crate) use host::{Failure, Host, Moment, report_panic};
pub(crate) use lent::Lent;
pub(crate) use local_scheduler::{LocalScheduler, RemoteScheduler, owner_of};
pub(crate) use panics::{Payload, catch, drop_payload, panic_message};
pub(crate) use place::Place;
pub(crate) use ring::{Copied, Event, Kept, Ring, What, cause};
pub(crate) use task::ErrorTexts;
pub(crate) use task::LookAtWait;
pub(crate) use task::Spawn;
pub use task::{
    Join, NumbersFromOne, Outcome, RawTask, Supervisor, TaskControl, TaskName, TaskRef, Verdict,
};
pub(crate) use waits_for::Detail;
pub use waits_for::{Wait, WaitsFor};
pub use waker::{LoopWaker, move_wait, move_wait_out_of, poll_noted};

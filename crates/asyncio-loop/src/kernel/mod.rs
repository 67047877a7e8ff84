//! The unit the loop runs, and the one place with unsafe code.
//!
//! # Picture
//!
//! ```text
//!   Task<T>, TaskRef, Handle, LoopWaker          std::task::Waker        (any thread)
//!        │ counted in `refs`, no atomics               │ counted in `shared`, atomic
//!        ▼                                             ▼
//!   ┌─ cell: one allocation ───────────────────────────────────────────┐
//!   │ Header: vtable · refs · flags · shared · slot · home · context   │
//!   │ (tasks) id · site · extra · awaiter                              │
//!   │ stage: the callback or future, later the output                  │
//!   └──────────────────────────────────────────────────────────────────┘
//!        ▲ `owned`: one reference a live task        ▲ `inbox`: wakes from other threads
//!   ┌─ Home: one a loop ───────────────────────────────────────────────┐
//!   │ thread · inbox │ owner's thread only: ready queue, owned, current │
//!   └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # The promises
//!
//! Unsafe blocks below refer to these by number.
//!
//! 1. **Owner's thread.** Everything in a cell but `shared` and `inbox_next`, and everything in
//!    [`Home::local`](home::Home), is read and written on one thread: the one that made the home. The types that
//!    lead there ([`CellRef`], [`LoopWaker`], [`HomeOwner`], [`TaskRef`], [`RawTask`]) are neither
//!    `Send` nor `Sync`, and a [`Waker`](std::task::Waker) compares thread numbers first.
//!    A cell that another thread makes (`FOREIGN`) is that thread's alone until it is in the inbox,
//!    and then the owner's alone.
//! 2. **Alive.** The memory of a cell is freed when there is no local reference (`refs` is 0), it
//!    is neither in the ready queue (`SCHEDULED`) nor being stepped (`RUNNING`), and no waker counts
//!    in `shared`. The whole local side counts as one in `shared` (the bit `LOCAL`), so whoever
//!    brings `shared` to nothing frees, on whatever thread that is. Only bare memory is left to
//!    free by then: values, outputs, contexts and extras are dropped on the owner's thread when
//!    the local side ends.
//! 3. **One at a time.** The stage is reached by: the step while `RUNNING` is set, which is never
//!    entered twice; else, when `DONE` is not set, by whoever ends the cell without running it
//!    (cancelled handle, closing loop), which sets `DONE` first; and once `DONE` is set, by the one
//!    [`RawTask`] of the cell, or without one by the end of the local side. The flag `FULL` says
//!    that the stage holds a live value; it is cleared before the value is taken or dropped.
//! 4. **The home lives** while its loop is open, while the local side of any cell is alive (counted in
//!    `Local::cells`), and while any cell has a counted waker: the first waker of a cell takes a
//!    count of the home, the last gives it back. A borrowed waker (the one in the context of a
//!    poll) needs none: a poll happens inside its loop. A closed home takes no cell into its queue.
//! 5. **Short.** No reference into `Home::local` or into an `Extra` is held across code of a user: no waker, no
//!    destructor, no poll, no callback.
//! 6. **Pinned.** A future is written into its cell once, never moved, and dropped in place.
//! 7. **Caught.** Nothing unwinds through a step or through the end of a cell, where a stage may be
//!    empty that its flags do not call so, and where what is current must be put back. Whatever is the
//!    user's is called inside `catch_unwind`: polls, closures, supervisors, foreign wakers, exception
//!    handlers, and the destructors of all of these, of contexts and of what panics carry. Reports
//!    never unwind.
//! 8. **Frames.** The stack of frames of a thread is linked through stack frames of calls that are
//!    active on it: whoever pushes pops before it returns or unwinds.
//! 9. **Children.** The future and the output of a child may borrow what lives as long as its set,
//!    [`Children`]. They are polled by the set, while that is borrowed, and dropped by it at the
//!    latest when it is dropped; a leaked set leaks them. So a child with anything in its stage is a
//!    member of its set, and a member's pointer to the set is valid. A closing loop leaves
//!    children to their owners. An output to which a reference was given out (`LENT`) is the
//!    [`RawTask`]'s alone when the set is dropped: a handle of a `T` is not dropped after what `T` borrows.
//! 10. **Links.** If a task's `awaiting` names another, then that is not `DONE` and has the task as
//!     its `awaiter`: the link is cleared whenever that place is emptied.

mod callback;
mod cell;
mod children;
mod frames;
mod home;
mod inbox;
mod lent;
#[cfg(all(test, loom))]
mod loom_tests;
mod memory;
mod ready;
mod task;
mod waits_for;
mod waker;

pub use callback::CallbackRef;
pub(crate) use cell::CellRef;
pub use children::Children;
pub use frames::{is_cancelling, visit_frames, while_cancelling, with_boundary, with_frame};
pub(crate) use home::{HomeOwner, SharedHome};
pub(crate) use lent::Lent;
pub(crate) use task::Spawn;
pub use task::{Join, Outcome, RawTask, Supervisor, TaskRef, Verdict};
pub use waits_for::WaitsFor;
pub use waker::LoopWaker;

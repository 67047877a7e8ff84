//! Deterministic tests for asyncio.
//!
//! Most programs use this as `asyncio::testing`, by the facade's feature `testing`.
//!
//! Concurrent programs have bugs that show only in orders and with faults that do not occur on a
//! developer's machine. A [`Simulation`] runs a test under many schedules, each determined by a
//! seed: the seed decides the order of ready tasks and of equal deadlines, when jobs of executors
//! end, and which faults happen. A failure prints the seed, a description of the schedule, and the
//! command that replays it.
//!
//! ```should_panic
//! use std::cell::Cell;
//! use std::rc::Rc;
//! use asyncio_task::{create_task, yield_now};
//! use asyncio_testing::Simulation;
//!
//! // Each task looks, waits, and acts on what it has seen.
//! async fn take_the_last(seats: Rc<Cell<i32>>) {
//!     if seats.get() > 0 {
//!         yield_now().await;
//!         seats.set(seats.get() - 1);
//!     }
//! }
//!
//! Simulation::new().seeds(1000).run(async || {
//!     let seats = Rc::new(Cell::new(1));
//!     let tasks = [1, 2].map(|_| create_task(take_the_last(Rc::clone(&seats))));
//!     for task in tasks {
//!         task.await.unwrap();
//!     }
//!     assert_eq!(seats.get(), 0);
//! });
//! ```
//!
//! This costs nothing on a loop outside of a simulation.
//!
//! * Schedules: [`Simulation`], [`Order`], [`Schedule`], [`Failure`], [`Summary`].
//! * Faults: [`Faults`], [`droppable`](fn@droppable).
//! * Order in a test: [`wait_all_tasks_blocked`], [`Sequencer`], [`event`](fn@event),
//!   [`assert_trace!`], [`Trace`].
//! * Repeatable random numbers: [`rng`](fn@rng), [`Rng`], [`SeededState`].
//! * Reports to the exception handler: [`expect_no_reports`].
//! * Linearizability: [`History`].
//! * With the feature `net`, streams with faults: `FaultyStream`, `FaultLayer`,
//!   `memory_stream_pair`.
//! * With the feature `net`, several hosts on one clock: `Network`, `Host`, `Link`.

#![forbid(unsafe_code)]

mod blocked;
mod choices;
mod conductor;
mod droppable;
mod event;
mod failure;
mod faults;
#[cfg(feature = "net")]
mod faulty;
mod history;
mod jobs;
mod order;
mod outcome;
mod quiet;
mod reports;
mod rng;
mod run;
mod schedule;
mod sequencer;
mod shrink;
#[cfg(feature = "net")]
mod sim;
mod simulation;
mod systematic;
mod trace;
mod watch;

pub use blocked::wait_all_tasks_blocked;
pub use droppable::droppable;
pub use event::{event, take_events};
pub use failure::{Failure, FailureKind, Summary};
pub use faults::Faults;
#[cfg(feature = "net")]
pub use faulty::{FaultLayer, FaultyStream, memory_stream_pair};
pub use history::{History, NotLinearizable, PendingCall};
pub use order::Order;
pub use outcome::TestOutcome;
pub use reports::{ExpectNoReports, expect_no_reports};
pub use rng::{Rng, SeededState, rng};
pub use schedule::{ParseScheduleError, Schedule};
pub use sequencer::{Sequencer, SequencerStep};
#[cfg(feature = "net")]
pub use sim::{Host, Link, Network};
pub use simulation::Simulation;
pub use trace::Trace;

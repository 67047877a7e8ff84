//! The attribute for tests, and with the feature `testing` schedules, faults and tools.
//!
//! The attribute is not at the root, so that `use asyncio::*` leaves `#[test]` alone.
//!
//! `docs/TESTING.md` of the repository is the guide.

pub use asyncio_macros::test;
#[cfg(feature = "testing")]
pub use asyncio_testing::{
    ExpectNoReports, Failure, FailureKind, Faults, History, NotLinearizable, Order,
    ParseScheduleError, PendingCall, Rng, Schedule, SeededState, Sequencer, SequencerStep,
    Simulation, Summary, TestOutcome, Trace, assert_trace, droppable, event, expect_no_reports,
    rng, take_events, wait_all_tasks_blocked,
};
#[cfg(all(feature = "testing", feature = "net"))]
pub use asyncio_testing::{FaultLayer, FaultyStream, Host, Link, Network, memory_stream_pair};

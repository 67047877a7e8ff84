//! Shared parts of the benchmarks: one small module per runtime with the same functions, so that
//! each workload is written once, and the runner that puts contenders side by side.

pub mod contest;
pub mod datagram_load;
pub mod load;
pub mod process;
pub mod runtime;
pub mod servers;
#[cfg(feature = "tls")]
pub mod tls;

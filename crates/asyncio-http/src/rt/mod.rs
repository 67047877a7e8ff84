//! hyper's runtime traits, implemented on the loop.

mod executor;
mod stream;
mod timer;

pub use executor::LoopExecutor;
pub use stream::LoopStream;
pub use timer::LoopTimer;

pub(crate) use stream::{Activity, InFlight};

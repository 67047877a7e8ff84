//! Streams: a reader that pulls bytes, and a writer that pushes them.

mod closer;
mod feed;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper_io;
mod joined;
#[cfg(feature = "futures-core")]
mod lines;
mod over;
mod reader;
mod reading;
mod scan;
#[cfg(all(feature = "send", any(feature = "futures-io", feature = "hyper", feature = "tokio")))]
mod threadsafe;
#[cfg(feature = "tokio")]
mod tokio_io;
mod writer;

pub use closer::Closer;
pub use feed::{StreamFeeder, feed_reader};
pub use joined::JoinedStream;
#[cfg(feature = "futures-core")]
pub use lines::Lines;
pub use over::stream_over;
pub(crate) use over::streams;
pub use reader::{DEFAULT_LIMIT, StreamReader};
#[cfg(all(
    feature = "send",
    any(feature = "futures-io", feature = "hyper", feature = "tokio")
))]
pub use threadsafe::ThreadsafeStream;
pub use writer::{Closed, StreamWriter};

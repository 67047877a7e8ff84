//! Streams: pulled by the reader, pushed by the writer.

mod feed;
mod over;
mod reader;
mod reading;
mod scan;
mod serve;
mod writer;

pub use feed::{StreamFeeder, feed_reader, feed_reader_with_limit};
pub use over::stream_over;
pub use reader::{DEFAULT_LIMIT, StreamReader};
pub use serve::{HandlerResult, start_server, start_server_with};
pub use writer::{Closed, StreamWriter};

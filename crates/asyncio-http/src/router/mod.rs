//! [`App`]: routes for handlers of one loop.

mod app;
mod handler;
mod path;

pub use app::{App, Next};
pub use handler::Handler;
pub use path::{Path, PathRejection};

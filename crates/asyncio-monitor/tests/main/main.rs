//! The monitor as its clients see it.

mod access;
mod common;
mod console;
mod environment;
mod history;
mod limits;
mod stuck;
mod tree;

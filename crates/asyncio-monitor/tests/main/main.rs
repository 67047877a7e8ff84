//! The monitor, tested by its clients.

mod access;
mod common;
mod console;
mod environment;
mod full_stack;
mod history;
mod limits;
mod stuck;
mod tree;

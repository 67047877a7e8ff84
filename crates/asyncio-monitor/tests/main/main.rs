//! The monitor as its clients see it.

mod access;
mod common;
mod console;
mod environment;
mod full_stack;
mod history;
mod limits;
mod stuck;
mod tree;

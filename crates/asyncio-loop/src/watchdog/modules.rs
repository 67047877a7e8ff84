//! Modules of the program.

mod sys;

pub(super) use self::sys::{Module, with_module};

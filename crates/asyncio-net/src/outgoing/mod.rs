//! Output: the queue of one connection, and the connections that send at the end of the turn.

mod cork;
mod write_queue;

pub(crate) use self::cork::{BEHIND, Cork, Corked};
pub(crate) use self::write_queue::{SLICES, WriteQueue};

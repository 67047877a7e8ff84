//! A processor whose stacks are not read: there are no registers.

use super::Registers;

pub(in crate::watchdog) const COUNT: usize = 1;
pub(in crate::watchdog) const STACK_POINTER: usize = 0;

/// # Safety
///
/// None.
pub(super) unsafe fn registers(_: *const libc::ucontext_t) -> Registers {
    Registers([0; COUNT])
}

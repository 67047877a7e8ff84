//! Registers of x86-64.

use std::ffi::c_int;

use super::Registers;

/// Registers that are copied.
pub(in crate::watchdog) const COUNT: usize = 17;
pub(in crate::watchdog) const STACK_POINTER: usize = 7;
#[cfg(feature = "stacks")]
pub(in crate::watchdog) const PROGRAM_COUNTER: usize = 16;
/// The column of the return address in a table of frames.
#[cfg(feature = "stacks")]
pub(in crate::watchdog) const RETURN_ADDRESS: usize = 16;

/// The registers of an interrupted thread by their numbers in DWARF: the System V ABI for AMD64,
/// figure 3.36.
///
/// # Safety
///
/// `context` is what the system has given to a handler.
pub(super) unsafe fn registers(context: *const libc::ucontext_t) -> Registers {
    const ORDER: [c_int; COUNT] = [
        libc::REG_RAX,
        libc::REG_RDX,
        libc::REG_RCX,
        libc::REG_RBX,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_RBP,
        libc::REG_RSP,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
        libc::REG_RIP,
    ];
    // SAFETY: the caller's promise.
    let saved = unsafe { &(*context).uc_mcontext.gregs };
    Registers(ORDER.map(|number| saved[number as usize] as usize))
}

/// The address in a return address.
#[cfg(feature = "stacks")]
pub(in crate::watchdog) fn bare_address(word: usize) -> usize {
    word
}

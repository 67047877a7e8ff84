//! Registers of AArch64.

use super::Registers;

/// Registers that are copied.
pub(in crate::watchdog) const COUNT: usize = 33;
pub(in crate::watchdog) const STACK_POINTER: usize = 31;
pub(in crate::watchdog) const PROGRAM_COUNTER: usize = 32;
/// The column of the return address in a table of frames: the link register.
#[cfg(feature = "stacks")]
pub(in crate::watchdog) const RETURN_ADDRESS: usize = 30;

/// The registers of an interrupted thread by their numbers in DWARF: "DWARF for the Arm 64-bit
/// Architecture", section 4.1.
///
/// # Safety
///
/// `context` is what the system has given to a handler.
pub(super) unsafe fn registers(context: *const libc::ucontext_t) -> Registers {
    // SAFETY: the caller's promise.
    let saved = unsafe { &(*context).uc_mcontext };
    let mut all = [0; COUNT];
    for (register, value) in all.iter_mut().zip(saved.regs) {
        *register = value as usize;
    }
    all[STACK_POINTER] = saved.sp as usize;
    all[PROGRAM_COUNTER] = saved.pc as usize;
    Registers(all)
}

/// The address in a return address, whose upper bits may be a signature: addresses of programs have
/// 48 bits ("Pointer authentication in AArch64 Linux").
#[cfg(feature = "stacks")]
pub(in crate::watchdog) fn bare_address(word: usize) -> usize {
    word & 0xffff_ffff_ffff
}

//! From a copied stack to the calls that are active on it.
//!
//! The tables for exceptions (`.eh_frame`, DWARF 5 section 6.4, as in the Linux Standard Base) say
//! for each instruction where the caller's registers are. They are read on the watchdog's thread,
//! and applied to the copy of the stack: an entry that is wrong ends the walk, and cannot do harm.

use std::ffi::c_void;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, NativeEndian, Pointer, Register, RegisterRule,
    UnwindContext, UnwindSection, UnwindTableRow,
};

use super::modules::{Module, with_module};
use super::sys::{Registers, Seen};
use crate::inspect::StackFrame;

/// Calls that are followed, at most.
const DEPTH: usize = 200;
const WORD: usize = size_of::<usize>();
const STACK_POINTER: usize = 7;
const PROGRAM_COUNTER: usize = 16;
/// Functions that every task is polled by, from here outwards.
const OURS: &str = "asyncio_loop::kernel::";

/// The active calls, innermost first, up to the poll of the task.
pub(super) fn frames(seen: &Seen) -> Vec<StackFrame> {
    let mut frames = Vec::new();
    for address in addresses(seen) {
        let mut is_ours = false;
        backtrace::resolve(address as *mut c_void, |symbol| {
            let function = symbol.name().map_or("?".to_owned(), |name| format!("{name:#}"));
            is_ours |= function.trim_start_matches('<').starts_with(OURS);
            let file = symbol.filename().map(ToOwned::to_owned);
            frames.push(StackFrame { function, file, line: symbol.lineno() });
        });
        if is_ours {
            frames.pop();
            break;
        }
    }
    frames
}

/// Addresses inside of the calls, innermost first.
fn addresses(seen: &Seen) -> Vec<usize> {
    let stack = Stack { start: seen.registers.0[STACK_POINTER], words: &seen.stack };
    let mut registers = seen.registers;
    let mut addresses = Vec::new();
    while addresses.len() < DEPTH && registers.0[PROGRAM_COUNTER] != 0 {
        // A return address is that of the instruction after the call.
        let inside = registers.0[PROGRAM_COUNTER] - usize::from(!addresses.is_empty());
        addresses.push(inside);
        match caller(inside, registers, &stack) {
            Some(next) if next.0[STACK_POINTER] > registers.0[STACK_POINTER] => registers = next,
            _ => break,
        }
    }
    addresses
}

/// A copy of a stack, and where it was.
struct Stack<'a> {
    start: usize,
    words: &'a [usize],
}

impl Stack<'_> {
    fn read(&self, address: usize) -> Option<usize> {
        let offset = address.checked_sub(self.start & !(WORD - 1))?;
        (offset % WORD == 0).then(|| self.words.get(offset / WORD).copied())?
    }
}

/// The registers of the caller of the function that this instruction is in.
fn caller(inside: usize, registers: Registers, stack: &Stack<'_>) -> Option<Registers> {
    let search = Search { inside, registers, stack };
    with_module(inside, |module| search.step(module))
}

struct Search<'a> {
    inside: usize,
    registers: Registers,
    stack: &'a Stack<'a>,
}

impl Search<'_> {
    /// One call outwards, by the table of a module.
    fn step(&self, module: &Module<'_>) -> Option<Registers> {
        let (table_at, table) = module.table()?;
        let bases = BaseAddresses::default().set_eh_frame_hdr(table_at as u64);
        let header = EhFrameHdr::new(table, NativeEndian).parse(&bases, WORD as u8).ok()?;
        let Pointer::Direct(frames_at) = header.eh_frame_ptr() else { return None };
        let frames = EhFrame::new(module.from(frames_at as usize)?, NativeEndian);
        let bases = bases.set_eh_frame(frames_at);
        let address = self.inside as u64;
        let entry = header
            .table()?
            .fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset)
            .ok()?;
        let mut context = UnwindContext::new();
        let row = entry.unwind_info_for_address(&frames, &bases, &mut context, address).ok()?;
        self.apply(row)
    }

    fn apply(&self, row: &UnwindTableRow<usize>) -> Option<Registers> {
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
        let base = *self.registers.0.get(usize::from(register.0))?;
        let frame = base.wrapping_add_signed(*offset as isize);
        let mut next = self.registers;
        for (number, value) in next.0.iter_mut().enumerate() {
            *value = match row.register(Register(number as u16)) {
                RegisterRule::Offset(offset) => {
                    self.stack.read(frame.wrapping_add_signed(offset as isize))?
                }
                RegisterRule::ValOffset(offset) => frame.wrapping_add_signed(offset as isize),
                RegisterRule::Register(other) => *self.registers.0.get(usize::from(other.0))?,
                // Without a rule for the return address this is the outermost call.
                RegisterRule::Undefined if number == PROGRAM_COUNTER => return None,
                RegisterRule::Undefined | RegisterRule::SameValue => *value,
                _ => return None,
            };
        }
        next.0[STACK_POINTER] = frame;
        Some(next)
    }
}

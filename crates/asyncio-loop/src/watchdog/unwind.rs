//! From a copied stack to the calls that are active on it.
//!
//! The tables for exceptions (`.eh_frame`, DWARF 5 section 6.4, as in the Linux Standard Base) say
//! for each instruction where the caller's registers are. They are read on the watchdog's thread,
//! and applied to the copy of the stack: an entry that is wrong ends the walk, and cannot do harm.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, NativeEndian, Pointer, Register, RegisterRule,
    UnwindContext, UnwindSection, UnwindTableRow, Vendor,
};

use super::modules::{Module, with_module};
use super::sys::{PROGRAM_COUNTER, RETURN_ADDRESS, Registers, STACK_POINTER, Seen, bare_address};

/// Calls that are followed, at most.
const DEPTH: usize = 200;
const WORD: usize = size_of::<usize>();
/// Whether a call puts the return address on the stack.
const IS_ON_STACK: bool = RETURN_ADDRESS == PROGRAM_COUNTER;

/// Addresses inside of the active calls, innermost first.
pub(super) fn calls(seen: &Seen) -> Vec<usize> {
    let stack = Stack { start: seen.registers.0[STACK_POINTER], words: &seen.stack };
    let mut registers = seen.registers;
    let mut addresses = Vec::new();
    while addresses.len() < DEPTH && registers.0[PROGRAM_COUNTER] != 0 {
        // A return address is that of the instruction after the call.
        let inside = registers.0[PROGRAM_COUNTER] - usize::from(!addresses.is_empty());
        addresses.push(inside);
        let Some(next) = caller(inside, registers, &stack) else { break };
        let (new, old) = (next.0[STACK_POINTER], registers.0[STACK_POINTER]);
        // A function that calls no other one may use no stack where a register has the return
        // address.
        let is_leaf = addresses.len() == 1 && next.0[PROGRAM_COUNTER] != inside;
        if new > old || new == old && is_leaf {
            registers = next;
        } else {
            break;
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
        let mut frames = EhFrame::new(module.from(frames_at as usize)?, NativeEndian);
        if cfg!(target_arch = "aarch64") {
            // An instruction that says whether the return address is signed.
            frames.set_vendor(Vendor::AArch64);
        }
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
                // Without a rule for the return address this is the outermost call, unless a
                // register has it.
                RegisterRule::Undefined if number == RETURN_ADDRESS && IS_ON_STACK => return None,
                RegisterRule::Undefined | RegisterRule::SameValue => *value,
                _ => return None,
            };
        }
        next.0[STACK_POINTER] = frame;
        next.0[PROGRAM_COUNTER] = bare_address(next.0[RETURN_ADDRESS]);
        Some(next)
    }
}

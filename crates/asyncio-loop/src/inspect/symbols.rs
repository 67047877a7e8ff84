//! The names of the calls in which a thread was.

use std::ffi::c_void;

use super::stuck::StackFrame;

/// Functions that every task is polled by, from here outwards.
const OURS: &str = "asyncio_loop::kernel::";

/// The calls with these addresses inside, innermost first, up to the poll of the task.
pub(super) fn frames(calls: &[usize]) -> Vec<StackFrame> {
    let mut frames = Vec::new();
    for &address in calls {
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

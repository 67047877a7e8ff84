//! From addresses of calls to the functions of a program.

use super::stuck::StackFrame;

/// What a report says in the place of the calls, where only the feature is missing.
pub(super) const MISSING: Option<&str> = if cfg!(all(
    not(feature = "stacks"),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)) {
    Some("the feature \"stacks\" of the crate asyncio shows the calls here")
} else {
    None
};

/// The beginnings of functions that say nothing to a user.
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
const LEFT_OUT: [&str; 15] = [
    "core::",
    "std::",
    "alloc::",
    "backtrace::",
    "__",
    "asyncio::",
    "asyncio_loop::",
    "asyncio_task::",
    "asyncio_sync::",
    "asyncio_net::",
    "asyncio_process::",
    "asyncio_fs::",
    "asyncio_tls::",
    "asyncio_http::",
    "asyncio_tokio::",
];

/// The function that polls a task.
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
const POLL: &str = "asyncio_loop::kernel::task::poll::";

/// The calls at these addresses, innermost first, up to the poll of a task; outermost first, and
/// without those that say nothing to a user.
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(super) fn calls(addresses: &[usize]) -> Vec<StackFrame> {
    let mut calls = Vec::new();
    for address in addresses {
        let mut is_poll = false;
        let address = std::ptr::without_provenance_mut(*address);
        backtrace::resolve(address, |symbol| {
            let Some(name) = symbol.name().map(|name| format!("{name:#}")) else { return };
            let path = name.trim_start_matches(['<', '&']).trim_start_matches("mut ");
            is_poll |= path.starts_with(POLL);
            if !LEFT_OUT.iter().any(|left_out| path.starts_with(left_out)) {
                let file = symbol.filename().map(ToOwned::to_owned);
                let function = without_closures(&name).to_owned();
                calls.push(StackFrame { function, file, line: symbol.lineno() });
            }
        });
        if is_poll {
            break;
        }
    }
    calls.reverse();
    calls
}

#[cfg(not(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(super) fn calls(_: &[usize]) -> Vec<StackFrame> {
    Vec::new()
}

/// An async function is compiled to a closure in it.
#[cfg_attr(
    not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )),
    allow(dead_code, reason = "there are no names")
)]
fn without_closures(mut name: &str) -> &str {
    // In the two manners of naming that compilers have.
    while let Some((outer, closure)) = name.rsplit_once("::{") {
        if !closure.starts_with("{closure") && !closure.starts_with("closure") {
            break;
        }
        name = outer;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closures_of_async_functions_are_not_shown() {
        assert_eq!(without_closures("demo::worker::{{closure}}"), "demo::worker");
        assert_eq!(without_closures("demo::worker::{closure#0}::{closure#1}"), "demo::worker");
        assert_eq!(
            without_closures("<demo::Worker as core::Clone>::clone"),
            "<demo::Worker as core::Clone>::clone"
        );
        assert_eq!(without_closures("demo::{impl#0}::run"), "demo::{impl#0}::run");
    }
}

//! The names of the functions whose futures tasks run.

use asyncio_loop::inspect::TaskInfo;

/// Futures of this project that only wrap a user's future, which is their first type argument.
const WRAPPERS: [&str; 4] = [
    "asyncio_task::interrupt::Main",
    "asyncio_task::group::child::ChildFuture",
    "asyncio_task::group::scope::AsIs",
    "asyncio_task::threads::submit::keep",
];

/// The name of a task's function as its user wrote it.
pub(crate) fn function(task: &TaskInfo) -> &'static str {
    function_of(task.future)
}

/// The function of a future with this type.
pub(crate) fn function_of(mut path: &'static str) -> &'static str {
    loop {
        while let Some(outer) = path.strip_suffix("::{{closure}}") {
            path = outer;
        }
        let Some((wrapper, arguments)) = path.split_once('<') else { return path };
        if !WRAPPERS.contains(&wrapper.trim_end_matches("::")) {
            return path;
        }
        path = first_type(arguments);
    }
}

/// The first argument that is not a lifetime. `text` holds the arguments up to and including the
/// last `>`.
fn first_type(arguments: &'static str) -> &'static str {
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in arguments.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            // The `>` in the arrow of a function type is not a bracket.
            '>' if arguments[..at].ends_with('-') => {}
            '>' if depth > 0 => depth -= 1,
            ',' | '>' if depth == 0 => {
                let argument = arguments[start..at].trim();
                if c == '>' || !argument.starts_with('\'') {
                    return argument;
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_left_out() {
        let main = "asyncio_task::interrupt::Main<demo::main::{{closure}}>";
        assert_eq!(function_of(main), "demo::main");
        let child = "asyncio_task::group::child::ChildFuture<'_, '_, \
            asyncio_task::group::scope::AsIs<demo::work<fn(u8) -> Vec<u8>>::{{closure}}>, E>";
        assert_eq!(function_of(child), "demo::work<fn(u8) -> Vec<u8>>");
        assert_eq!(function_of("Vec<u8>"), "Vec<u8>");
        assert_eq!(function_of("asyncio_task::interrupt::Main<"), "");
    }
}

//! What a monitor knows, as text for consoles and as values for the page.

mod ended;
mod function;
mod row;
mod table;
mod task;
mod tree;

pub(crate) use ended::{EndedRow, describe_ended, table_of_ended};
pub(crate) use function::{function, function_of};
pub(crate) use row::{Filter, Listed, Order, Row, list};
pub(crate) use table::Table;
pub(crate) use task::describe;
pub(crate) use tree::{Circle, Tree};

use std::panic::Location;
use std::time::Duration;

/// `src/main.rs:5`.
pub(crate) fn place(location: &Location<'_>) -> String {
    format!("{}:{}", location.file(), location.line())
}

/// A duration in a few characters, such as `1.25 s` and `2 h 03 min`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// Text for a terminal: names are the program's, and may contain what terminals obey.
pub(crate) fn harmless(text: &str) -> String {
    let is_harmful = |c: char| c.is_control() && c != '\n';
    if !text.contains(is_harmful) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let short = |seconds| short(Duration::from_secs_f64(seconds));
        assert_eq!(short(0.004), "0.00 s");
        assert_eq!(short(59.99), "59.99 s");
        assert_eq!(short(61.0), "1 min 01 s");
        assert_eq!(short(7380.0), "2 h 03 min");
        assert_eq!(short(90_000.0), "1 d 01 h");
    }

    #[test]
    fn a_terminal_obeys_no_name_of_a_task() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
    }
}

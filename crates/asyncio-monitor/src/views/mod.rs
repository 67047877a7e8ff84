//! The monitor's data as text for consoles and as values for the page.

mod ended;
mod function;
mod row;
mod table;
mod task;
mod tree;

pub(crate) use ended::{EndedRow, describe_ended, table_of_ended};
pub(crate) use function::{function, function_of};
pub(crate) use row::{Filter, Listed, Order, Row, Wanted, list, states};
pub(crate) use table::Table;
pub(crate) use task::{describe, full_stack};
pub(crate) use tree::{Cycle, Tree};

use std::borrow::Cow;
use std::panic::Location;
use std::time::Duration;

/// `src/main.rs:5`.
pub(crate) fn place(location: &Location<'_>) -> String {
    let mut text = String::new();
    write_place(&mut text, location);
    text
}

/// [`place`], at the end of a text.
pub(crate) fn write_place(text: &mut String, location: &Location<'_>) {
    text.push_str(location.file());
    text.push(':');
    write_number(text, location.line().into());
}

/// A duration in a few characters, such as `1.25 s` and `2 h 03 min`.
pub(crate) fn short(duration: Duration) -> String {
    let mut text = String::new();
    write_short(&mut text, duration);
    text
}

/// [`short`], at the end of a text.
pub(crate) fn write_short(text: &mut String, duration: Duration) {
    let seconds = duration.as_secs();
    let parts = match seconds {
        // In hundredths, rounded down.
        0..60 => (seconds, ".", u64::from(duration.subsec_millis() / 10), " s"),
        60..3600 => (seconds / 60, " min ", seconds % 60, " s"),
        3600..86400 => (seconds / 3600, " h ", seconds / 60 % 60, " min"),
        _ => (seconds / 86400, " d ", seconds / 3600 % 24, " h"),
    };
    let (whole, between, part, unit) = parts;
    write_number(text, whole);
    text.push_str(between);
    if part < 10 {
        text.push('0');
    }
    write_number(text, part);
    text.push_str(unit);
}

/// A number at the end of a text. A table of many tasks has hundreds of thousands of them.
pub(crate) fn write_number(text: &mut String, mut number: u64) {
    // As many digits as the largest number has.
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.push_str(std::str::from_utf8(&digits[start..]).unwrap_or_default());
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// Escapes text for a terminal: the program chooses names, which may contain control sequences.
pub(crate) fn harmless(text: String) -> String {
    if !may_be_harmful(text.as_bytes()) {
        return text;
    }
    let is_harmful = |c: char| c.is_control() && c != '\n';
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

/// Escapes a name for a line of text: line feeds would start new lines, and bidirectional marks
/// would change the direction of the text after them.
pub(crate) fn plain(name: &str) -> Cow<'_, str> {
    let is_embedding = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_mark = |c: char| is_embedding(c) || matches!(c, '\u{200e}' | '\u{200f}');
    let is_harmful = |c: char| c.is_control() || is_mark(c);
    let is_printed = |byte: u8| (b' '..=b'~').contains(&byte);
    if name.bytes().all(is_printed) || !name.contains(is_harmful) {
        return Cow::Borrowed(name);
    }
    let mut clean = String::with_capacity(name.len());
    for c in name.chars() {
        if is_harmful(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    Cow::Owned(clean)
}

/// Whether the text has a byte of a control character. 0xC2 begins the control characters beyond
/// ASCII (and some other characters). A table of many tasks has megabytes, so this checks all bytes
/// in a loop that the compiler can vectorize.
fn may_be_harmful(text: &[u8]) -> bool {
    let is_one = |byte: u8| (byte < b' ' && byte != b'\n') | (byte == 0x7f) | (byte == 0xc2);
    text.iter().fold(false, |found, byte| found | is_one(*byte))
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
    fn numbers_are_written_whole() {
        for number in [0, 9, 10, 1_234_567_890, u64::MAX] {
            let mut text = "#".to_owned();
            write_number(&mut text, number);
            assert_eq!(text, format!("#{number}"));
        }
    }

    #[test]
    fn a_terminal_obeys_no_name_of_a_task() {
        let harmless = |text: &str| harmless(text.to_owned());
        assert_eq!(harmless("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(harmless("\u{9b}2J \u{7f}"), "\\u{9b}2J \\u{7f}");
        assert_eq!(harmless("é £ ü\n"), "é £ ü\n");
    }
}

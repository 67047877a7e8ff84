//! Finds the end of a separator without scanning a byte twice.

use memchr::memmem;

/// Looks for the first of several separators in bytes that keep growing.
///
/// The match that ends first wins, also if another one starts earlier.
pub(super) struct Scan<'s> {
    separators: &'s [&'s [u8]],
    longest: usize,
    /// No match ends at or before this position.
    scanned: usize,
}

/// The position of a separator that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'s> Scan<'s> {
    /// # Panics
    ///
    /// If there is no separator, or an empty one, which would match everywhere.
    pub(super) fn new(separators: &'s [&'s [u8]]) -> Self {
        let shortest = separators.iter().map(|separator| separator.len()).min();
        assert!(shortest.is_some_and(|length| length > 0), "separators must not be empty");
        let longest = separators.iter().map(|separator| separator.len()).max().unwrap_or(0);
        Self { separators, longest, scanned: 0 }
    }

    /// Scans the bytes that were added since the last call.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<Found> {
        let from = self.safe(self.scanned);
        let found = self
            .separators
            .iter()
            .filter_map(|separator| find(&bytes[from..], separator))
            .min_by_key(|found| found.end);
        self.scanned = bytes.len();
        found.map(|found| Found { start: from + found.start, end: from + found.end })
    }

    /// The number of bytes that certainly come before any separator that is still to come.
    pub(super) fn consumed(&self) -> usize {
        self.safe(self.scanned)
    }

    fn safe(&self, scanned: usize) -> usize {
        (scanned + 1).saturating_sub(self.longest)
    }
}

fn find(bytes: &[u8], separator: &[u8]) -> Option<Found> {
    let start = match separator {
        [byte] => memchr::memchr(*byte, bytes),
        _ => memmem::find(bytes, separator),
    }?;
    Some(Found { start, end: start + separator.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(separators: &[&[u8]], pieces: &[&[u8]]) -> Option<usize> {
        let mut scan = Scan::new(separators);
        let mut bytes = Vec::new();
        pieces.iter().find_map(|piece| {
            bytes.extend_from_slice(piece);
            scan.find(&bytes).map(|found| found.end)
        })
    }

    #[test]
    fn the_match_that_ends_first_wins() {
        assert_eq!(end(&[b"DEF", b"BCDE"], &[b"ABCDEFG"]), Some(5));
        assert_eq!(end(&[b"BCDE", b"DEF"], &[b"ABCDEFG"]), Some(5));
    }

    #[test]
    fn a_separator_may_be_cut_anywhere() {
        assert_eq!(end(&[b"\r\n"], &[b"one\r", b"\n"]), Some(5));
        assert_eq!(end(&[b"A", b"long separator"], &[b"data", b"Z", b"Aaaa"]), Some(6));
        assert_eq!(end(&[b"abcd"], &[b"a", b"b", b"c", b"d"]), Some(4));
    }

    #[test]
    fn bytes_that_may_begin_a_separator_are_not_certain() {
        let mut scan = Scan::new(&[b"abc"]);
        assert_eq!(scan.find(b"xxab"), None);
        assert_eq!(scan.consumed(), 2);
        assert_eq!(scan.find(b"xxabc"), Some(Found { start: 2, end: 5 }));
    }

    #[test]
    #[should_panic(expected = "must not be empty")]
    fn an_empty_separator_is_refused() {
        Scan::new(&[b""]);
    }
}

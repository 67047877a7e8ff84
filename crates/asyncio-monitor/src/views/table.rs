//! Tables of text.

/// A table whose columns are as wide as their widest cell, up to a limit, since one task's long
/// type would fill the rows of all others with blanks. A table of many tasks has hundreds of
/// thousands of cells, so they share one allocation.
pub(crate) struct Table {
    header: Vec<&'static str>,
    /// The text of all cells, row by row, and the end of each.
    text: String,
    ends: Vec<usize>,
    widths: Vec<usize>,
}

/// The gap between two columns.
const GAP: usize = 2;
/// The maximum width of a column. A longer cell shifts the rest of its row.
const WIDEST: usize = 48;
static BLANKS: [u8; 64] = [b' '; 64];

impl Table {
    pub(crate) fn new(header: &[&'static str], rows: usize) -> Self {
        Self {
            header: header.to_vec(),
            text: String::with_capacity(rows * 100),
            ends: Vec::with_capacity(rows * header.len()),
            widths: header.iter().map(|cell| cell.len()).collect(),
        }
    }

    /// Adds a cell to the last row, or to a new one if the last row is full.
    pub(crate) fn cell(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        let column = self.ends.len() % self.widths.len();
        let width = &mut self.widths[column];
        *width = (*width).max(length(&self.text[start..]).min(WIDEST));
        self.ends.push(self.text.len());
    }

    pub(crate) fn finish(self) -> String {
        let columns = self.widths.len();
        let blanks: usize = self.widths.iter().map(|width| width + GAP).sum();
        let rows = self.ends.len().div_ceil(columns);
        let mut out = String::with_capacity((rows + 1) * blanks);
        write_row(&mut out, self.header.iter().copied(), &self.widths);
        let mut start = 0;
        for ends in self.ends.chunks(columns) {
            let cells = ends.iter().map(|&end| &self.text[std::mem::replace(&mut start, end)..end]);
            write_row(&mut out, cells, &self.widths);
        }
        out
    }
}

fn write_row<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>, widths: &[usize]) {
    let begin = out.len();
    for (cell, width) in cells.zip(widths) {
        out.push_str(cell);
        let mut blanks = width.saturating_sub(length(cell)) + GAP;
        while blanks > 0 {
            let some = blanks.min(BLANKS.len());
            out.push_str(std::str::from_utf8(&BLANKS[..some]).unwrap_or_default());
            blanks -= some;
        }
    }
    let end = out[begin..].trim_end_matches(' ').len();
    out.truncate(begin + end);
    out.push('\n');
}

/// The number of characters.
fn length(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.chars().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["ID", "Name", "Wait"], 2);
        let long = "x".repeat(100);
        for cell in ["1", "main", &long, "1000", "ö", ""] {
            table.cell(|text| text.push_str(cell));
        }
        let text = table.finish();
        assert_eq!(text, format!("ID    Name  Wait\n1     main  {long}\n1000  ö\n"));
        assert_eq!(Table::new(&["ID"], 0).finish(), "ID\n");

        let mut table = Table::new(&["Name", "Wait"], 2);
        for cell in [&long, "-", "main", "-"] {
            table.cell(|text| text.push_str(cell));
        }
        let (wide, text) = (WIDEST + GAP, table.finish());
        assert_eq!(text, format!("{:wide$}Wait\n{long}  -\n{:wide$}-\n", "Name", "main"));
    }
}

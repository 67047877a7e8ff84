//! Tables of text.

use std::fmt;

/// A table whose columns are as wide as their widest cell.
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.header.len());
        self.rows.push(row);
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|cell| cell.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(cell));
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let mut line = String::new();
        let mut write = |cells: &mut dyn Iterator<Item = &str>| {
            line.clear();
            for (cell, width) in cells.zip(&widths) {
                line.push_str(cell);
                let blanks = width + 2 - length(cell);
                line.extend(std::iter::repeat_n(' ', blanks));
            }
            line.truncate(line.trim_end().len());
            line.push('\n');
            f.write_str(&line)
        };
        write(&mut self.header.iter().copied())?;
        for row in &self.rows {
            write(&mut row.iter().map(String::as_str))?;
        }
        Ok(())
    }
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
        let mut table = Table::new(&["ID", "Name"]);
        table.push(vec!["1".into(), "main".into()]);
        table.push(vec!["1000".into(), "ö".into()]);
        assert_eq!(table.to_string(), "ID    Name\n1     main\n1000  ö\n");
    }
}

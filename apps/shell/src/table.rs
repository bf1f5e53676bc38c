//! Tables, sizes and times, for people.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Side to which the cells of a column are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Rows under a heading. Lines end with a line feed, and with nothing blank before it.
pub struct Table {
    columns: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[(&str, Side)]) -> Self {
        Self {
            columns: headings.iter().map(|(_, side)| *side).collect(),
            rows: Vec::from([headings.iter().map(|(name, _)| String::from(*name)).collect()]),
        }
    }

    /// Adds a row. Cells that are missing are empty, cells beyond the last heading are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().take(self.columns.len()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The table as text.
    pub fn text(&self) -> String {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), side) in row.iter().zip(&widths).zip(&self.columns) {
                match side {
                    Side::Left => line += &format!("{cell:<width$}  "),
                    Side::Right => line += &format!("{cell:>width$}  "),
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// A size in bytes with at most four characters and a unit of 1024: `0B`, `512B`, `1.5K`, `128K`, `2.0G`. Rounded down.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = bytes.ilog2() / 10;
    let unit = ['B', 'K', 'M', 'G', 'T', 'P', 'E'][power as usize];
    let (whole, rest) = (bytes >> (10 * power), bytes >> (10 * (power - 1)) & 1023);
    if whole < 10 { format!("{whole}.{}{unit}", rest * 10 / 1024) } else { format!("{whole}{unit}") }
}

/// Nanoseconds as seconds with three digits behind the point, rounded down.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&[("name", Side::Left), ("n", Side::Right), ("", Side::Left)]);
        table.row(["a".into(), "100".into(), "x".into()]);
        table.row(["longer".into(), "7".into()]);
        assert_eq!(table.text(), "name      n\na       100  x\nlonger    7\n");
    }

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 1023, 1024, 1536, 10_239, 10_240, 131_072, u64::MAX].map(size);
        assert_eq!(sizes, ["0B", "1023B", "1.0K", "1.5K", "9.9K", "10K", "128K", "15E"]);
        assert_eq!(seconds(61_002_999_999), "61.002");
    }

    proptest! {
        #[test]
        fn any_size_is_short(bytes: u64) {
            prop_assert!(size(bytes).len() <= 5);
        }
    }
}

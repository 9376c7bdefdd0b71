//! Markdown tables whose columns line up when read as plain text.

use std::fmt;

pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of words, which stand to the left; figures follow and stand to the right.
    words: usize,
}

impl Table {
    pub(crate) fn new<const N: usize>(words: usize, head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).into()], words }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().enumerate() {
                let cell = cell(row, column);
                if column < self.words { write!(f, "| {cell:<width$} ")? } else { write!(f, "| {cell:>width$} ")? }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let (line, end) = ("-".repeat(width - 1), if column < self.words { "-" } else { ":" });
                    write!(f, "| {line}{end} ")?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// A figure with about three digits; `-` where nothing was measured.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How often `other` goes into `value`.
pub(crate) fn ratio(value: f64, other: f64) -> String {
    let ratio = value / other;
    if ratio.is_finite() { format!("{ratio:.2}×") } else { "-".to_owned() }
}

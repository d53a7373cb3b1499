//! Tables on a terminal: plain columns that wrap where the terminal is narrow.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, presets};

/// A table with a header.
pub(super) struct Table(comfy_table::Table);

impl Table {
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(header);
        Self(table)
    }

    /// Aligns every column but the first to the right, for numbers.
    pub(super) fn of_numbers(mut self) -> Self {
        self.0.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        self
    }

    pub(super) fn add<const N: usize>(&mut self, row: [String; N]) {
        self.0.add_row(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

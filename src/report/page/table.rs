//! Tables, figures and legends: data in, HTML out, every text escaped.

use askama::{Template, filters::HtmlSafe};

/// A table that the script can sort, filter, copy and save.
#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct Table {
    /// Its identity in the page, and the name of the file that it is saved as.
    pub(super) name: String,
    pub(super) caption: String,
    pub(super) columns: Vec<String>,
    /// The cells; the first of a row is its heading.
    pub(super) rows: Vec<Vec<Cell>>,
}

impl HtmlSafe for Table {}

impl Table {
    /// The same without columns in which nothing was measured.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let is_empty = |column: usize| self.rows.iter().all(|row| row[column].is_absent());
        let empty: Vec<bool> = (0..self.columns.len()).map(is_empty).collect();
        let mut keep = empty.iter().cycle().map(|is_empty| !is_empty);
        self.columns.retain(|_| keep.next() == Some(true));
        for row in &mut self.rows {
            let mut keep = empty.iter().map(|is_empty| !is_empty);
            row.retain(|_| keep.next() == Some(true));
        }
        self
    }
}

/// What stands where nothing was measured.
const ABSENT: &str = "–";

/// A cell, and the number that it is sorted by where its text would not do.
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) key: Option<f64>,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), key: None }
    }

    pub(super) fn number(text: impl Into<String>, key: f64) -> Self {
        Self { text: text.into(), key: Some(key) }
    }

    fn is_absent(&self) -> bool {
        self.text == ABSENT
    }

    /// What was not measured; it sorts behind everything.
    pub(super) fn absent() -> Self {
        Self { text: ABSENT.to_owned(), key: None }
    }
}

/// Pictures side by side.
#[derive(Template)]
#[template(path = "figures.html")]
pub(super) struct Figures {
    pub(super) figures: Vec<Figure>,
}

impl HtmlSafe for Figures {}

/// A picture with its caption.
pub(super) struct Figure {
    /// An element that was made by [`super::svg`], which escapes.
    pub(super) svg: String,
    pub(super) caption: String,
}

impl Figure {
    /// A picture, if there is one.
    pub(super) fn of(svg: Option<String>, caption: impl Into<String>) -> Option<Self> {
        svg.map(|svg| Self { svg, caption: caption.into() })
    }
}

/// Which look is whose.
#[derive(Template)]
#[template(path = "legend.html")]
pub(super) struct Legend {
    pub(super) keys: Vec<Key>,
}

impl HtmlSafe for Legend {}

/// A look, and whose it is.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) look: String,
}

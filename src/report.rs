//! An analysis in, a page or a table out; pure.

mod answer;
mod limits;
mod markdown;
mod numbers;
mod page;
mod tables;
mod text;
mod words;

pub use markdown::markdown;
pub use page::{Told, changes_page, list_page, page, picture};
pub use tables::{bencher, changes_json, csv, github_action_benchmark};
pub use text::text;

#[cfg(test)]
mod tests;

//! An analysis in, a page or a table out; pure.

mod markdown;
mod tables;

pub use markdown::markdown;
pub use tables::{bencher, csv, github_action_benchmark};

use crate::record::View;

/// What a view is called in a heading.
fn heading(view: View) -> &'static str {
    match view {
        View::Own => "each client against its own server",
        View::Server => "one neutral client against each server",
        View::Matrix => "every client against every server",
    }
}

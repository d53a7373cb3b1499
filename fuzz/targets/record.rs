//! A record that anybody wrote: read, analysed, and shown as text, Markdown and CSV. The setup comes first, and the rounds behind
//! the first NUL.

#![no_main]

use ioduel::{
    analysis::analyse,
    record::Record,
    report::{csv, markdown, text},
};
use libfuzzer_sys::fuzz_target;

/// Lines of a record that is analysed: resampling more than a few takes longer than finding out what is in them.
const MOST_LINES: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    let (setup, rounds) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    let Ok(setup) = std::str::from_utf8(setup) else { return };
    let Ok(record) = Record::parse(setup, rounds.get(1..).unwrap_or_default()) else { return };
    if record.lines.len() > MOST_LINES {
        return;
    }
    let Ok(analysis) = analyse(&record) else { return };
    markdown(&record.setup, &analysis);
    csv(&analysis);
    for columns in [1, 80, 200] {
        text(&record.setup, &analysis, columns);
    }
});

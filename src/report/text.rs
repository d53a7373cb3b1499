//! A record for a terminal: the answer as a sentence, then a table of what was asked for, as wide as there is room.

use super::{
    answer::answer_words,
    limits::{again, again_words, limits},
    numbers::level_among,
    words::{
        self, FLOORS, alarm_words, at_a_time_words, cautions, class_words, marked, no_verdict_words,
        rank_text, sign, versions, view_words,
    },
};
use crate::{
    analysis::{Analysis, ArmResult, ContestResult, Measure},
    record::Setup,
    stats::Comparison,
};

/// The widest that a table gets: beyond, eyes lose the line.
const MOST: usize = 100;

/// The narrowest that is written for.
const LEAST: usize = 40;

/// The narrowest and the widest bar, in columns.
const BAR: (usize, usize) = (8, 30);

/// What the signs mean, above all tables.
const BRIEFLY: &str = "▲ better, ▼ worse, = no significant difference, ~ a hint only, † not maintained; more on these at the end.";

/// What warnings of a record are of.
const WARNINGS: &str = "Warnings about the machine:";

/// What tables show, a line each.
const LEGEND: [&str; 10] = [
    "÷ NAME: the ratio to NAME, such as 1.189 (1.175 to 1.203) with its 95% interval. Higher is better for messages/s; lower is better for times.",
    "▲ better, ▼ worse: significant after correction for the number of backends. Signs compare with NAME only. The sentences above a \
     table compare other pairs too, with a stricter correction.",
    "~ suggestive, a hint only: significant alone, but not after correction for the number of backends.",
    "= statistically indistinguishable.",
    "±N% beside = or ~ is the detection limit: a measured difference above N% would have been ▲ or ▼.",
    "–: too little was measured to compare.",
    "rank: 1 + the number of ranked backends that are significantly better in the first column of figures. Ranks can repeat and skip, and can differ from the order of the ratios: each pair of backends has a test of its own.",
    "session: the time from the start of the connect to the last reply.",
    "†: not actively maintained.",
    "NAME again: a second copy of the reference, as a control. ▲ or ▼ beside it means that something is wrong with the run.",
];

/// Where the rest stands.
const MORE: &str = "CPU, memory and other times: `ioduel report RECORD --format markdown`, or index.html in the folder of the record. What each backend is: \
                    `ioduel list`.";

/// Renders what a terminal of so many columns shows of a record.
pub fn text(setup: &Setup, analysis: &Analysis, columns: usize) -> String {
    let width = columns.clamp(LEAST, MOST);
    let mut lines = Vec::new();
    let alarms =
        analysis.contests.iter().flat_map(|it| it.alarms.iter().map(move |alarm| alarm_words(it, alarm)));
    for head in alarms.chain(cautions(setup)) {
        lines.extend(wrapped(&head, "! ", "  ", width));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.extend(wrapped(BRIEFLY, "", "", width));
    lines.push(String::new());
    for contest in &analysis.contests {
        lines.extend(contest_lines(contest, width));
        lines.push(String::new());
    }
    for (name, version) in versions(setup) {
        lines.extend(wrapped(&format!("{name} is {version}"), "- ", "  ", width));
    }
    for (name, why) in &setup.skipped {
        lines.extend(wrapped(&format!("{name} was skipped: {why}"), "- ", "  ", width));
    }
    let has_floors = analysis.contests.iter().any(|contest| contest.arms.iter().any(|arm| arm.floor));
    if lines.last().is_some_and(|line| !line.is_empty()) {
        lines.push(String::new());
    }
    lines.push("How to read the tables:".to_owned());
    for line in LEGEND.into_iter().chain(has_floors.then_some(FLOORS)) {
        lines.extend(wrapped(line, "- ", "  ", width));
    }
    lines.extend(wrapped(MORE, "", "", width));
    lines.extend(["".to_owned(), "What this run can't tell:".to_owned()]);
    for limit in limits(&analysis.contests) {
        lines.extend(wrapped(&limit.sentence, "- ", "  ", width));
        limit.of_each.iter().for_each(|each| lines.extend(wrapped(each, "  - ", "    ", width)));
    }
    if !setup.warnings.is_empty() {
        lines.push(WARNINGS.to_owned());
    }
    for warning in &setup.warnings {
        lines.extend(wrapped(warning, "- ", "  ", width));
    }
    lines.push(String::new());
    let [before, after] = again_words(setup);
    lines.extend(wrapped(&format!("{before}:"), "", "", width));
    for command in again(setup) {
        lines.extend(continued(&command, width));
    }
    lines.extend(wrapped(&after, "", "", width));
    lines.join("\n")
}

fn contest_lines(contest: &ContestResult, width: usize) -> Vec<String> {
    let shape = &contest.shape;
    let load =
        format!("{}, sessions of {}{}", at_a_time_words(shape.connections), shape.in_words(), shape.beside());
    let (class, view) = (class_words(contest.class), view_words(contest.view));
    let title = format!("Workload {}: {load}; {view}, {class}", contest.title);
    let mut lines = wrapped(&title, "", "  ", width);
    for words in answer_words(contest) {
        lines.extend(wrapped(&words, "", "  ", width));
    }
    if !contest.is_measured() {
        return lines;
    }
    lines.push(String::new());
    lines.extend(table(contest, width));
    for words in no_verdict_words(contest) {
        lines.extend(wrapped(&words, "- ", "  ", width));
    }
    lines
}

/// What a table shows beside rank, arm, level and ratio.
#[derive(Clone, Copy)]
struct Form {
    with_interval: bool,
    tail: Tail,
}

/// What it shows of the tail.
#[derive(Clone, Copy)]
enum Tail {
    Nothing,
    Ratio,
    Whole,
}

/// What a table can show, the most first.
const FORMS: [Form; 5] = [
    Form { with_interval: true, tail: Tail::Whole },
    Form { with_interval: true, tail: Tail::Ratio },
    Form { with_interval: false, tail: Tail::Ratio },
    Form { with_interval: true, tail: Tail::Nothing },
    Form { with_interval: false, tail: Tail::Nothing },
];

/// The table that shows the most of what there is room for; with a bar where there is room for that too.
fn table(contest: &ContestResult, width: usize) -> Vec<String> {
    let widest = |lines: &[String]| lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let tables = FORMS.into_iter().map(|form| aligned(&columns(contest, form)));
    let mut fitting = tables.skip_while(|lines| widest(lines) > width);
    let whole = fitting.next().unwrap_or_else(|| aligned(&columns(contest, FORMS[FORMS.len() - 1])));
    let room = width.saturating_sub(widest(&whole) + 2).min(BAR.1);
    if room < BAR.0 {
        return whole.into_iter().map(|line| line.trim_end().to_owned()).collect();
    }
    let level = |arm: &ArmResult| arm.levels.get(&contest.headline).copied().unwrap_or(0.0);
    let most = contest.arms.iter().map(level).fold(0.0, f64::max);
    let bars = contest.arms.iter().map(|arm| bar(level(arm) / most, room));
    let name = contest.headline.name();
    let head = if name.chars().count() <= room { name } else { "" };
    let bars = std::iter::once(head.to_owned()).chain(bars);
    let filled = whole.iter().map(|line| format!("{line:<0$}", widest(&whole)));
    filled.zip(bars).map(|(line, bar)| format!("{line}  {bar}").trim_end().to_owned()).collect()
}

/// A bar of a share of so many columns, to an eighth of one.
fn bar(share: f64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// The cells of a column, its head first.
struct Column {
    cells: Vec<String>,
    is_right: bool,
}

/// Lines with each column as wide as its widest cell.
fn aligned(columns: &[Column]) -> Vec<String> {
    let width = |column: &Column| column.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let cell = |column: &Column, line: usize| match (column.is_right, width(column)) {
        (true, width) => format!("{:>width$}", column.cells[line]),
        (false, width) => format!("{:<width$}", column.cells[line]),
    };
    let lines = columns.first().map_or(0, |column| column.cells.len());
    let line = |line| columns.iter().map(|column| cell(column, line)).collect::<Vec<_>>().join("  ");
    (0..lines).map(line).collect()
}

fn columns(contest: &ContestResult, form: Form) -> Vec<Column> {
    let column = |head: String, is_right: bool, cell: &dyn Fn(&ArmResult) -> String| Column {
        cells: std::iter::once(head).chain(contest.arms.iter().map(cell)).collect(),
        is_right,
    };
    let level = |measure: Measure| {
        let text = move |level: &f64| level_among(contest, measure, *level);
        move |arm: &ArmResult| arm.levels.get(&measure).map_or_else(|| "–".to_owned(), text)
    };
    let ratio = |measure: Measure, parts: RatioParts| {
        move |arm: &ArmResult| match arm.comparisons.get(&measure) {
            Some(found) => ratio_text(found, parts),
            None if arm.arm.name == contest.reference => "1".to_owned(),
            None => "–".to_owned(),
        }
    };
    let headline = contest.headline;
    let parts = if form.with_interval { RatioParts::Interval } else { RatioParts::Needed };
    let to = format!("÷ {}", contest.reference);
    let mut columns = vec![
        column("rank".to_owned(), true, &rank_text),
        column("backend".to_owned(), false, &words::named),
        column(headline.name().to_owned(), true, &level(headline)),
        column(to.clone(), false, &ratio(headline, parts)),
    ];
    match (contest.tail(), form.tail) {
        (Some(tail), Tail::Whole) => {
            columns.push(column(tail.name().to_owned(), true, &level(tail)));
            columns.push(column(to, false, &ratio(tail, RatioParts::Needed)));
        }
        (Some(tail), Tail::Ratio) => {
            columns.push(column("p99 ratio".to_owned(), false, &ratio(tail, RatioParts::Sign)));
        }
        _ => {}
    }
    columns
}

/// What stands beside a ratio and the sign of its verdict.
#[derive(Clone, Copy)]
enum RatioParts {
    /// Nothing.
    Sign,
    /// Without a verdict, the difference that was needed for one.
    Needed,
    /// That, and the interval.
    Interval,
}

fn ratio_text(found: &Comparison, parts: RatioParts) -> String {
    match parts {
        RatioParts::Sign => format!("{:.3} {}", found.ratio, sign(found.verdict)),
        RatioParts::Needed => format!("{:.3} {}", found.ratio, marked(found)),
        RatioParts::Interval => words::ratio_text(found),
    }
}

/// Breaks a command between words so that a shell takes it as one.
fn continued(command: &str, width: usize) -> Vec<String> {
    const BREAK: &str = " \\";
    let whole = format!("  {command}");
    if whole.chars().count() <= width {
        return vec![whole];
    }
    let mut lines = wrapped(command, "  ", "    ", width - BREAK.len());
    let last = lines.len() - 1;
    lines[..last].iter_mut().for_each(|line| line.push_str(BREAK));
    lines
}

/// Breaks a text between words; the first line begins with one text, those behind it with another.
fn wrapped(text: &str, first: &str, others: &str, width: usize) -> Vec<String> {
    let mut lines = vec![first.to_owned()];
    let mut is_begun = false;
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one from the beginning");
        if is_begun && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{others}{word}"));
        } else {
            if is_begun {
                last.push(' ');
            }
            last.push_str(word);
            is_begun = true;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        let long = "word ".repeat(60);
        let lines = wrapped(&long, "! ", "  ", 80);
        assert!(lines.len() > 3 && lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
        assert!(lines[0].starts_with("! word") && lines[1].starts_with("  word"));
        assert_eq!(lines.join(" ").split_whitespace().filter(|word| *word == "word").count(), 60);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!([bar(0.0, 4), bar(0.5, 4), bar(1.0, 4)], ["", "██", "████"]);
        assert_eq!(bar(0.28, 4), "█▏");
    }
}

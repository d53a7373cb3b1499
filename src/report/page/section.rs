//! What a page shows of each workload: pictures, notes and a table for each view.

use super::{
    bars, chart,
    forest::forest,
    heat::heat,
    palette::arm_look,
    table::{Cell, Figure, Figures, Key, Legend, Table},
};
use crate::{
    analysis::{ArmResult, Compared, ContestResult, Measure},
    load::Workload,
    record::{Class, View},
    report::{
        answer::{answer_words, glance_cells},
        numbers::level_text,
        words::{alarm_words, capital, contest_words, heading, machine_words, no_verdict_words, ratio_text},
    },
    stats::Better,
};

/// A workload.
pub(super) struct Section {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) views: Vec<ViewSection>,
}

/// A contest.
pub(super) struct ViewSection {
    pub(super) id: String,
    pub(super) heading: String,
    /// What it says, in sentences.
    pub(super) answer: String,
    pub(super) legend: Legend,
    pub(super) figures: Figures,
    /// What its figures show, in a few words.
    pub(super) pictured: String,
    pub(super) notes: Vec<String>,
    pub(super) table: Table,
}

/// A contest in a line: where its section is, what it is, and who leads it by its headline and by its tail, and what stealing work is
/// worth in it.
pub(super) struct Glance {
    pub(super) id: String,
    pub(super) contest: String,
    pub(super) lead: String,
    pub(super) tail: String,
    pub(super) stealing: String,
}

/// A line for each contest, in the order of its section.
pub(super) fn glances(sections: &[Section], contests: &[ContestResult]) -> Vec<Glance> {
    let of_section = |section: &Section| {
        let of_it = contests.iter().filter(|contest| contest.workload == section.title);
        let ids = section.views.iter().map(|view| view.id.clone());
        ids.zip(of_it).map(|(id, contest)| glance(id, contest, contests)).collect::<Vec<_>>()
    };
    sections.iter().flat_map(of_section).collect()
}

fn glance(id: String, contest: &ContestResult, contests: &[ContestResult]) -> Glance {
    let [lead, tail, stealing] = glance_cells(contest);
    Glance { id, contest: contest_words(contest, contests), lead, tail, stealing }
}

/// Makes a section of each workload, with all its views, in the order of the record.
pub(super) fn sections(each_compared: &[Compared<'_>], contests: &[ContestResult]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (compared, contest) in each_compared.iter().zip(contests) {
        let made = view(compared, contest);
        match sections.iter_mut().find(|section| section.title == contest.workload) {
            Some(section) => section.views.push(made),
            None => sections.push(Section {
                id: format!("workload-{}", sections.len() + 1),
                title: contest.workload.clone(),
                description: description(contest),
                views: vec![made],
            }),
        }
    }
    // An identity is a place in the page, and must be the only one of its kind.
    for (number, section) in sections.iter_mut().enumerate() {
        for (place, view) in section.views.iter_mut().enumerate() {
            view.id = format!("contest-{}-{}", number + 1, place + 1);
            view.table.name = format!("table-{}-{}", number + 1, place + 1);
        }
    }
    sections
}

fn description(contest: &ContestResult) -> String {
    let Workload { connections, messages, message_bytes, shows, .. } = &contest.shape;
    let beside = contest.shape.beside();
    if contest.shape.arrivals.is_some() {
        return format!("{shows}: {connections} connections{beside}, {}.", contest.shape.in_words());
    }
    format!(
        "{shows}: {connections} at a time{beside}, {messages} messages of {message_bytes} bytes in a session."
    )
}

fn view(compared: &Compared<'_>, contest: &ContestResult) -> ViewSection {
    let is_matrix = contest.view == View::Matrix;
    ViewSection {
        id: String::new(),
        heading: capital(&format!("{}{}", prefix(contest), heading(contest.view, contest.class))),
        answer: answer_words(contest).join(" "),
        legend: if is_matrix { Legend { keys: Vec::new() } } else { legend(contest) },
        figures: Figures {
            figures: if is_matrix { matrix_figures(contest) } else { figures(compared, contest) },
        },
        pictured: if is_matrix { "every client against every server".to_owned() } else { pictured(contest) },
        notes: notes(contest),
        table: table(contest),
    }
}

/// What tells a contest from others of its workload, view and class.
fn prefix(contest: &ContestResult) -> String {
    match contest.title.strip_prefix(contest.workload.as_str()) {
        Some("") | None => String::new(),
        Some(more) => format!("{}: ", more.trim_start_matches([',', ' '])),
    }
}

/// The look of each arm of a contest, the best first.
pub(super) fn legend(contest: &ContestResult) -> Legend {
    let shown = contest.arms.iter().filter(|arm| !arm.arm.copy);
    Legend { keys: shown.map(|arm| Key { name: arm.arm.name.clone(), look: arm_look(&arm.arm) }).collect() }
}

fn matrix_figures(contest: &ContestResult) -> Vec<Figure> {
    Figure::of(
        heat(contest),
        "Throughput of every client against every server; the stronger the colour, the more",
    )
    .into_iter()
    .collect()
}

fn figures(compared: &Compared<'_>, contest: &ContestResult) -> Vec<Figure> {
    let better = |measure: Measure| match measure.better() {
        Better::More => "to the right is better",
        Better::Less => "to the left is better",
    };
    let pictured = contest.shown().into_iter().chain([Measure::IdleMemory]);
    let forests = pictured.filter_map(|measure| {
        let caption = format!("{}: ratio and 95% interval; {}", capital(measure.name()), better(measure));
        Figure::of(forest(contest, measure), caption)
    });
    if contest.class == Class::Scaling {
        // The arms of a backend have one look, and would be one line in the others.
        let caption =
            "Speed-up by workers; the straight line is what as many times the workers do at best, × is void";
        return forests.chain(Figure::of(chart::scaling(compared), caption)).collect();
    }
    let quantile = contest.objectives.first().map_or("", |objective| objective.quantile().name());
    let others = [
        Figure::of(
            chart::responses(compared),
            format!(
                "Response time ({quantile}) by the rate that is offered; a line ends where its backend is overloaded"
            ),
        ),
        Figure::of(chart::percentiles(compared), "Round trips by percentile; lower is better"),
        Figure::of(bars::session(contest), "Where a session’s time goes, on average"),
        Figure::of(bars::cpu(contest), "CPU time per message; the server’s part has the full colour"),
        Figure::of(bars::memory(contest), "Memory for each idle connection"),
        Figure::of(
            chart::rounds(compared).filter(|_| contest.objectives.is_empty()),
            "Every round, in the order in which they were measured; × was excluded",
        ),
    ];
    forests.chain(others.into_iter().flatten()).collect()
}

/// What the figures of a contest show, in a few words.
fn pictured(contest: &ContestResult) -> String {
    let measures: Vec<&str> = contest.shown().into_iter().map(Measure::name).collect();
    format!("{}, and where time and memory go", measures.join(", "))
}

fn notes(contest: &ContestResult) -> Vec<String> {
    let bound = contest
        .arms
        .iter()
        .filter(|arm| arm.client_bound)
        .map(|arm| format!("{} was client-bound: its server could have done more.", arm.arm.name));
    let alarms = contest.alarms.iter().map(|alarm| alarm_words(contest, alarm));
    alarms.chain(no_verdict_words(contest)).chain(bound).chain(machine_words(contest)).collect()
}

/// Every measure of every arm: level, ratio and interval.
fn table(contest: &ContestResult) -> Table {
    let measured = Measure::ALL
        .into_iter()
        .filter(|measure| contest.arms.iter().any(|arm| arm.levels.contains_key(measure)));
    let measures: Vec<Measure> = measured.collect();
    let mut columns = vec!["backend".to_owned(), format!("rank by {}", contest.headline.name())];
    for measure in &measures {
        columns.push(measure.name().to_owned());
        columns.push(format!("to {}", contest.reference));
    }
    columns.push("rounds".to_owned());
    let rows = contest.arms.iter().map(|arm| row(contest, arm, &measures)).collect();
    let caption = format!("{}, {}", contest.title, heading(contest.view, contest.class));
    Table { name: String::new(), caption, columns, rows }
}

fn row(contest: &ContestResult, arm: &ArmResult, measures: &[Measure]) -> Vec<Cell> {
    let rank = arm.rank().map_or_else(Cell::absent, |rank| Cell::number(rank.to_string(), rank as f64));
    let mut cells = vec![Cell::text(arm.arm.name.clone()), rank];
    for measure in measures {
        let level = arm.levels.get(measure).copied();
        cells.push(level.map_or_else(Cell::absent, |level| Cell::number(level_text(*measure, level), level)));
        cells.push(match arm.comparisons.get(measure) {
            Some(found) => Cell::number(ratio_text(found), found.ratio),
            None if arm.arm.name == contest.reference => Cell::number("reference", 1.0),
            None => Cell::absent(),
        });
    }
    cells.push(Cell::number(arm.rounds.to_string(), arm.rounds as f64));
    cells
}

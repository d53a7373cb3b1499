//! A record as a page that needs nothing else: pictures, tables, and a chooser; pure.
//!
//! What a script does with it is `templates/script.js`; without one, the page shows the headline's ranking and every table.

mod axis;
mod bars;
mod chart;
mod data;
mod forest;
mod headline;
mod heat;
mod need;
mod palette;
mod picture;
mod section;
mod shell;
mod svg;
mod table;
mod trust;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use crate::{
    analysis::{Change, Compared, ContestResult, Measure, Ranked, Scope, each_contest},
    environment::Difference,
    load::Workload,
    record::{Arrivals, Class, Contest, Record, Setup, View},
    report::{
        limits::{Limit, again, again_words, limits},
        words::{alarm_words, cautions, class_words, heading, percent},
    },
};
use data::{CHOICES, Data, contest_data};
use headline::{Headline, headline};
pub use picture::picture;
use section::{Glance, Section, glances, legend, sections};
use shell::Shell;
use table::{Cell, Figure, Figures, Legend, Table};

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    shell: Shell,
    title: String,
    alarms: Vec<String>,
    headline: Headline,
    reference: &'a str,
    references: Vec<&'a str>,
    measures: Vec<(&'static str, &'static str)>,
    views: Vec<(&'static str, &'static str)>,
    classes: Vec<(&'static str, &'static str)>,
    limits: Vec<Listed>,
    again_before: String,
    again_after: Vec<(bool, String)>,
    again: [String; 2],
    /// What can be asked for beside closed loops; and whether there are such at all.
    loads: Vec<String>,
    has_closed: bool,
    /// All contests, where there are several.
    glances: Vec<Glance>,
    with_stealing: bool,
    sections: Vec<Section>,
    connections: Figures,
    legend: Legend,
    backends: Table,
    skipped: &'a BTreeMap<String, String>,
    command: String,
    revision: String,
    seed: u64,
    cautions: Vec<String>,
    warnings: &'a [String],
    aside: Table,
    environment: Table,
    damage: Option<&'a str>,
    data: String,
}

/// Renders a record as a page.
///
/// # Errors
/// When a histogram cannot be decoded, or there is nothing to show.
pub fn page(record: &Record, ranked: Ranked) -> anyhow::Result<String> {
    let setup = &record.setup;
    // Estimates are made where they are first asked for: here, contest beside contest.
    let read = each_contest(record, ranked, |compared| {
        let (result, data) = (compared.result(), contest_data(&compared));
        (compared, result, data)
    })?;
    let (each_compared, (contests, data)): (Vec<_>, (Vec<_>, Vec<_>)) =
        read.into_iter().map(|(compared, result, data)| (compared, (result, data))).unzip();
    let Some(first) = contests.first() else { anyhow::bail!("the record has no contest") };
    let sections = sections(&each_compared, &contests);
    let glances = glances(&sections, &contests);
    let [again_before, again_after] = again_words(setup);
    let page = Page {
        shell: Shell::new(),
        title: title(setup),
        alarms: alarms(&contests),
        headline: headline(first, &references(setup)),
        reference: &first.reference,
        references: references(setup),
        measures: CHOICES.iter().map(|choice| (choice.key, choice.text)).collect(),
        views: views(setup),
        classes: classes(setup),
        limits: told(&contests, &setup.warnings),
        again_before,
        again_after: parts(&again_after),
        again: again(setup),
        loads: loads(&each_compared),
        has_closed: setup.contests.iter().any(|contest| contest.arrivals == Arrivals::Closed),
        with_stealing: glances.iter().any(|glance| !glance.stealing.is_empty()),
        glances: if glances.len() > 1 { glances } else { Vec::new() },
        sections,
        connections: Figures { figures: by_connections(&each_compared) },
        legend: legend(first),
        backends: trust::backends(record),
        skipped: &setup.skipped,
        command: trust::command(setup),
        revision: trust::revision(&setup.environment),
        seed: setup.seed,
        cautions: cautions(setup),
        warnings: &setup.warnings,
        aside: trust::aside(&contests),
        environment: trust::environment(setup),
        damage: record.damage.as_deref(),
        data: Data::new(data.into_iter().flatten().collect(), record).json(),
    };
    Ok(page.render()?)
}

/// An item of a list: a sentence in parts, each with whether it is a command, and the items of a list below it.
struct Listed {
    parts: Vec<(bool, String)>,
    below: Vec<String>,
}

/// What a run can't tell; and what of the machine, too.
fn told(contests: &[ContestResult], warnings: &[String]) -> Vec<Listed> {
    let machine = (!warnings.is_empty())
        .then(|| Limit { sentence: "Warnings about the machine:".to_owned(), of_each: warnings.to_vec() });
    let all = limits(contests).into_iter().chain(machine);
    all.map(|limit| Listed { parts: parts(&limit.sentence), below: limit.of_each }).collect()
}

/// A text in parts, each with whether it is a command.
fn parts(text: &str) -> Vec<(bool, String)> {
    text.split('`').enumerate().map(|(place, part)| (place % 2 == 1, part.to_owned())).collect()
}

fn title(setup: &Setup) -> String {
    let environment = &setup.environment;
    let day = setup.began.split('T').next().unwrap_or_default();
    let machine = environment.cpu_model.as_deref().unwrap_or("an unknown processor");
    let kernel = environment.kernel.as_deref().unwrap_or("unknown");
    format!("{day}, {machine}, {} processors, Linux {kernel}", environment.processors.unwrap_or(0))
}

/// All alarms of a record, in sentences.
fn alarms(contests: &[ContestResult]) -> Vec<String> {
    let each = |contest| move |alarm| alarm_words(contest, alarm);
    contests.iter().flat_map(|contest| contest.alarms.iter().map(each(contest))).collect()
}

/// The backends that stand in a ranking.
fn references(setup: &Setup) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let is_ranked = |contest: &&Contest| contest.view != View::Matrix && contest.class != Class::Scaling;
    let ranked = setup.contests.iter().filter(is_ranked);
    for arm in ranked.flat_map(|contest| &contest.arms).filter(|arm| !arm.copy) {
        if !names.contains(&arm.name.as_str()) {
            names.push(&arm.name);
        }
    }
    names
}

fn views(setup: &Setup) -> Vec<(&'static str, &'static str)> {
    let all = [(View::Own, "the backend’s own client"), (View::Server, "the same neutral client for all")];
    let there = |view: View| setup.contests.iter().any(|contest| contest.view == view);
    all.into_iter().filter(|(view, _)| there(*view)).map(|(view, text)| (view.name(), text)).collect()
}

/// What can be asked for beside closed loops, each once whatever its classes.
fn loads(each_compared: &[Compared<'_>]) -> Vec<String> {
    let mut loads: Vec<String> = Vec::new();
    for load in each_compared.iter().filter_map(data::load) {
        if !loads.contains(&load) {
            loads.push(load);
        }
    }
    loads
}

fn classes(setup: &Setup) -> Vec<(&'static str, &'static str)> {
    let there = |class: &Class| setup.contests.iter().any(|contest| contest.class == *class);
    let classes = [Class::Single, Class::Multi, Class::Mixed].into_iter().filter(there);
    classes.map(|class| (class.name(), class_words(class))).collect()
}

/// Throughput by connections, for each view and class: over the workloads of the headline's sessions.
fn by_connections(each_compared: &[Compared<'_>]) -> Vec<Figure> {
    let session = |compared: &Compared<'_>| {
        let Workload { messages, message_bytes, reply_bytes, idle, work, .. } = compared.contest().workload;
        (messages, message_bytes, reply_bytes, idle, work)
    };
    let each_compared: Vec<&Compared<'_>> =
        each_compared.iter().filter(|compared| compared.scope() == Scope::Closed).collect();
    let headline = each_compared.first().map(|compared| session(compared));
    let of = |(view, class): (View, Class)| {
        let alike = |compared: &&&Compared<'_>| {
            let contest = compared.contest();
            (contest.view, contest.class) == (view, class) && Some(session(compared)) == headline
        };
        let each_compared: Vec<&Compared<'_>> = each_compared.iter().filter(alike).copied().collect();
        let caption = format!("Throughput, {}; higher is better", heading(view, class));
        Figure::of(chart::connections(&each_compared), caption)
    };
    let kinds: BTreeSet<(View, Class)> =
        each_compared.iter().map(|compared| (compared.contest().view, compared.contest().class)).collect();
    kinds.into_iter().filter(|(view, _)| *view != View::Matrix).filter_map(of).collect()
}

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage<'a> {
    shell: Shell,
    old: &'a Told,
    new: &'a Told,
    differences: &'a [Difference],
    causes: &'a [Difference],
    tables: Vec<Table>,
}

/// A record as a list shows it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The name of its folder.
    pub name: String,
    /// What was measured, when and where.
    pub title: String,
    /// The file in the folder that shows it.
    pub file: &'static str,
}

impl Told {
    /// Tells of the record in a folder of this name, which this file shows.
    pub fn new(name: String, setup: &Setup, file: &'static str) -> Self {
        Self { name, title: title(setup), file }
    }
}

/// Renders what changed between two records, with what may have caused it; where their designs differ, without a verdict.
///
/// # Errors
/// Never; a template may fail, and these don't.
pub fn changes_page(
    old: &Told,
    new: &Told,
    changes: &[Change],
    differences: &[Difference],
    causes: &[Difference],
) -> anyhow::Result<String> {
    let mut tables: Vec<Table> = Vec::new();
    for measure in Measure::ALL {
        let rows: Vec<Vec<Cell>> = changes
            .iter()
            .filter(|change| change.measure == measure)
            .map(|change| change_row(change, differences))
            .collect();
        if !rows.is_empty() {
            tables.push(Table {
                name: format!("changes-{}", tables.len() + 1),
                caption: measure.name().to_owned(),
                columns: [
                    "backend",
                    "workload",
                    "view",
                    "class",
                    "new / old",
                    "95% interval",
                    "needed",
                    "verdict",
                ]
                .map(str::to_owned)
                .to_vec(),
                rows,
            });
        }
    }
    Ok(ChangesPage { shell: Shell::new(), old, new, differences, causes, tables }.render()?)
}

fn change_row(change: &Change, differences: &[Difference]) -> Vec<Cell> {
    let found = &change.comparison;
    let verdict =
        if differences.is_empty() { found.verdict.to_string() } else { "not comparable".to_owned() };
    vec![
        Cell::text(change.arm.clone()),
        Cell::text(change.workload.clone()),
        Cell::text(change.view.name()),
        Cell::text(change.class.name()),
        Cell::number(format!("{:.3}", found.ratio), found.ratio),
        Cell::number(format!("{:.3} to {:.3}", found.low, found.high), found.low),
        Cell::number(percent(found.needed), found.needed),
        Cell::text(verdict),
    ]
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage<'a> {
    shell: Shell,
    records: &'a [Told],
}

/// Renders a list of records, each a link to the page in its folder.
///
/// # Errors
/// Never; a template may fail, and this doesn't.
pub fn list_page(records: &[Told]) -> anyhow::Result<String> {
    Ok(ListPage { shell: Shell::new(), records }.render()?)
}

#[cfg(test)]
mod tests;

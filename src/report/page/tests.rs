//! The parts of a page from a small fixed record, and records that would do harm.

use super::*;
use crate::{
    analysis::{
        Ranked, analyse,
        tests::{at_rates, queue, record_of},
    },
    record::Line,
    report::tests::small,
    stats::Verdict,
};

fn fields(record: &Record) -> Vec<Compared<'_>> {
    record
        .setup
        .contests
        .iter()
        .map(|contest| Compared::read(contest, record, Scope::Closed).unwrap())
        .collect()
}

#[test]
fn the_pictures_stay_as_they_are() {
    let record = small();
    let each_compared = fields(&record);
    let first = each_compared[0].result();
    insta::assert_snapshot!("forest", forest::forest(&first, Measure::Throughput).unwrap());
    insta::assert_snapshot!("percentiles", chart::percentiles(&each_compared[0]).unwrap());
    insta::assert_snapshot!("rounds", chart::rounds(&each_compared[0]).unwrap());
    insta::assert_snapshot!("cpu", bars::cpu(&first).unwrap());
    insta::assert_snapshot!("memory", bars::memory(&first).unwrap());
    let scaling = by_connections(&each_compared);
    insta::assert_snapshot!("connections", scaling[0].svg);
    let matrix = each_compared.iter().find(|compared| compared.contest().view == View::Matrix).unwrap();
    insta::assert_snapshot!("heat", heat::heat(&matrix.result()).unwrap());
}

// A record of format 1 says nothing of its backends: what they are is known of those that are built.
#[cfg(feature = "backends")]
#[test]
fn the_tables_stay_as_they_are() {
    let record = small();
    let contests = analyse(&record).unwrap().contests;
    let sections = sections(&fields(&record), &contests);
    insta::assert_snapshot!("table", sections[0].views[0].table.to_string());
    insta::assert_snapshot!("legend", sections[0].views[0].legend.to_string());
    insta::assert_snapshot!(
        "ranking",
        headline(&contests[0], &references(&record.setup)).ranking.to_string()
    );
    insta::assert_snapshot!("aside", trust::aside(&contests).to_string());
    insta::assert_snapshot!("environment", trust::environment(&record.setup).to_string());
    insta::assert_snapshot!(
        "data",
        Data::new(fields(&record).iter().filter_map(contest_data).collect(), &record).json()
    );
}

#[test]
fn the_script_has_the_ranks_of_the_tables() {
    let record = small();
    let each_compared = fields(&record);
    let json = Data::new(each_compared.iter().filter_map(contest_data).collect(), &record).json();
    let data: serde_json::Value = serde_json::from_str(&json).unwrap();
    let shown = each_compared.iter().filter(|compared| compared.contest().view != View::Matrix);
    for (contest, compared) in data["contests"].as_array().unwrap().iter().zip(shown) {
        let result = compared.result();
        for choice in CHOICES {
            let key = choice.key;
            let Some(measure) = choice.measure(compared) else { continue };
            let of = &contest["measures"][key];
            let order: Vec<usize> = serde_json::from_value(of["order"].clone()).unwrap_or_default();
            let better = |arm: usize, than: usize| of["better_than"][arm].as_str().unwrap().as_bytes()[than];
            let is_floor = |arm: usize| contest["floors"][arm].as_bool().unwrap();
            let rankable = || order.iter().filter(|arm| !is_floor(**arm));
            for arm in &order {
                let rank = 1 + rankable().filter(|other| better(**other, *arm) == b'1').count();
                let rank = (!is_floor(*arm)).then_some(rank);
                let name = contest["arms"][arm].as_str().unwrap();
                let in_table = result.arms.iter().find(|arm| arm.arm.name == name).unwrap();
                assert_eq!(in_table.ranks.get(&measure).copied(), rank, "{name} by {key}");
                // Against the first reference, verdicts are those of the table.
                let verdict = in_table.comparisons.get(&measure).map(|found| found.verdict);
                let told = of["ratios"][0][arm][4].as_f64();
                assert_eq!(told.map(|told| told == 1.0), verdict.map(|is| is == Verdict::Better));
                assert_eq!(told.map(|told| told == -1.0), verdict.map(|is| is == Verdict::Worse));
            }
        }
    }
}

#[test]
fn one_backend_alone_is_asked_for_a_second_and_leaves_nothing_to_choose() {
    let record = record_of(&["reference"], |_, epoch, block| Some(100.0 + (epoch + block) as f64));
    let fields = fields(&record);
    let said = headline(&fields[0].result(), &references(&record.setup)).sentence;
    assert_eq!(said, "Only reference took part: name a second backend to compare it with.");
    assert!(!fields[0].arms().is_empty() && contest_data(&fields[0]).is_none());
}

#[test]
fn an_alarm_stands_on_top_of_every_report() {
    let mut record = small();
    for line in &mut record.lines {
        if let Line::Round(round) = line
            && round.place.arm == "epoll again"
        {
            round.run.messages *= 20;
        }
    }
    let analysis = analyse(&record).unwrap();
    assert!(analysis.contests.iter().any(|contest| !contest.alarms.is_empty()));
    let page = page(&record, Ranked::default()).unwrap();
    let (alarm, answer) = (page.find("role=\"alert\"").unwrap(), page.find("id=\"answer\"").unwrap());
    assert!(alarm < answer, "it stands above the answer");
    let markdown = crate::report::markdown(&record.setup, &analysis);
    assert!(markdown.starts_with("- **Alarm: session"), "{}", &markdown[..200]);
    assert!(!crate::report::csv(&analysis).contains("Alarm"));
}

#[test]
fn a_page_names_itself_its_command_and_every_contest_once() {
    let record = small();
    let page = page(&record, Ranked::default()).unwrap();
    assert!(page.contains("ioduel duel"));
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an identity stands twice: {ids:?}");
    let anchors = page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
    anchors.for_each(|anchor| assert!(ids.contains(&anchor), "nothing is at #{anchor}"));
}

/// Puts a text into every string of a JSON value, but where the format or the program gives it its meaning.
fn poison(value: &mut serde_json::Value, text: &str) {
    match value {
        serde_json::Value::String(is) => *is = format!("{text}{is}"),
        serde_json::Value::Array(all) => all.iter_mut().for_each(|value| poison(value, text)),
        serde_json::Value::Object(members) => {
            let meaning = [
                "kind",
                "view",
                "connect",
                "round_trip",
                "session",
                "class",
                "model",
                "threading",
                "maintenance",
                "arrivals",
                "close",
                "unfinished",
            ];
            let all = members.iter_mut().filter(|(name, value)| {
                !(meaning.contains(&name.as_str()) && !value.is_object() || *name == "placement")
            });
            all.for_each(|(_, value)| poison(value, text));
        }
        _ => {}
    }
}

#[test]
fn markup_in_any_text_of_a_record_stays_text() {
    let harm = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let record = small();
    let mut setup = serde_json::to_value(&record.setup).unwrap();
    poison(&mut setup, harm);
    let lines = record.lines.iter().map(|line| {
        let mut line = serde_json::to_value(line).unwrap();
        poison(&mut line, harm);
        serde_json::from_value(line).unwrap()
    });
    let poisoned = Record {
        lines: lines.collect(),
        setup: serde_json::from_value(setup).unwrap(),
        footprint: None,
        damage: Some(harm.to_owned()),
    };
    let page = page(&poisoned, Ranked::default()).unwrap();
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "a text became markup");
    assert!(page.contains("&lt;script&gt;alert(1)") || page.contains("&#60;script&#62;alert(1)"));
    let scripts = page.matches("</script").count();
    assert_eq!(scripts, 2, "the page's own two scripts end, and no other");
}

#[test]
fn a_page_loads_nothing_and_runs_nothing_but_its_own() {
    let page = page(&small(), Ranked::default()).unwrap();
    for forbidden in ["http://", "https://", "src=", "@import", "url(", " style=", " onclick="] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src &#x27;none&#x27;"));
}

#[test]
fn changes_and_lists_are_pages_too() {
    let record = small();
    let told = Told::new("2026-11-22.1".to_owned(), &record.setup, "index.html");
    let changes = crate::analysis::changes(&record, &record).unwrap();
    let page = changes_page(&told, &told, &changes, &[], &[]).unwrap();
    assert!(page.contains("statistically indistinguishable") && !page.contains("Not comparable"));
    let different =
        [Difference { name: "kernel".to_owned(), was: "6.1".to_owned(), is: "<6.18>".to_owned() }];
    let causes = changes_page(&told, &told, &changes, &[], &different).unwrap();
    assert!(causes.contains("Possible causes") && causes.contains("statistically indistinguishable"));
    let page = changes_page(&told, &told, &changes, &different, &[]).unwrap();
    assert!(
        page.contains("not comparable") && page.contains("&#60;6.18&#62;"),
        "{}",
        &page[page.len() - 900..]
    );
    let list = list_page(&[told]).unwrap();
    assert!(list.contains("href=\"2026-11-22.1/index.html\""));
}

#[test]
fn a_line_of_response_times_ends_where_its_arm_is_overloaded() {
    let most = |name: &str| if name == "arm" { 3.0 } else { 9.0 };
    let grain = |epoch: usize| 1.0 + epoch as f64 * 1e-3;
    let record = at_rates(|name, rate, epoch, _| queue(most(name), rate) * grain(epoch));
    let contest = &record.setup.contests[0];
    let capacity = Compared::read(contest, &record, Scope::Capacity).unwrap();
    let picture = chart::responses(&capacity).unwrap();
    let said = |name: &str| {
        let of_it = picture.split(&format!("{name} ")).nth(1).unwrap();
        of_it.split([';', '"']).next().unwrap().matches(" at ").count()
    };
    // The arm takes three thousand a second, and was offered one, two, four and eight.
    assert_eq!((said("offered: reference"), said("; arm")), (4, 2), "{picture}");
    assert!(picture.contains(">arm</text>") && picture.contains("messages/s offered"), "labels at the ends");
    let data = Data::new(vec![contest_data(&capacity).unwrap()], &record).json();
    assert!(data.contains(r#""load":"session, capacity at p99 \u003c 2ms""#), "the script finds it: {data}");
    let page = page(&record, Ranked::default()).unwrap();
    assert!(
        page.contains("capacity at p99 &lt; 2ms") || page.contains("capacity at p99 &#60; 2ms"),
        "in the chooser"
    );
    assert!(
        Compared::read_all(contest, &record).unwrap().iter().skip(1).all(|it| chart::responses(it).is_none())
    );
}

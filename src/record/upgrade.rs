//! The setup of a record of an older format, made into one of today's.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::{Class, SCHEMA, Schedule, Setup, check_schema};
use crate::contestant::Description;

/// Reads a setup of any format that is known.
///
/// # Errors
/// When it is none.
pub(super) fn read_setup(text: &str) -> anyhow::Result<Setup> {
    let schema = check_schema(text)?;
    if schema == SCHEMA {
        return Ok(serde_json::from_str(text)?);
    }
    let mut value: Value = serde_json::from_str(text)?;
    let setup = value.as_object_mut().context("a setup is an object")?;
    if schema == 1 {
        from_format_1(setup).context("a setup of format 1 has placement, contests and arms")?;
    }
    from_format_2(setup)
        .context("a setup of format 2 has contests, each with a workload, and a ramp and a window")?;
    let mut setup: Setup = serde_json::from_value(value)?;
    if schema == 1 {
        setup.contestants = contestants(&setup);
    }
    Ok(setup)
}

/// Format 1 had one placement for all contests, no classes, and one number of workers for both sides of an arm.
fn from_format_1(setup: &mut Map<String, Value>) -> Option<()> {
    let placement = setup.remove("placement")?;
    for contest in setup.get_mut("contests")?.as_array_mut()? {
        let contest = contest.as_object_mut()?;
        contest.insert("placement".to_owned(), placement.clone());
        contest.insert("class".to_owned(), json!(Class::Mixed));
        for arm in contest.get_mut("arms")?.as_array_mut()? {
            let arm = arm.as_object_mut()?;
            let workers = arm.remove("workers").unwrap_or_default();
            arm.insert("server_workers".to_owned(), workers.clone());
            arm.insert("client_workers".to_owned(), workers);
        }
    }
    setup.insert("contestants".to_owned(), json!({}));
    setup.insert("skipped".to_owned(), json!({}));
    Some(())
}

/// Format 2 named the workload of a contest, and had one ramp, window and number of blocks for all.
fn from_format_2(setup: &mut Map<String, Value>) -> Option<()> {
    let (ramp_ms, window_ms) = (setup.remove("ramp_ms")?, setup.remove("window_ms")?);
    let blocks = usize::try_from(setup.remove("blocks")?.as_u64()?).ok()?;
    for contest in setup.get_mut("contests")?.as_array_mut()? {
        let contest = contest.as_object_mut()?;
        let workload = workload(contest.get("workload")?.as_str()?, &ramp_ms, &window_ms)?;
        contest.insert("workload".to_owned(), workload);
        contest.insert("schedule".to_owned(), json!(Schedule::Rounds { blocks }));
    }
    Some(())
}

/// The workload that a name stood for in formats 1 and 2, whatever it stands for today.
fn workload(name: &str, ramp_ms: &Value, window_ms: &Value) -> Option<Value> {
    let (connections, messages, message_bytes, shows) = match name {
        "session" => (64, 8, 16, "the original exchange, many at once"),
        "solo" => (1, 8, 16, "one client, nothing to overlap with"),
        "crowd" => (1024, 8, 16, "many more connections than workers"),
        "stream" => (64, 512, 18, "long sessions: connect and close no longer count"),
        "bulk" => (16, 64, 65_536, "big messages: copying counts"),
        _ => return None,
    };
    Some(json!({
        "name": name,
        "shows": shows,
        "connections": connections,
        "messages": messages,
        "message_bytes": message_bytes,
        "counts_sessions": messages == 8,
        "ramp_ms": ramp_ms,
        "window_ms": window_ms,
    }))
}

/// What this program knows of the contestants of a record that does not say it, with the versions that it has.
fn contestants(setup: &Setup) -> BTreeMap<String, Description> {
    let arms = setup.contests.iter().flat_map(|contest| &contest.arms);
    let names = arms.flat_map(|arm| [&arm.server, &arm.client]);
    let known = names.filter_map(|name| {
        let mut description = Description::of_built_in(name)?;
        let version = match &description.crate_name {
            None => Some(&setup.environment.rustc),
            Some(name) => setup.environment.crates.get(name),
        };
        description.version = version.cloned().unwrap_or_else(|| "unknown".to_owned());
        Some((name.clone(), description))
    });
    known.collect()
}

//! The setup of a record of an older format, made into one of today's.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Class, SCHEMA, Setup, check_schema};
use crate::contestant::Description;

/// Reads a setup of any format that is known.
///
/// # Errors
/// When it is none.
pub(super) fn read_setup(text: &str) -> anyhow::Result<Setup> {
    if check_schema(text)? == SCHEMA {
        return Ok(serde_json::from_str(text)?);
    }
    let mut setup: Value = serde_json::from_str(text)?;
    upgrade(&mut setup).context("a setup of format 1 has placement, contests and arms")?;
    let mut setup: Setup = serde_json::from_value(setup)?;
    setup.contestants = contestants(&setup);
    Ok(setup)
}

/// Format 1 had one placement for all contests, no classes, and one number of workers for both sides of an arm.
fn upgrade(setup: &mut Value) -> Option<()> {
    let setup = setup.as_object_mut()?;
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
    setup.insert("schema".to_owned(), json!(SCHEMA));
    setup.insert("contestants".to_owned(), json!({}));
    setup.insert("skipped".to_owned(), json!({}));
    Some(())
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

//! In what two records differ: in design, so that their results cannot be compared, or in what may have caused a change.

use std::collections::BTreeMap;

use super::{Contest, Place, Setup};
use crate::environment::{Difference, differences, leaves};

impl Setup {
    /// In what the design of a newer record differs from this, so that their results cannot be compared: workloads, schedules
    /// and placements of the contests that both have, prefixes, and the address.
    pub fn differences(&self, newer: &Self) -> Vec<Difference> {
        let mut all = differences(&self.of_all_contests(), &newer.of_all_contests());
        for contest in &newer.contests {
            let Some(before) = self.contests.iter().find(|before| before.is_same(contest)) else { continue };
            all.extend(differences(&before.design(), &contest.design()).into_iter().map(|difference| {
                let name = format!("{}: {}", contest.workload.name, difference.name);
                Difference { name, ..difference }
            }));
        }
        all
    }

    /// What else differs, and may be the cause of a change: the machines, the kernel, the compiler, the versions of crates and of
    /// contestants, this program's own code.
    pub fn possible_causes(&self, newer: &Self) -> Vec<Difference> {
        let mut all = self.environment.differences(&newer.environment);
        for (machine, is) in &newer.elsewhere {
            let Some(was) = self.elsewhere.get(machine) else { continue };
            all.extend(was.differences(is).into_iter().map(|it| it.of(machine)));
        }
        for (name, is) in &newer.contestants {
            let Some(was) = self.contestants.get(name) else { continue };
            let (was, is) = (was.versioned(), is.versioned());
            if was != is {
                all.push(Difference { name: format!("contestant {name}"), was, is });
            }
        }
        all
    }

    fn of_all_contests(&self) -> BTreeMap<String, String> {
        let fields = [
            ("server_address", self.server_address.clone().unwrap_or_default()),
            ("server_exec", self.server_exec.clone().unwrap_or_default()),
            ("client_exec", self.client_exec.join("; ")),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Contest {
    /// Whether it is the same contest as another, if in another design: of a workload of the same name, in the same view and
    /// class.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.workload.name, self.view, self.class) == (&other.workload.name, other.view, other.class)
    }

    /// Whether something that happened in this place belongs to it.
    pub fn has(&self, place: &Place) -> bool {
        (&self.workload.name, self.view, self.class) == (&place.workload, place.view, place.class)
    }

    /// All that decides what a figure of it means, but for the arms.
    fn design(&self) -> BTreeMap<String, String> {
        let mut fields = leaves(&self.workload);
        // Words about it are no part of it.
        fields.remove("shows");
        fields.insert("arrivals".to_owned(), flat(&leaves(&self.arrivals)));
        fields.insert("schedule".to_owned(), flat(&leaves(&self.schedule)));
        fields.insert("placement".to_owned(), self.placement.to_string());
        fields
    }
}

/// Fields in a line.
fn flat(fields: &BTreeMap<String, String>) -> String {
    fields
        .iter()
        .map(|(name, value)| format!("{name} {value}").trim().to_owned())
        .collect::<Vec<_>>()
        .join(", ")
}

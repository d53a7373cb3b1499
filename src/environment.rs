//! The machine, the kernel's settings, the versions: everything that makes two results comparable.
//!
//! Absent from here: judgement. What of it spoils a measurement is [`crate::doctor`]'s to say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    backend, cgroup,
    net::{RecordedLink, settings},
    placement::Cpus,
};

/// A machine, as it was when something was measured. What it does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The processor's name.
    pub cpu_model: Option<String>,
    /// Processors that this process may use.
    pub processors: Option<usize>,
    /// The frequency governors in use, each once.
    pub governors: Vec<String>,
    /// Whether the processor may exceed its base frequency.
    pub turbo: Option<bool>,
    /// Whether a core runs several threads at a time.
    pub smt: Option<bool>,
    /// The kernel's mitigation for each known weakness of the processor.
    pub mitigations: BTreeMap<String, String>,
    /// Whether the processor says that it is a virtual one.
    pub virtual_machine: bool,
    /// Who provides the virtual machine, as far as the firmware tells.
    pub hypervisor: Option<String>,
    /// `cpu.max` of the control group, or of one above it where that allows less: microseconds, of how many.
    pub cgroup_cpu_max: Option<String>,
    /// The memory that the control groups allow, in bytes.
    pub cgroup_memory_max: Option<String>,
    /// All memory, in KiB.
    pub memory_kib: Option<u64>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The settings that matter, by their paths below `/proc/sys`, where the agents are.
    pub settings: BTreeMap<String, String>,
    /// The network that the agents are in: `own`, or `shared`, and why, where the system refused one; absent where it was not recorded.
    #[serde(default)]
    pub network: Option<String>,
    /// The link between both sides: absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<RecordedLink>,
    /// The compiler.
    pub rustc: String,
    /// The profile that this was built with.
    pub profile: String,
    /// The system that this was built for, such as `x86_64-unknown-linux-gnu`; empty where it was not recorded.
    #[serde(default)]
    pub target: String,
    /// The flags that the compiler was given.
    #[serde(default)]
    pub rustflags: String,
    /// The features that this was built with.
    #[serde(default)]
    pub features: String,
    /// What is loaded before the program's own libraries, such as another allocator.
    #[serde(default)]
    pub preload: Option<String>,
    /// The load of the minute before, as `/proc/loadavg` has it.
    #[serde(default)]
    pub load_average: Option<f64>,
    /// The version of each backend's crate that is linked.
    pub crates: BTreeMap<String, String>,
    /// The revision that this was built from.
    pub git_revision: Option<String>,
    /// Whether the work tree had changes beyond that revision.
    pub git_dirty: bool,
}

impl Environment {
    /// Reads this machine's.
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let revision = env!("IODUEL_GIT");
        Self {
            cpu_model: cpu_model(&cpuinfo),
            processors: Cpus::of_this_process().ok().map(|cpus| cpus.count()),
            governors: governors(),
            turbo: turbo(),
            smt: line("/sys/devices/system/cpu/smt/active").map(|active| active == "1"),
            mitigations: mitigations(),
            virtual_machine: field(&cpuinfo, "flags")
                .is_some_and(|f| f.split(' ').any(|flag| flag == "hypervisor")),
            hypervisor: line("/sys/class/dmi/id/sys_vendor"),
            cgroup_cpu_max: cgroup::cpu_quota(),
            cgroup_memory_max: cgroup::memory_bytes().map(|bytes| bytes.to_string()),
            memory_kib: memory_kib(),
            kernel: line("/proc/sys/kernel/osrelease"),
            settings: settings(),
            network: None,
            link: None,
            load_average: line("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
            rustc: env!("IODUEL_RUSTC").to_owned(),
            profile: env!("IODUEL_PROFILE").to_owned(),
            target: env!("IODUEL_TARGET").to_owned(),
            rustflags: env!("IODUEL_RUSTFLAGS").to_owned(),
            features: env!("IODUEL_FEATURES").to_owned(),
            preload: std::env::var("LD_PRELOAD").ok().filter(|preload| !preload.is_empty()),
            crates: backend::crate_versions(),
            git_revision: revision.split('+').next().filter(|text| !text.is_empty()).map(str::to_owned),
            git_dirty: revision.ends_with("+dirty"),
        }
    }

    /// Every field by its path, as text.
    pub fn fields(&self) -> BTreeMap<String, String> {
        leaves(self)
    }

    /// The fields in which another environment differs from this.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut differences = differences(&self.fields(), &other.fields());
        // A kernel keeps some KiB more or less, no two minutes have the same load, and no two measurements of a link are the same.
        let differs_always =
            |name: &str| ["memory_kib", "load_average"].contains(&name) || name.starts_with("link.measured");
        differences.retain(|difference| !differs_always(&difference.name));
        differences
    }
}

/// A field in which two things differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field.
    pub name: String,
    /// What it was in the older.
    pub was: String,
    /// What it is in the newer.
    pub is: String,
}

/// The fields of which one thing has another text than the other.
pub fn differences(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<Difference> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let of = |fields: &BTreeMap<String, String>, name: &String| {
        fields.get(name).cloned().unwrap_or_else(|| "absent".to_owned())
    };
    let differ = names.into_iter().filter(|name| was.get(*name) != is.get(*name));
    differ.map(|name| Difference { name: name.clone(), was: of(was, name), is: of(is, name) }).collect()
}

/// Every leaf of what can be written as JSON, by its path, as text.
pub fn leaves(value: &impl Serialize) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    flatten("", &serde_json::to_value(value).unwrap_or_default(), &mut fields);
    fields
}

/// Puts every leaf of a JSON value into `fields`, under its path.
fn flatten(path: &str, value: &serde_json::Value, fields: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, fields);
            }
        }
        serde_json::Value::String(text) => {
            fields.insert(path.to_owned(), text.clone());
        }
        other => {
            fields.insert(path.to_owned(), other.to_string());
        }
    }
}

/// The text of a file of one line, if it is there and not empty.
pub fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|is| is.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The processor's name; where there is none, as on ARM, who made it and the number of its part.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    field(cpuinfo, "model name").or_else(|| {
        let (by, part) = (field(cpuinfo, "CPU implementer")?, field(cpuinfo, "CPU part")?);
        Some(format!("implementer {by}, part {part}"))
    })
}

fn memory_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    field(&text, "MemTotal")?.split(' ').next()?.parse().ok()
}

fn governors() -> Vec<String> {
    let Ok(folder) = fs::read_dir("/sys/devices/system/cpu/cpufreq") else { return Vec::new() };
    let all = folder.flatten().filter_map(|policy| line(policy.path().join("scaling_governor")));
    all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn turbo() -> Option<bool> {
    let intel = line("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|no| no == "0");
    intel.or_else(|| line("/sys/devices/system/cpu/cpufreq/boost").map(|boost| boost == "1"))
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(folder) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return BTreeMap::new() };
    let named = |file: fs::DirEntry| Some((file.file_name().into_string().ok()?, line(file.path())?));
    folder.flatten().filter_map(named).collect()
}

impl Difference {
    /// The same, of this machine.
    pub fn of(self, machine: &str) -> Self {
        Self { name: format!("{machine}: {}", self.name), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_survives_json_and_differs_from_itself_in_nothing() {
        let environment = Environment::read();
        let json = serde_json::to_string(&environment).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
        assert_eq!(environment.differences(&environment), []);
        assert!(environment.kernel.is_some() && !environment.settings.is_empty());
        assert!(environment.crates.contains_key("tokio"));
    }

    #[test]
    fn what_differs_is_named() {
        let ours = Environment::read();
        let mut theirs = ours.clone();
        theirs.settings.insert("net/ipv4/tcp_tw_reuse".to_owned(), "9".to_owned());
        theirs.crates.insert("tokio".to_owned(), "9.9.9".to_owned());
        theirs.memory_kib = Some(1);
        let names: Vec<String> = ours.differences(&theirs).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["crates.tokio", "settings.net/ipv4/tcp_tw_reuse"]);
    }

    #[test]
    fn a_processor_without_a_name_has_its_numbers() {
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_model(arm).unwrap(), "implementer 0x41, part 0xd0c");
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn a_field_is_found_whatever_the_space_around_it() {
        assert_eq!(
            field("model name\t: A CPU @ 2 GHz\nflags : a b\n", "model name").unwrap(),
            "A CPU @ 2 GHz"
        );
        assert_eq!(field("x: 1", "y"), None);
    }
}

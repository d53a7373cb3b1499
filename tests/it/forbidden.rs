//! A machine that forbids io_uring, as containers do: who needs it is skipped and says why, and nothing fails for it.

use std::{
    fs,
    process::{Command, Output},
    thread,
};

use ioduel::{backend::all, record::Record};
use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::results::Results;

/// Runs the program where `io_uring_setup` fails with this error. A filter binds the thread that it is put on, and every
/// process that this thread starts (seccomp(2)).
fn without_io_uring(errno: i32, words: &[&str]) -> Output {
    let rules = [(libc::SYS_io_uring_setup, vec![])].into_iter().collect();
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let action = SeccompAction::Errno(errno.cast_unsigned());
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, action, arch).unwrap().try_into().unwrap();
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            seccompiler::apply_filter(&filter).unwrap();
            Command::new(env!("CARGO_BIN_EXE_ioduel")).args(words).output().unwrap()
        });
        run.join().unwrap()
    })
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The backends of this build that rest on io_uring.
fn on_io_uring() -> Vec<&'static str> {
    let names = all().iter().map(|backend| backend.about().name);
    let rests =
        |name: &&str| ["uring", "compio", "monoio", "kimojio"].iter().any(|word| name.starts_with(word));
    names.filter(rests).collect()
}

#[test]
fn the_doctor_tries_instead_of_reading_a_setting() {
    let output = without_io_uring(libc::EPERM, &["doctor"]);
    let line = text(&output.stdout).lines().find(|line| line.contains("io_uring")).unwrap();
    assert!(line.contains("forbidden"), "{line}");
}

#[test]
fn the_list_says_why_and_shows_the_others_as_before() {
    for (errno, why) in [(libc::EPERM, "io_uring is forbidden: "), (libc::ENOSYS, "io_uring is not there: ")]
    {
        let output = without_io_uring(errno, &["list", "--json"]);
        assert!(output.status.success());
        let listed: Vec<serde_json::Value> =
            text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |name: &str| {
            let it = listed.iter().find(|it| it["name"] == name).unwrap();
            it["unavailable"].as_str().map(str::to_owned)
        };
        assert_eq!(told("epoll"), None);
        assert!(on_io_uring().len() >= 8, "{:?}", on_io_uring());
        for name in on_io_uring() {
            assert!(told(name).unwrap().starts_with(why), "{name}: {:?}", told(name));
        }
    }
}

#[test]
fn who_is_named_is_refused_in_one_line() {
    for name in on_io_uring() {
        let output = without_io_uring(libc::EPERM, &["run", name]);
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(
            error.starts_with(&format!("error: {name} cannot run here: io_uring is forbidden")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn a_duel_goes_on_without_and_every_report_says_who_was_skipped() {
    let results = Results::new("forbidden");
    let out = results.0.to_str().unwrap();
    let words = ["duel", "--class", "single", "--quick", "--epochs", "3", "--out", out];
    let output = without_io_uring(libc::EPERM, &words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("uring is skipped: io_uring is forbidden"));
    let folder = results.record().unwrap();
    let record = Record::read(&folder).unwrap();
    let arms: Vec<&str> = record.setup.contests[0].arms.iter().map(|arm| arm.name.as_str()).collect();
    assert!(arms.contains(&"epoll") && !arms.contains(&"uring"), "{arms:?}");
    for name in on_io_uring() {
        assert!(record.setup.skipped[name].starts_with("io_uring is forbidden"));
        let summary = fs::read_to_string(folder.join("summary.md")).unwrap();
        assert!(summary.contains(&format!("- `{name}` was skipped: io\\_uring is forbidden")), "{summary}");
        let page = fs::read_to_string(folder.join("index.html")).unwrap();
        assert!(page.contains(&format!("<li>{name}: io_uring is forbidden")));
    }
}

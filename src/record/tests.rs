//! A record on disk: never overwritten, and readable up to where it is damaged.

use std::path::PathBuf;

use super::*;
use crate::{
    agent::Cost,
    load::{LatencyHistogram, LoadRun},
    net::PortLimit,
    placement::Cpus,
    round::Slice,
};

fn setup() -> Setup {
    let cpus: Cpus = "0".parse().unwrap();
    let arm = Arm {
        name: "mio".to_owned(),
        server: "mio".to_owned(),
        client: "mio".to_owned(),
        server_workers: None,
        client_workers: None,
        copy: false,
        burn_ns: 0,
        server_cpus: None,
        void: None,
    };
    Setup {
        schema: SCHEMA,
        began: "2026-11-22T12:00:00Z".to_owned(),
        command_line: vec!["ioduel".to_owned(), "duel".to_owned()],
        seed: 7,
        server_exec: None,
        server_address: None,
        client_exec: Vec::new(),
        contests: vec![Contest {
            workload: Workload::default(),
            arrivals: Arrivals::Closed,
            schedule: Schedule::Slices { warm_ms: 2, slice_ms: 20, blocks: 20 },
            view: View::Own,
            class: Class::Single,
            placement: Placement { server: Some(cpus.clone()), client: Some(cpus) },
            arms: vec![arm],
        }],
        contestants: BTreeMap::new(),
        skipped: BTreeMap::new(),
        warnings: Vec::new(),
        environment: Environment::default(),
        elsewhere: BTreeMap::new(),
    }
}

fn place(block: usize) -> Place {
    Place {
        schema: SCHEMA,
        workload: "session".to_owned(),
        view: View::Own,
        class: Class::Single,
        arm: "mio".to_owned(),
        epoch: 0,
        block,
        turn: 0,
        step: None,
    }
}

fn slice(excluded: Option<&str>) -> Slice {
    Slice {
        turn: 1,
        messages: 1000,
        sessions: Some(120),
        window_ns: 20_000_000,
        server_cpu_ns: 9_000_000,
        client_cpu_ns: 11_000_000,
        excluded: excluded.map(str::to_owned),
    }
}

fn round(block: usize) -> Line {
    let mut histogram = LatencyHistogram::new();
    histogram.record(std::time::Duration::from_micros(300));
    let run = LoadRun {
        sessions: 1,
        messages: 8,
        messages_in_all: 9,
        window_s: 0.25,
        elapsed_s: 0.35,
        connect: histogram.clone(),
        round_trip: histogram.clone(),
        session: histogram.clone(),
        close: histogram,
        unfinished: LatencyHistogram::new(),
        failures: 0,
        first_failure: None,
        port_limit: PortLimit::towards(&[]),
        open: None,
    };
    Line::Round(Box::new(RoundLine {
        place: place(block),
        run: RunLine::new(&run),
        server: Cost::default(),
        client: Cost::default(),
        slices: vec![slice(None), slice(Some("kernel"))],
        server_switches_per_message: Some(0.125),
        steal: Some(0.0),
        others: None,
        ksoftirqd: None,
        cpu_pressure: None,
        throttled: None,
        flags: Vec::new(),
        excluded: Vec::new(),
        client_bound: false,
        open: None,
        worker_spread: None,
        timer_lateness: EncodedHistogram::default(),
        begun_apart: None,
        idle_kernel_bytes: None,
    }))
}

/// A folder of its own for a test, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ioduel-record-{}-{name}", std::process::id()));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind when it can't be removed; nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = Folder::new("again");
    let mut writer = RecordWriter::create(&folder.0, "2026-11-22", &setup()).unwrap();
    let idle = Line::Idle {
        place: place(1),
        bytes_per_connection: 512.0,
        kernel_bytes_per_connection: Some(4096.0),
    };
    let failed = Line::Failed { place: place(1), error: "gone".to_owned() };
    writer.append(&[round(0)]).unwrap();
    writer.append(&[idle.clone(), failed.clone()]).unwrap();
    let record = Record::read(writer.folder()).unwrap();
    assert_eq!(record.setup, setup());
    assert_eq!(record.lines, [round(0), idle, failed]);
    assert_eq!(record.damage, None);
    let Line::Round(line) = &record.lines[0] else { panic!("a round") };
    assert_eq!(line.run.round_trip.decode().unwrap().count(), 1);
}

#[test]
fn a_record_is_never_overwritten() {
    let folder = Folder::new("never");
    let paths: Vec<PathBuf> = (0..3)
        .map(|_| RecordWriter::create(&folder.0, "2026-11-22", &setup()).unwrap().folder().to_owned())
        .collect();
    let names: Vec<&str> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["2026-11-22.1", "2026-11-22.2", "2026-11-22.3"]);
    // Nor is the number of one that was thrown away given again.
    fs::remove_dir_all(&paths[0]).unwrap();
    fs::create_dir(folder.0.join("2026-11-22.10")).unwrap();
    let next = RecordWriter::create(&folder.0, "2026-11-22", &setup()).unwrap();
    assert!(next.folder().ends_with("2026-11-22.11"), "{:?}", next.folder());
    let other_day = RecordWriter::create(&folder.0, "2026-11-23", &setup()).unwrap();
    assert!(other_day.folder().ends_with("2026-11-23.1"), "{:?}", other_day.folder());
}

/// Writes two rounds, then lets `spoil` have its way with the file, and reads.
fn spoilt(name: &str, spoil: impl Fn(String) -> String) -> anyhow::Result<Record> {
    let folder = Folder::new(name);
    let mut writer = RecordWriter::create(&folder.0, "2026-11-22", &setup()).unwrap();
    writer.append(&[round(0), round(1)]).unwrap();
    let path = writer.folder().join(ROUNDS_FILE);
    fs::write(&path, spoil(fs::read_to_string(&path).unwrap())).unwrap();
    Record::read(writer.folder())
}

#[test]
fn a_truncated_record_is_read_up_to_its_damage_which_names_file_and_line() {
    let record = spoilt("cut", |text| text[..text.len() - 40].to_owned()).unwrap();
    assert_eq!(record.lines, [round(0)]);
    let damage = record.damage.unwrap();
    assert!(damage.contains("rounds.jsonl:2: "), "{damage}");
}

#[test]
fn a_foreign_line_and_another_format_are_told() {
    let record = spoilt("foreign", |text| text + "hello\n").unwrap();
    assert_eq!(record.lines.len(), 2);
    assert!(record.damage.unwrap().contains("rounds.jsonl:3: "));

    let record = spoilt("newer", |text| text.replacen("\"schema\":3", "\"schema\":9", 1)).unwrap();
    let damage = record.damage.unwrap();
    assert!(
        damage.ends_with(":1: its format is number 9, and this program reads numbers 1 to 3"),
        "{damage}"
    );

    let record = spoilt("field", |text| text.replacen("\"flags\"", "\"flag\"", 1)).unwrap();
    assert!(record.damage.unwrap().contains("unknown field `flag`"));
}

#[test]
fn a_folder_that_is_no_record_is_an_error() {
    let message = format!("{:#}", Record::read(Path::new("/nowhere")).unwrap_err());
    assert!(
        message.starts_with("\"/nowhere\" is not the folder of a record, such as results/2026-11-27.1: cannot read /nowhere/environment.json"),
        "{message}"
    );
}

#[test]
fn a_machine_elsewhere_that_changed_may_be_the_cause() {
    let with_kernel = |kernel: &str| {
        let there = Environment { kernel: Some(kernel.to_owned()), ..Environment::default() };
        Setup { elsewhere: BTreeMap::from([("client 2".to_owned(), there)]), ..setup() }
    };
    assert!(with_kernel("6.1").possible_causes(&with_kernel("6.1")).is_empty());
    let causes = with_kernel("6.1").possible_causes(&with_kernel("6.2"));
    let told: Vec<_> = causes.iter().map(|it| (it.name.as_str(), it.was.as_str(), it.is.as_str())).collect();
    assert_eq!(told, [("client 2: kernel", "6.1", "6.2")]);
}

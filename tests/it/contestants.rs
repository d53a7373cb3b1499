//! Files in `contestants/` and the programs that they describe, each with one thing wrong: it is told, and the others go on.

use std::{fs, path::PathBuf, process::Command};

use ioduel::record::Record;

use crate::results::Results;

const IODUEL: &str = env!("CARGO_BIN_EXE_ioduel");

/// A folder of contestants, gone when the test is over.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ioduel-contestants-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Describes a program that a shell makes.
    pub(crate) fn enter(&self, name: &str, script: &str) {
        self.write(name, &format!("command = {:?}\n", shell_words::join(["sh", "-c", script])));
    }

    /// Describes a program, with these lines beside those that every file has.
    pub(crate) fn write(&self, name: &str, lines: &str) {
        let kind = "kind = { model = \"readiness\", threading = \"single\" }";
        let text = format!("name = \"{name}\"\nsummary = \"-\"\nversion = \"echo 1\"\n{kind}\n{lines}");
        fs::write(self.0.join(format!("{name}.toml")), text).unwrap();
    }

    pub(crate) fn ioduel(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(IODUEL).env("IODUEL_CONTESTANTS", &self.0).args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind when it can't be removed; nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Each program with one thing wrong, and what is said of it.
fn faulty() -> [(&'static str, String, &'static str); 6] {
    let through = |edit: &str| format!("{IODUEL} agent | sed -u '{edit}'");
    let answers = "an agent answers every request with one line of JSON: the program under test: ";
    [
        ("exits", "exit 3".to_owned(), answers),
        ("mute", "exec cat".to_owned(), answers),
        ("missing", "exec no-such-program".to_owned(), answers),
        (
            "liar-server",
            through("s/\"messages\":400,/\"messages\":401,/"),
            "a server's counts are what happened: messages counted: expected 400, got 401",
        ),
        (
            "liar-client",
            through("s/\"messages_in_all\":320,/\"messages_in_all\":319,/"),
            "a client's counts are what happened: messages_in_all: expected 320, got 319",
        ),
        (
            "wrong-bytes",
            format!("sed -u 's/\"message_bytes\":16}}}}/\"message_bytes\":15}}}}/' | {IODUEL} agent"),
            "a server answers the messages of a session: sent \"1 - Send Message\"",
        ),
    ]
}

#[test]
fn a_duel_names_who_does_not_conform_and_the_case_and_goes_on_with_the_others() {
    let folder = Folder::new("duel");
    for (name, script, _) in faulty() {
        // An agent of this program answers for the backend that it is asked for; theirs is called otherwise.
        folder.enter(name, &script.replace(IODUEL, &format!("sed -u s/{name}/mio/ | {IODUEL}")));
    }
    folder.enter("good", &format!("sed -u s/good/mio/ | {IODUEL} agent"));
    folder.write("unknown-field", "command = \"true\"\ncomand = \"x\"\n");
    folder.write("no-command", "");
    let results = Results::new("contestants");
    let out = results.0.to_str().unwrap();
    let (code, _, stderr) =
        folder.ioduel(&["duel", "--class", "single", "--quick", "--epochs", "1", "--out", out]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("unknown-field.toml: line 6, column 1: unknown field `comand`"), "{stderr}");
    assert!(
        stderr.contains("no-command.toml: ") && stderr.contains("give `command` for an agent or `server`"),
        "{stderr}"
    );
    for (name, _, why) in faulty() {
        let line = format!("{name} is skipped: it does not conform: {why}");
        assert!(stderr.lines().any(|told| told.starts_with(&line)), "{line}\n{stderr}");
    }
    let record = Record::read(&results.record().unwrap()).unwrap();
    let arms: Vec<&str> = record.setup.contests[0].arms.iter().map(|arm| arm.name.as_str()).collect();
    assert!(arms.contains(&"good") && arms.contains(&"epoll"), "{arms:?}");
    assert!(record.setup.contestants["good"].external);
    assert!(faulty().iter().all(|(name, ..)| record.setup.skipped.contains_key(*name)));
}

#[test]
fn why_a_program_cannot_run_here_is_listed_and_nothing_else_changes() {
    let folder = Folder::new("list");
    folder.write("x", "command = \"true\"\nbuild = \"sh -c 'echo no tool >&2; exit 1'\"\n");
    let path = folder.0.join("x.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"echo 1\"", "\"sh -c 'echo no compiler >&2; exit 1'\"")).unwrap();
    let (code, stdout, stderr) = folder.ioduel(&["list"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("no: no compiler") && stdout.contains("epoll"), "{stdout}");

    fs::write(&path, text).unwrap();
    let (code, _, stderr) = folder.ioduel(&["run", "x"]);
    assert_eq!((code, stderr.as_str()), (Some(1), "error: x cannot run here: no tool\n"));
    let (code, _, stderr) = folder.ioduel(&["serve", "x"]);
    let expected = "error: x is not built into this program; `ioduel duel x epoll` measures it\n";
    assert_eq!((code, stderr.as_str()), (Some(2), expected));
}

#[test]
fn a_name_that_is_taken_is_told() {
    let folder = Folder::new("taken");
    folder.write("epoll", "command = \"true\"\n");
    let (code, _, stderr) = folder.ioduel(&["list"]);
    assert_eq!(code, Some(0));
    assert!(stderr.ends_with("epoll.toml: the name epoll is taken\n"), "{stderr}");
}

//! The rules of the house, held by tests.

use std::{fs, path::Path};

use ioduel::backend::all;

/// Every source file below a folder, with its text up to its unit tests.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name =
                    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_owned();
                if !name.ends_with("tests.rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
                    found.push((name, code));
                }
            }
        }
    }
    found
}

/// The module of the house that a file belongs to: `src/load/slot.rs` to `load`.
fn module(file: &str) -> &str {
    file.trim_start_matches("src/").split(['/', '.']).next().unwrap()
}

/// Lines of code, without comments.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The modules, each of which may use only those before it.
const ORDER: [&str; 22] = [
    "seeded",
    "protocol",
    "work",
    "net",
    "placement",
    "cgroup",
    "load",
    "service",
    "pacer",
    "backend",
    "environment",
    "agent",
    "contestant",
    "round",
    "conform",
    "doctor",
    "record",
    "stats",
    "duel",
    "analysis",
    "report",
    "cli",
];

/// Every path below `crate` that a file names, as `crate::load` or in a group of any shape.
fn modules_used(text: &str) -> Vec<String> {
    let code: String = code_lines(text).collect::<Vec<_>>().join("\n");
    let mut used = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            // The first word of each part at the outermost level of the group.
            let mut depth = 0;
            let mut part = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => used.push(std::mem::take(&mut part)),
                    _ if depth == 0 => part.push(character),
                    _ => {}
                }
            }
            used.push(part);
        } else {
            used.push(rest.to_owned());
        }
    }
    let word = |text: &String| {
        text.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()
    };
    used.iter().map(word).filter(|word| !word.is_empty()).collect()
}

#[test]
fn imports_are_found_in_groups_of_any_shape() {
    let text = "use crate::{agent::Agent, load::{Load, Slot}};\n\
                use crate::{\n    net,\n    round::Pair\n};\nfn f() { crate::cli::main() }";
    assert_eq!(modules_used(text), ["agent", "load", "net", "round", "cli"]);
}

#[test]
fn imports_point_down_only() {
    let rank = |module: &str| ORDER.iter().position(|is| *is == module);
    for (file, text) in sources("src") {
        let Some(own) = rank(module(&file)) else { continue };
        for used in modules_used(&text) {
            assert!(rank(&used) <= Some(own), "{file} is of {}, and uses {used}", module(&file));
        }
    }
}

#[test]
fn only_its_own_file_names_the_crate_of_a_backend() {
    let crates = [
        ("tokio", "src/backend/tokio"),
        ("mio", "src/backend/mio"),
        ("smol", "src/backend/smol"),
        ("async_std", "src/backend/async_std"),
        ("async_global_executor", "src/backend/async_std"),
        ("compio", "src/backend/compio"),
        ("monoio", "src/backend/monoio"),
        ("monoio_io_uring", "src/backend/monoio_tuned"),
        ("io_uring", "src/backend/uring"),
        ("may", "src/backend/may"),
        ("tokio_uring", "src/backend/tokio_uring"),
        ("glommio", "src/backend/glommio"),
        ("kimojio", "src/backend/kimojio"),
    ];
    for (file, text) in sources("src").into_iter().filter(|(file, _)| file != "src/backend.rs") {
        for (name, owner) in crates {
            let named = code_lines(&text).any(|line| {
                line.split(&format!("{name}::")).count() > 1
                    && line.split(&format!("{name}::")).next().is_some_and(|before| {
                        // The module of another backend has the name of its crate.
                        !before.ends_with("super::")
                            && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                    })
            });
            assert!(!named || file.starts_with(owner), "{file} names the crate {name}");
        }
    }
}

#[test]
fn advisories_that_are_known_are_shown_and_no_others_are_allowed() {
    let ids = |text: &str| -> Vec<String> {
        let found = text.split("RUSTSEC-").skip(1).map(|rest| rest.chars().take(9).collect());
        let mut ids: Vec<String> = found.collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let backends = sources("src").into_iter().filter(|(file, _)| file.starts_with("src/backend/"));
    let shown: String = backends.map(|(_, text)| text).collect();
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
    assert_eq!(ids(&shown), ids(&read("deny.toml")));
    assert_eq!(ids(&shown), ids(&read("BACKENDS.md")));
}

#[test]
fn what_is_pure_has_neither_io_nor_a_clock() {
    let forbidden = [
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "std::net",
        "std::fs",
        "fs::",
        "TcpStream",
        "println!",
        "thread::",
    ];
    let pure = ["seeded", "protocol", "work", "stats", "analysis", "report"];
    let files: Vec<_> = sources("src").into_iter().filter(|(file, _)| pure.contains(&module(file))).collect();
    assert!(pure.iter().all(|name| files.iter().any(|(file, _)| module(file) == *name)));
    for (file, text) in files {
        for line in code_lines(&text) {
            assert!(!forbidden.iter().any(|word| line.contains(word)), "{file}: {line}");
        }
    }
}

#[test]
fn unsafe_code_stands_where_a_ring_or_another_process_shares_memory() {
    for (file, text) in sources("src") {
        let shares = file.starts_with("src/backend/uring/")
            || ["src/backend/glommio.rs", "src/load/board.rs"].contains(&file.as_str());
        assert!(shares || !code_lines(&text).any(|line| line.contains("allow(unsafe_code")), "{file}");
    }
}

#[test]
fn every_module_says_what_it_is() {
    for (file, text) in sources("src").into_iter().chain(sources("benches")).chain(sources("tests")) {
        assert!(text.starts_with("//! "), "{file} has no header");
    }
}

#[test]
fn only_the_command_line_prints() {
    for (file, text) in sources("src").into_iter().filter(|(file, _)| !file.starts_with("src/cli")) {
        for line in code_lines(&text) {
            // An agent's replies are its whole purpose.
            let replies = ["src/agent/answering.rs", "src/supervisor/relay.rs"].contains(&file.as_str());
            assert!(replies || !line.contains("io::stdout"), "{file}: {line}");
        }
    }
}

#[test]
fn every_backend_stands_in_its_document() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("BACKENDS.md")).unwrap();
    for backend in all() {
        let name = backend.about().name;
        assert!(readme.contains(&format!("`{name}`")), "{name} is missing in BACKENDS.md");
    }
}

#[test]
fn every_script_that_a_document_cites_is_run_by_the_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let figures = read("scripts/figures");
    let run: Vec<&str> = figures.lines().filter_map(|line| line.split_whitespace().next()).collect();
    // The check itself, what it runs them by, what takes a quarter of an hour however short the duel's words are, and what
    // builds everything anew with another toolchain.
    let apart = ["check", "figures", "fuzz", "measure", "sanitize"];
    for document in ["METHODOLOGY.md", "README.md", "BIAS.md", "CONTRIBUTING.md", "results/README.md"] {
        for rest in read(document).split("`scripts/").skip(1) {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '-').next().unwrap();
            assert!(
                root.join("scripts").join(name).exists(),
                "{document} cites scripts/{name}, which is not there"
            );
            assert!(
                apart.contains(&name) || run.contains(&name),
                "{document} cites scripts/{name}: scripts/figures"
            );
        }
    }
}

//! The rules of the house, held by tests.

use std::{fs, path::Path};

use ioduel::backend::ALL;

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
                    let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
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
const ORDER: [&str; 9] =
    ["protocol", "net", "placement", "load", "service", "backend", "agent", "round", "cli"];

#[test]
fn imports_point_down_only() {
    let rank = |module: &str| ORDER.iter().position(|is| *is == module);
    for (file, text) in sources("src") {
        let Some(own) = rank(module(&file)) else { continue };
        for used in ORDER.iter().filter(|used| rank(used) > Some(own)) {
            for line in code_lines(&text) {
                let names = [format!("crate::{used}"), format!("    {used}::"), format!("    {used},")];
                let imported = line.contains(&names[0])
                    || (text.contains("use crate::{")
                        && names[1..].iter().any(|name| line.starts_with(name)));
                assert!(!imported, "{file} is of {}, and uses {used}: {line}", module(&file));
            }
        }
    }
}

#[test]
fn only_its_own_file_names_the_crate_of_a_backend() {
    let names = [("tokio", "tokio"), ("mio", "mio"), ("smol", "smol"), ("async_std", "async_std")];
    for (file, text) in sources("src") {
        for (name, owner) in names {
            if file.starts_with(&format!("src/backend/{owner}")) {
                continue;
            }
            for line in code_lines(&text) {
                let used = line.starts_with(&format!("use {name}::")) || line.contains(&format!(" {name}::"));
                let own_module = line.contains(&format!("&{name}::")) || file == "src/backend.rs";
                assert!(!used || own_module, "{file} names the crate {name}: {line}");
            }
        }
    }
}

#[test]
fn the_session_has_neither_io_nor_a_clock() {
    let forbidden =
        ["Instant::now", "SystemTime", "std::net", "std::fs", "TcpStream", "println!", "thread::"];
    for (file, text) in sources("src").into_iter().filter(|(file, _)| module(file) == "protocol") {
        for line in code_lines(&text) {
            assert!(!forbidden.iter().any(|word| line.contains(word)), "{file}: {line}");
        }
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
            let replies = file == "src/agent/answering.rs";
            assert!(replies || !line.contains("io::stdout"), "{file}: {line}");
        }
    }
}

#[test]
fn every_backend_stands_in_the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for backend in ALL {
        let name = backend.about().name;
        assert!(readme.contains(&format!("`{name}`")), "{name} is missing in README.md");
    }
}

//! The page in a real browser. Where there is no Chromium, these tests say so and pass.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(clippy::print_stderr, reason = "a test says why it is skipped")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use headless_chrome::{
    Browser, LaunchOptions, Tab,
    protocol::cdp::{Emulation, types::Event},
};
use serde_json::Value;

/// The program, which `cargo test --workspace` builds beside these tests.
fn ioduel() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("ioduel");
    assert!(program.exists(), "{} is not built; `cargo test --workspace` does", program.display());
    program
}

/// Whether the page's own script runs.
#[derive(Clone, Copy, PartialEq)]
enum Scripts {
    On,
    Off,
}

/// A browser with one tab, and what went wrong in it.
struct Page {
    tab: Arc<Tab>,
    _browser: Browser,
    errors: Arc<Mutex<Vec<String>>>,
    folder: PathBuf,
}

/// The browser, if there is one here.
fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::var_os("PATH").and_then(|paths| {
        let all = std::env::split_paths(&paths).flat_map(|path| names.map(|name| path.join(name)));
        all.into_iter().find(|path| path.is_file())
    });
    if found.is_none() {
        eprintln!("skipped: no Chromium here (Debian: apt-get install chromium)");
    }
    found
}

impl Page {
    /// Opens the page of the small record, with the page's own script or without.
    fn open(name: &str, scripts: Scripts) -> Option<Self> {
        Self::open_of("tests/records/small", name, scripts)
    }

    /// Opens the page of a record of this repository.
    fn open_of(record: &str, name: &str, scripts: Scripts) -> Option<Self> {
        let chromium = chromium()?;
        let folder = std::env::temp_dir().join(format!("ioduel-page-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(record);
        let file = folder.join("index.html");
        let made = Command::new(ioduel()).arg("report").arg(record).arg("--out").arg(&file).output();
        assert!(made.unwrap().status.success());
        let options = LaunchOptions::default_builder()
            .path(Some(chromium))
            // In a container Chromium has no right to make its own.
            .sandbox(false)
            .window_size(Some((1000, 900)))
            .build()
            .unwrap();
        let browser = Browser::new(options).unwrap();
        let tab = browser.new_tab().unwrap();
        let errors = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&errors);
        tab.enable_log().unwrap();
        tab.enable_runtime().unwrap();
        tab.add_event_listener(Arc::new(move |event: &Event| {
            if matches!(event, Event::LogEntryAdded(_) | Event::RuntimeExceptionThrown(_)) {
                told.lock().unwrap().push(format!("{event:?}"));
            }
        }))
        .unwrap();
        tab.call_method(Emulation::SetScriptExecutionDisabled { value: scripts == Scripts::Off }).unwrap();
        tab.navigate_to(&format!("file://{}", file.display())).unwrap().wait_until_navigated().unwrap();
        Some(Self { tab, _browser: browser, errors, folder })
    }

    /// What an expression comes to.
    fn ask(&self, expression: &str) -> Value {
        let wrapped = format!("(async () => JSON.stringify({expression}))()");
        let text = self.tab.evaluate(&wrapped, true).unwrap().value.unwrap_or_default();
        serde_json::from_str(text.as_str().unwrap_or("null")).unwrap()
    }

    /// Chooses in the form as a person would.
    fn choose(&self, name: &str, value: &str) {
        let set = format!(
            "(() => {{ const field = document.querySelector('#chooser [name={name}]'); field.value = {value:?}; \
             field.dispatchEvent(new Event('change', {{ bubbles: true }})); return field.value; }})()"
        );
        assert_eq!(self.ask(&set), value, "{name} has no {value}");
    }

    /// The arms of the ranking with their ranks, those without a verdict left out.
    fn ranking(&self) -> Vec<(String, String)> {
        let rows = self.ask(
            "[...document.querySelectorAll('#ranking tbody tr')].map((r) => [r.dataset.arm, r.cells[0].textContent])\
             .filter(([, rank]) => rank !== '–')",
        );
        serde_json::from_value(rows).unwrap()
    }

    fn resize(&self, width: u32, scheme: &str) {
        let metrics = Emulation::SetDeviceMetricsOverride {
            width,
            height: 900,
            device_scale_factor: 1.0,
            mobile: false,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        self.tab.call_method(metrics).unwrap();
        let feature =
            Emulation::MediaFeature { name: "prefers-color-scheme".to_owned(), value: scheme.to_owned() };
        self.tab
            .call_method(Emulation::SetEmulatedMedia { media: None, features: Some(vec![feature]) })
            .unwrap();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Left behind when it can't be removed; nothing depends on it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_script_says_what_the_page_says_without_it() {
    // Leaders with a size, and a floor; nobody told apart; a capacity.
    for record in ["results/2026-11-27.4", "tests/records/small", "results/2026-11-26.5"] {
        let name = record.replace(['/', '.'], "-");
        let Some(page) = Page::open_of(record, &name, Scripts::On) else { return };
        let html = fs::read_to_string(page.folder.join("index.html")).unwrap();
        let (_, behind) = html.split_once("id=\"verdict\"").unwrap();
        let written = behind.split_once('>').unwrap().1.split_once('<').unwrap().0;
        let said = page.ask("document.getElementById('verdict').textContent");
        assert_eq!(said.as_str(), Some(written), "{record}");
        // A script that fails leaves what was written.
        assert_eq!(*page.errors.lock().unwrap(), Vec::<String>::new(), "{record}");
    }
}

#[test]
fn the_script_draws_what_the_page_shows_without_it() {
    // Of every row its texts and the place of its mark, and of the axis and the floors the same, to a tenth of a percent.
    let drawn = "[...document.querySelectorAll('#ranking tr:not([hidden])')].map((row) => [row.textContent.replace(/\\s+/g, ''), \
                 [...row.querySelectorAll('circle, text, line')].map((it) => \
                 Math.round(10 * parseFloat(it.getAttribute('cx') ?? it.getAttribute('x') ?? it.getAttribute('x1'))) / 10)])";
    for record in ["results/2026-11-27.4", "tests/records/small", "results/2026-11-26.5"] {
        let name = record.replace(['/', '.'], "-");
        let Some(with) = Page::open_of(record, &format!("{name}-with"), Scripts::On) else { return };
        let Some(without) = Page::open_of(record, &format!("{name}-without"), Scripts::Off) else { return };
        let [with, without] = [with, without].map(|page| page.ask(drawn));
        assert!(without.as_array().unwrap().len() > 3, "{record}: {without}");
        assert_eq!(with, without, "{record}");
    }
}

#[test]
fn the_chooser_ranks_as_the_record_says() {
    let Some(page) = Page::open("chooser", Scripts::On) else { return };
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("../records/small");
    let json = Command::new(ioduel()).arg("report").arg(record).args(["--format", "json"]).output();
    let json: Value = serde_json::from_slice(&json.unwrap().stdout).unwrap();
    let expected = |workload: &str, view: &str, measure: &str| -> Vec<(String, String)> {
        let contests = json["contests"].as_array().unwrap();
        let contest = contests.iter().find(|is| is["workload"] == workload && is["view"] == view).unwrap();
        let arms = contest["arms"].as_array().unwrap().iter();
        let ranked = arms.filter_map(|arm| {
            Some((arm["ranks"][measure].as_u64()?, arm["arm"]["name"].as_str()?.to_owned()))
        });
        let mut ranked: Vec<(u64, String)> = ranked.collect();
        ranked.sort();
        ranked.into_iter().map(|(rank, name)| (name, rank.to_string())).collect()
    };
    let sorted = |mut ranking: Vec<(String, String)>| {
        ranking.sort_by(|a, b| (a.1.parse::<u32>().unwrap(), &a.0).cmp(&(b.1.parse().unwrap(), &b.0)));
        ranking
    };
    for (connections, workload) in [("64", "session"), ("1", "solo")] {
        page.choose("connections", connections);
        for (choice, measure) in [
            ("throughput", "throughput"),
            ("tail", "round_trip_p99"),
            ("cpu", "server_cpu"),
            ("memory", "idle_memory"),
        ] {
            page.choose("measure", choice);
            assert_eq!(sorted(page.ranking()), expected(workload, "own", measure), "{workload} by {measure}");
        }
    }
    page.choose("measure", "throughput");
    page.choose("reference", "tokio");
    let tokio =
        page.ask("document.querySelector('#ranking tr[data-arm=tokio] [data-cell=verdict]').textContent");
    assert_eq!(tokio, "reference");
    let solo =
        page.ask("document.querySelector('#ranking tr[data-arm=threads] [data-cell=verdict]').textContent");
    assert_eq!(solo, "no verdict here", "threads died in solo, and says so");
    page.choose("connections", "64");
    let ratio = |name: &str| {
        let cell =
            format!("document.querySelector('#ranking [data-arm={name}] [data-cell=ratio]').textContent");
        page.ask(&cell).as_str().unwrap().parse::<f64>().unwrap()
    };
    let to_tokio = ratio("epoll");
    page.choose("reference", "epoll");
    assert!((ratio("tokio") * to_tokio - 1.0).abs() < 0.002, "the same ratio, the other way round");
    page.choose("need", "safe");
    assert!(page.ranking().iter().all(|(name, _)| name.starts_with("thread")), "{:?}", page.ranking());
    page.choose("need", "any");
    page.choose("bytes", "65536");
    let measured = page.ask("document.getElementById('measured').textContent");
    assert!(measured.as_str().unwrap().starts_with("Not measured as such"), "{measured}");
    assert_eq!(*page.errors.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn tables_are_sorted_filtered_and_copied() {
    let Some(page) = Page::open("tables", Scripts::On) else { return };
    let rows = "[...document.querySelectorAll('#table-1-1 tbody tr')]";
    let names = || page.ask(&format!("{rows}.filter((r) => !r.hidden).map((r) => r.cells[0].textContent)"));
    let numbers = || -> Vec<f64> {
        serde_json::from_value(page.ask(&format!("{rows}.map((r) => Number(r.cells[2].dataset.key))")))
            .unwrap()
    };
    page.ask("document.querySelectorAll('#table-1-1 thead button')[2].click()");
    assert!(numbers().is_sorted(), "{:?}", numbers());
    page.ask("document.querySelectorAll('#table-1-1 thead button')[2].click()");
    assert!(numbers().into_iter().rev().is_sorted());
    let filter = "(() => { const box = document.querySelector('[aria-controls=\"table-1-1\"]'); box.value = 'tok'; \
                  box.dispatchEvent(new Event('input', { bubbles: true })); return 1; })()";
    page.ask(filter);
    assert_eq!(names(), serde_json::json!(["tokio"]));
    let copied = page.ask(
        "await (async () => { let text; navigator.clipboard.writeText = async (is) => { text = is; }; \
         document.querySelector('.table [data-do=markdown]').click(); await new Promise((done) => setTimeout(done)); return text; })()",
    );
    let copied = copied.as_str().unwrap();
    assert!(
        copied.starts_with("| backend | rank by messages/s |")
            && copied.contains("| tokio |")
            && !copied.contains("| epoll |"),
        "{copied}"
    );
    let saved = page.ask(
        "await (async () => { let blob; URL.createObjectURL = (is) => { blob = is; return '#'; }; \
         document.querySelector('.table [data-do=csv]').click(); return blob.text(); })()",
    );
    assert!(saved.as_str().unwrap().starts_with("backend,rank by messages/s,messages/s"), "{saved}");
    assert_eq!(*page.errors.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_page_asks_nobody_for_anything_and_is_whole_without_scripts() {
    let Some(page) = Page::open("alone", Scripts::On) else { return };
    assert_eq!(
        page.ask("performance.getEntriesByType('resource').map((is) => is.name)"),
        serde_json::json!([])
    );
    assert_eq!(*page.errors.lock().unwrap(), Vec::<String>::new());
    let Some(page) = Page::open("scriptless", Scripts::Off) else { return };
    assert_eq!(page.ask("document.getElementById('chooser').hidden"), true);
    assert!(page.ranking().len() >= 2);
    assert!(page.ask("document.querySelectorAll('svg.plot').length").as_u64().unwrap() > 10);
}

#[test]
fn nothing_overlaps_or_is_cut_at_any_width() {
    let Some(page) = Page::open("widths", Scripts::On) else { return };
    for width in [400, 1000, 1600] {
        for scheme in ["light", "dark"] {
            page.resize(width, scheme);
            page.ask("document.querySelectorAll('details').forEach((is) => { is.open = true; })");
            let wide =
                page.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "at {width} pixels the page is wider than the window");
            let wrong = page.ask(
                "[...document.querySelectorAll('svg.plot, tr:not([hidden]) > .dots svg')].flatMap((svg) => { \
                 const frame = svg.getBoundingClientRect(); \
                 const texts = [...svg.querySelectorAll('text:not(.lost)')].map((t) => [t.textContent, t.getBoundingClientRect()]); \
                 const cut = texts.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1); \
                 const over = texts.flatMap(([a, r], i) => texts.slice(i + 1).filter(([, s]) => \
                   r.left < s.right - 1 && s.left < r.right - 1 && r.top < s.bottom - 3 && s.top < r.bottom - 3).map(([b]) => `${a} over ${b}`)); \
                 return [...cut.map(([t]) => `${t} is cut`), ...over].map((t) => `${(svg.getAttribute('aria-label') ?? 'ranking').slice(0, 40)}: ${t}`); })",
            );
            assert_eq!(wrong, serde_json::json!([]), "at {width} pixels");
        }
    }
}

#[test]
fn axe_finds_nothing_serious() {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/axe/node_modules/axe-core/axe.min.js");
    let Ok(axe) = fs::read_to_string(axe) else {
        eprintln!("skipped: no axe-core here (npm install --prefix target/axe axe-core)");
        return;
    };
    let Some(page) = Page::open("axe", Scripts::On) else { return };
    page.tab.evaluate(&axe, false).unwrap();
    for scheme in ["light", "dark"] {
        page.resize(1000, scheme);
        let found = page.ask(
            "(await axe.run()).violations.filter((is) => ['serious', 'critical'].includes(is.impact))\
             .map((is) => [is.id, is.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))])",
        );
        assert_eq!(found, serde_json::json!([]), "{scheme}");
    }
}

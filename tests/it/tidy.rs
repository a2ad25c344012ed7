//! House rules that can be executed: file length, and a reference that says what the code says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tidewater::config::KEYS;
use tidewater::exit::ExitCode;

/// Longest source file, its tests included.
const LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_source_file_is_too_long() {
    let files = sources(&root().join("src"));
    assert!(files.len() > 100, "these are not the sources");
    for path in files {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

/// Names and meanings of the metrics, from the constants and their comments.
fn metrics() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("src/telemetry.rs")).unwrap();
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("/// ") {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(more);
            continue;
        }
        let value = line.strip_prefix("pub const ").and_then(|rest| {
            let (_, value) = rest.split_once(": &str = \"")?;
            value.strip_suffix("\";")
        });
        if let Some(name) = value {
            found.push((name.to_owned(), comment.clone()));
        }
        comment.clear();
    }
    found.sort();
    found
}

/// The whole of docs/reference.md.
fn reference() -> String {
    let mut text = "# Reference\n\nGenerated from the code by the test `tidy`; \
                    `TIDEWATER_TEST_BLESS=1` writes it anew.\n\n## Configuration\n\n\
                    A key is overridden by the environment variable of the same path, \
                    `TIDEWATER_SOURCE_URL` for `source.url`; with `_FILE` after it the variable \
                    names a file that holds the value.\n\n\
                    | key | default | may be | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for key in KEYS.iter().filter(|key| !key.path.starts_with("debug.")) {
        let default = match key.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let secret = if key.secret { " (never shown)" } else { "" };
        let (path, bound, meaning) = (key.path, key.bound, key.meaning);
        writeln!(
            text,
            "| `{path}` | {default} | {bound} | {meaning}{secret} |"
        )
        .unwrap();
    }
    text.push_str("\n## Metrics\n\n| name | meaning |\n|---|---|\n");
    for (name, meaning) in metrics() {
        writeln!(text, "| `{name}` | {meaning} |").unwrap();
    }
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in ExitCode::ALL {
        writeln!(text, "| {} | {meaning} |", *code as u8).unwrap();
    }
    text
}

#[test]
fn the_reference_says_what_the_code_says() {
    let path = root().join("docs/reference.md");
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are configured by the environment"
    )]
    let bless = std::env::var_os("TIDEWATER_TEST_BLESS").is_some();
    let reference = reference();
    if bless {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "run this test with TIDEWATER_TEST_BLESS=1"
    );
}

#[test]
fn every_metric_is_used() {
    assert!(metrics().len() > 20, "the metrics are not found");
    let code: String = sources(&root().join("src"))
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let telemetry = std::fs::read_to_string(root().join("src/telemetry.rs")).unwrap();
    let constants = telemetry.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("pub const ")?.split_once(": &str = ")?;
        value.contains("tidewater_").then_some(name)
    });
    for name in constants {
        assert!(code.matches(name).count() > 1, "{name} is never recorded");
    }
}

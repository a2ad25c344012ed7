//! Names the commit in `--version`, where there is one to name.
//!
//! A development build does not: it would be compiled anew with every commit.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TIDEWATER_COMMIT");
    #[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts so")]
    let variable = |name| std::env::var(name).ok();
    let commit = match variable("PROFILE").as_deref() {
        Some("release") => variable("TIDEWATER_COMMIT").or_else(commit),
        _ => Some("development build".to_owned()),
    };
    let shown = commit.map_or_else(String::new, |commit| format!(" ({commit})"));
    println!("cargo:rustc-env=SHOWN_COMMIT={shown}");
}

/// The commit of the working tree; none without git, or outside a repository.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["describe", "--always", "--dirty", "--exclude=*"])
}

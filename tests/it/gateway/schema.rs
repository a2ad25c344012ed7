//! The interface as /openapi.json has it, met by schemathesis: it makes requests of the document's schemas, right
//! and wrong ones, and compares the answers with it.

use std::path::Path;
use std::process::Command;

use super::Scene;

/// Requests of each kind and operation.
const EXAMPLES: &str = "25";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_document_has() {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "no {}: run scripts/install tests",
        program.display()
    );
    let limits = "events_per_second = 1000000\nevents_burst = 1000000\nreads_per_second = 1000000";
    let mut scene = Scene::start("schema", limits).await;
    let client = scene.client(&["events:write", "read"]).await;
    let seed = crate::model::random::seed() % u64::from(u32::MAX);
    let exceptions =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/gateway/schemathesis.toml");
    let run = Command::new(program)
        .arg("--config-file")
        .arg(exceptions)
        .args(["run", &format!("http://{}/openapi.json", scene.address())])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", client.key.clone().unwrap()),
        ])
        .args(["--max-examples", EXAMPLES, "--seed", &seed.to_string()])
        // One worker: CPython 3.11 can trip over sources that two threads parse at once.
        .args(["--phases", "examples,coverage,fuzzing", "--checks", "all"])
        .args(["--no-color", "--workers", "1", "--request-timeout", "20"])
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{output}\n{errors}");
    println!(
        "{}",
        output.lines().rev().take(12).collect::<Vec<_>>().join("\n")
    );
    assert!(scene.process.is_running());
    assert!(
        !scene.process.log().contains("panicked"),
        "{}",
        scene.process.log()
    );
}

//! `format.values = "debezium"` against Debezium itself: the same statements on one server through both,
//! every key, value and header compared as text.
//!
//! Whatever differs is either mended or explained in docs/debezium.md. What is explained has tables of
//! its own, `explained_…`, whose events are not compared but asserted, on both sides.

mod events;
mod explained;
mod run;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use events::differences;
use run::{Captured, captured};

/// Every difference between the two, by table.
fn all_differences(captured: &Captured) -> String {
    let mut found = String::new();
    let tables = captured.theirs.keys().chain(captured.ours.keys());
    let tables: BTreeSet<&String> = tables
        .filter(|table| !table.contains(".explained_"))
        .collect();
    for table in tables {
        let of = |side: &run::Topics| side.get(table).cloned().unwrap_or_default();
        let differences = differences(&of(&captured.theirs), &of(&captured.ours));
        if !differences.is_empty() {
            let _ = write!(found, "{table}:\n{differences}");
        }
    }
    found
}

#[tokio::test]
async fn both_write_the_same_events() {
    let all = captured().await;
    let mut report = String::new();
    for (mode, captured) in all {
        let differences = all_differences(captured);
        if !differences.is_empty() {
            let _ = write!(report, "== {mode}\n{differences}");
        }
    }
    assert!(report.is_empty(), "theirs differs from ours\n{report}");
}

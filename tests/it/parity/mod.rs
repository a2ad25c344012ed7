//! `format.values = "debezium"` against Debezium itself: the same statements on one server through both,
//! every key, value and header compared as text.
//!
//! Whatever differs is either mended or explained in docs/debezium.md. What is explained has tables of
//! its own, `explained_…`, whose events are not compared but asserted, on both sides.

mod events;
mod explained;
mod outbox;
mod run;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use events::differences;
use run::{Captured, captured};

/// PostGIS' own table, which Debezium never captures.
const BUILT_IN: &str = "public.spatial_ref_sys";
const NOT_EVERYWHERE: [&str; 2] = ["public.midnight", "public.zero_stamps"];

/// Every difference between the two, by table.
fn all_differences(mode: &str, captured: &Captured) -> String {
    // Some tables are left out where Debezium cannot read them, and most where roots are compared.
    let is_compared = |table: &&String| {
        !table.contains(".explained_")
            && *table != BUILT_IN
            && (captured.theirs.contains_key(*table)
                || mode != "root" && !NOT_EVERYWHERE.contains(&table.as_str()))
    };
    let mut found = String::new();
    let tables = captured.theirs.keys().chain(captured.ours.keys());
    let tables: BTreeSet<&String> = tables.filter(is_compared).collect();
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
        let differences = all_differences(mode, captured);
        if !differences.is_empty() {
            let _ = write!(report, "== {mode}\n{differences}");
        }
    }
    assert!(report.is_empty(), "theirs differs from ours\n{report}");
}

//! Whether the captured tables have what `[outbox]`, `[[route]]` and `[[transform]]` take them for. Pure.

use super::{Finding, Severity};
use crate::event::selection::Selection;
use crate::postgres::TableShape;

/// What the stream would end with at the first row of such a table, and outboxes that are not there.
pub(super) fn check(selection: &Selection, shapes: &[TableShape]) -> Vec<Finding> {
    const CHECK: &str = "source.selection";
    let select = |shape: &TableShape| selection.select(shape.to_table(), &shape.identity()).err();
    let refused = shapes.iter().filter_map(select);
    let mut findings: Vec<Finding> = refused
        .map(|error| Finding::error(Severity::Error, CHECK, &error))
        .collect();
    if findings.is_empty() {
        let fits = "the captured tables have the columns that are asked for";
        findings.push(Finding::ok(CHECK, fits));
    }
    if selection.outbox.is_some() {
        findings.push(outboxes(selection, shapes));
    }
    findings
}

fn outboxes(selection: &Selection, shapes: &[TableShape]) -> Finding {
    const CHECK: &str = "outbox.tables";
    let is_outbox = |shape: &&TableShape| selection.outbox(&shape.schema, &shape.name).is_some();
    let found: Vec<String> = shapes
        .iter()
        .filter(is_outbox)
        .map(|shape| shape.table().to_string())
        .collect();
    if found.is_empty() {
        return Finding::bad(
            Severity::Error,
            CHECK,
            "no captured table is an outbox",
            "create the table that outbox.tables names, and have source.tables and the publication include it",
        );
    }
    Finding::ok(CHECK, format!("rows of {} are events", found.join(", ")))
}

//! Whether the shop's tables are what `[retail]` maps them for. Pure.

use super::facts::{SinkFacts, SourceFacts};
use super::{Finding, Severity};
use crate::config::mapping::{MappedTable, Mapping};
use crate::retail::mapped::{self, folded_otherwise};

/// Each mapped table: whether it is there, captured, and has the columns and the key that it is mapped for.
pub(super) fn check(mapping: &Mapping, facts: &SourceFacts) -> Vec<Finding> {
    const CHECK: &str = "retail.mapping";
    let mut findings = Vec::new();
    for (table, found) in mapping.tables().into_iter().zip(&facts.mapped) {
        let faults = mapped::faults(table, found.as_ref());
        let mut wrong: Vec<Finding> = faults
            .iter()
            .map(|fault| Finding::error(Severity::Error, CHECK, fault))
            .collect();
        if found.is_some() {
            wrong.extend(not_captured(table, facts));
        }
        if wrong.is_empty() {
            let columns = table.columns.iter().map(|column| column.name.as_str());
            let columns = columns.collect::<Vec<_>>().join(", ");
            wrong.push(Finding::ok(CHECK, format!("{table} has {columns}")));
        }
        findings.extend(wrong);
    }
    findings
}

/// What of a table that is there never reaches its topic.
fn not_captured(table: &MappedTable, facts: &SourceFacts) -> Option<Finding> {
    const CHECK: &str = "retail.captured";
    let is_it = |schema: &str, name: &str| schema == table.schema && name == table.name;
    let mut captured = facts.tables.iter().map(|facts| &facts.table);
    if !captured.any(|other| is_it(&other.schema, &other.name)) {
        return Some(Finding::bad(
            Severity::Error,
            CHECK,
            format!("{table} is not among the captured tables"),
            "include it in source.tables",
        ));
    }
    let mut shapes = facts.shapes.iter();
    let shape = shapes.find(|shape| is_it(&shape.schema, &shape.name))?;
    let published = |name: &str| {
        let mut columns = shape.columns.iter();
        columns.any(|column| column.shape.name == name)
    };
    let missing = table.columns.iter().map(|column| column.name.as_str());
    let missing: Vec<&str> = missing.filter(|name| !published(name)).collect();
    (!missing.is_empty()).then(|| {
        Finding::bad(
            Severity::Error,
            CHECK,
            format!(
                "the publication leaves {} out of {table}",
                missing.join(", ")
            ),
            "add them to the table's column list in the publication",
        )
    })
}

/// Whether the sink was folded by this very mapping.
pub(super) fn folded_by(mapping: &Mapping, facts: &SinkFacts) -> Finding {
    const CHECK: &str = "sink.mapping";
    let now = mapping.to_string();
    match folded_otherwise(facts.folded_by.as_deref(), &now) {
        Some(remapped) => Finding::error(Severity::Error, CHECK, &remapped),
        None => Finding::ok(
            CHECK,
            "the sink is folded by the mapping that is configured",
        ),
    }
}

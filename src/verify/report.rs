//! What a verification found: how many rows were compared, and each difference.
//!
//! The report shows row values; it is for the people who may read the tables. Logs never do.

use std::fmt;

use serde::Serialize;

/// The outcome of one verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The consistent point that the source's tables were compared at, `1:0/16E9058:0`.
    pub source_position: Option<String>,
    /// The sink's `now()` in the snapshot that was compared.
    pub sink_time: Option<String>,
    /// Whole minutes that eligibility was computed for: the one of the last evaluation, and `now()`'s.
    pub evaluated_at: Vec<String>,
    /// Every table compared.
    pub tables: Vec<TableReport>,
    /// Differences in all, also those past the limit.
    pub differences_found: u64,
    /// The first differences, as many as were asked for.
    pub differences: Vec<Difference>,
    /// Rows that were mended in all, with those that were evaluated anew because of them.
    pub repairs_made: u64,
    /// The first of them, as many as differences were asked for.
    pub repairs: Vec<Repair>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// One table's rows on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Table, as in `public.orders` or `sales_hourly`.
    pub table: String,
    /// Which two were compared.
    pub comparison: Comparison,
    /// Rows that the table holds.
    pub rows: u64,
    /// Rows that took part.
    pub compared: u64,
    /// Differences found.
    pub differences: u64,
    /// Whether what differed was mended.
    pub repaired: bool,
}

/// A row that was mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Table.
    pub table: String,
    /// The row's key.
    pub key: String,
    /// The row as it was; nothing if there was none.
    pub before: Option<String>,
    /// The row as it is now; nothing if there is none any more.
    pub after: Option<String>,
}

/// Which two were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// A source table with the last state of each key in its topic.
    SourceAndTopic,
    /// A sink table with what the topics add up to.
    TopicsAndSink,
    /// The ledger with the promotions topic.
    LedgerAndTopic,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Table or topic.
    pub table: String,
    /// The row's key, `order_id=7`; empty for what concerns no single row.
    pub key: String,
    /// What is wrong.
    pub kind: DifferenceKind,
    /// What should be there: of two unequal rows, only the columns that differ.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// Position of the last change involved.
    pub position: Option<String>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Expected, and not there.
    Missing,
    /// There, and not expected.
    Unexpected,
    /// There with other values.
    Unequal,
    /// A change stands in the topic twice.
    Repeated,
    /// A change stands after a later one of its partition.
    OutOfOrder,
    /// Rows of the ledger contradict each other.
    Inconsistent,
}

impl Report {
    /// Whether nothing differs any more and every row took part.
    pub fn is_clean(&self) -> bool {
        self.remaining() == 0 && self.tables.iter().all(|table| table.rows == table.compared)
    }

    /// Differences that were not mended.
    fn remaining(&self) -> u64 {
        let left = self.tables.iter().filter(|table| !table.repaired);
        left.map(|table| table.differences).sum()
    }
}

/// Collects differences up to a limit, and counts the rest.
#[derive(Debug)]
pub(super) struct Findings {
    report: Report,
    differences_max: usize,
}

impl Findings {
    pub(super) fn new(differences_max: usize) -> Self {
        Findings {
            report: Report::default(),
            differences_max,
        }
    }

    pub(super) fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    pub(super) fn finish(self) -> Report {
        self.report
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.report.notes.push(note.into());
    }

    /// For another look at some of the tables.
    pub(super) fn again(&self) -> Findings {
        Findings::new(self.differences_max)
    }

    /// Adds the differences of another look. How many rows there are stays as it was first.
    pub(super) fn join(&mut self, again: Report) {
        self.report.differences_found += again.differences_found;
        let room = self.differences_max - self.report.differences.len();
        let shown = again.differences.into_iter().take(room);
        self.report.differences.extend(shown);
        for later in again.tables {
            let mut tables = self.report.tables.iter_mut();
            if let Some(table) = tables.find(|table| table.table == later.table) {
                table.differences += later.differences;
            }
        }
    }

    /// Begins a table; differences count for the table begun last.
    pub(super) fn begin(&mut self, table: &str, comparison: Comparison) {
        let table = table.to_owned();
        let begun = TableReport {
            table,
            comparison,
            rows: 0,
            compared: 0,
            differences: 0,
            repaired: false,
        };
        self.report.tables.push(begun);
    }

    /// Counts a row that was mended; `describe` is called while there is room for it.
    pub(super) fn mended(&mut self, describe: impl FnOnce() -> Repair) {
        self.report.repairs_made += 1;
        if self.report.repairs.len() < self.differences_max {
            self.report.repairs.push(describe());
        }
    }

    /// How many rows the table begun last holds.
    pub(super) fn rows(&mut self, rows: u64) {
        if let Some(table) = self.report.tables.last_mut() {
            table.rows = rows;
        }
    }

    /// One more row of it took part.
    pub(super) fn compared(&mut self) {
        if let Some(table) = self.report.tables.last_mut() {
            table.compared += 1;
        }
    }

    /// One more row, which takes part.
    pub(super) fn row(&mut self) {
        if let Some(table) = self.report.tables.last_mut() {
            table.rows += 1;
            table.compared += 1;
        }
    }

    /// Counts a difference; `describe` is called while there is room for it.
    pub(super) fn differs(&mut self, kind: DifferenceKind, describe: impl FnOnce(&mut Difference)) {
        self.report.differences_found += 1;
        let Some(table) = self.report.tables.last_mut() else {
            return;
        };
        table.differences += 1;
        if self.report.differences.len() < self.differences_max {
            let mut difference = Difference {
                table: table.table.clone(),
                key: String::new(),
                kind,
                expected: None,
                found: None,
                position: None,
            };
            describe(&mut difference);
            self.report.differences.push(difference);
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Comparison::SourceAndTopic => "source = topic",
            Comparison::TopicsAndSink => "topics = sink",
            Comparison::LedgerAndTopic => "ledger = topic",
        })
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DifferenceKind::Missing => "missing",
            DifferenceKind::Unexpected => "unexpected",
            DifferenceKind::Unequal => "unequal",
            DifferenceKind::Repeated => "repeated",
            DifferenceKind::OutOfOrder => "out of order",
            DifferenceKind::Inconsistent => "inconsistent",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.table, self.key)?;
        if let Some(expected) = &self.expected {
            write!(f, "\n    expected {expected}")?;
        }
        if let Some(found) = &self.found {
            write!(f, "\n    found    {found}")?;
        }
        if let Some(position) = &self.position {
            write!(f, "\n    position {position}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &Option<String>| row.clone().unwrap_or_else(|| "no row".to_owned());
        write!(
            f,
            "repaired {} {}\n    before {}\n    after  {}",
            self.table,
            self.key,
            row(&self.before),
            row(&self.after)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.source_position {
            writeln!(f, "source at {position}")?;
        }
        if let Some(time) = &self.sink_time {
            writeln!(f, "sink at {time}")?;
        }
        let width = self
            .tables
            .iter()
            .map(|table| table.table.len())
            .max()
            .unwrap_or(0)
            .max(5);
        writeln!(
            f,
            "{:width$}  {:14}  {:>12}  {:>12}  {:>11}",
            "table", "compared", "rows", "compared", "differences"
        )?;
        for table in &self.tables {
            let TableReport {
                table,
                comparison,
                rows,
                compared,
                differences,
                repaired: _,
            } = table;
            writeln!(
                f,
                "{table:width$}  {comparison:14}  {rows:>12}  {compared:>12}  {differences:>11}"
            )?;
        }
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        let hidden = self.differences_found - self.differences.len() as u64;
        if hidden > 0 {
            writeln!(f, "and {hidden} more differences")?;
        }
        for repair in &self.repairs {
            writeln!(f, "{repair}")?;
        }
        let hidden = self.repairs_made - self.repairs.len() as u64;
        if hidden > 0 {
            writeln!(f, "and {hidden} more rows repaired")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        self.verdict(f)
    }
}

impl Report {
    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.differences_found, self.remaining()) {
            (0, _) if self.is_clean() => write!(f, "no differences"),
            (0, _) => write!(f, "some rows were not compared"),
            (1, 0) => write!(f, "1 difference, and none any more"),
            (found, 0) => write!(f, "{found} differences, and none any more"),
            (1, _) => write!(f, "1 difference"),
            (found, left) if left == found => write!(f, "{found} differences"),
            (found, left) => write!(f, "{found} differences, {left} of them not repaired"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_past_the_limit_are_counted() {
        let mut findings = Findings::new(1);
        findings.begin("sales_hourly", Comparison::TopicsAndSink);
        findings.rows(2);
        for key in ["store_id=1", "store_id=2"] {
            findings.compared();
            findings.differs(DifferenceKind::Unequal, |difference| {
                difference.key = key.to_owned();
                difference.expected = Some("units=3".to_owned());
                difference.found = Some("units=2".to_owned());
            });
        }
        let report = findings.finish();
        assert!(!report.is_clean());
        assert_eq!(report.differences.len(), 1);
        assert_eq!(report.tables[0].differences, 2);
        let text = report.to_string();
        assert!(
            text.contains("unequal sales_hourly store_id=1\n    expected units=3"),
            "{text}"
        );
        assert!(
            text.ends_with("and 1 more differences\n2 differences"),
            "{text}"
        );
    }

    #[test]
    fn a_row_left_out_is_not_clean() {
        let mut findings = Findings::new(1);
        findings.begin("sales_hourly", Comparison::TopicsAndSink);
        findings.rows(1);
        assert!(!findings.finish().is_clean());
    }
}

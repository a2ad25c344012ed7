//! A table of the sink, row by row: all of its rows compared with what is expected of them, or those that
//! differed compared again and mended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;

use futures_util::TryStreamExt;
use serde_json::{Map, Value};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::Error;
use super::report::{Comparison, DifferenceKind, Findings, Repair};

/// Rows of one statement that reads or writes rows by their keys.
const KEYS_MAX: usize = 1_000;

/// A table of the sink: its key's columns, and the columns compared, each as a name and the SQL that
/// gives its canonical text.
pub(super) struct Layout<const N: usize> {
    pub(super) table: &'static str,
    pub(super) key: [(&'static str, &'static str); N],
    pub(super) columns: &'static [(&'static str, &'static str)],
}

/// One row's values in the layout's order.
pub(super) type Values = Vec<Option<String>>;

/// Keys of rows that differed, by table.
#[derive(Debug, Default)]
pub(super) struct Differing(BTreeMap<&'static str, BTreeSet<Vec<i64>>>);

impl Differing {
    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Notes a row.
    pub(super) fn note(&mut self, table: &'static str, key: &[i64]) {
        self.0.entry(table).or_default().insert(key.to_vec());
    }

    /// The keys of one table.
    pub(super) fn of(&self, table: &str) -> impl Iterator<Item = &Vec<i64>> {
        self.0.get(table).into_iter().flatten()
    }
}

/// One look at the sink's tables.
pub(super) struct Pass<'a> {
    pub(super) sink: &'a Client,
    pub(super) findings: &'a mut Findings,
    pub(super) task: Task<'a>,
}

/// What for.
pub(super) enum Task<'a> {
    /// To compare every row. The keys of those that differ are noted where they are to be mended.
    Compare(Option<&'a mut Differing>),
    /// To mend the rows that differed, and differ still. What was mended is noted.
    Mend(&'a Differing, &'a mut Mended),
}

/// What a mended row concerns.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// Store and product.
    pub(super) pairs: BTreeSet<[i64; 2]>,
    pub(super) customers: BTreeSet<i64>,
}

impl Pass<'_> {
    /// Notes a row that differs.
    pub(super) fn note(&mut self, table: &'static str, key: &[i64]) {
        if let Task::Compare(Some(differing)) = &mut self.task {
            differing.note(table, key);
        }
    }

    /// Compares every row of a table with what is expected of it, or mends those that differed. `stored` is the row
    /// to write, where that is more than what is compared.
    pub(super) async fn table<const N: usize, T>(
        &mut self,
        layout: &Layout<N>,
        expected: HashMap<[i64; N], T>,
        values: impl Fn(&T) -> Values,
        stored: impl Fn(&T) -> Values,
    ) -> Result<(), Error> {
        match &mut self.task {
            Task::Compare(differing) => {
                let differing = differing.as_deref_mut();
                compare(
                    self.sink,
                    layout,
                    expected,
                    values,
                    differing,
                    self.findings,
                )
                .await
            }
            Task::Mend(differing, mended) => {
                let keys: Vec<[i64; N]> = differing
                    .of(layout.table)
                    .filter_map(|key| key.as_slice().try_into().ok())
                    .collect();
                for keys in keys.chunks(KEYS_MAX) {
                    let expected = |key: &[i64; N]| {
                        let row = expected.get(key)?;
                        Some((values(row), stored(row)))
                    };
                    mend(self.sink, layout, keys, expected, mended, self.findings).await?;
                }
                Ok(())
            }
        }
    }
}

async fn compare<const N: usize, T>(
    sink: &Client,
    layout: &Layout<N>,
    mut expected: HashMap<[i64; N], T>,
    values: impl Fn(&T) -> Values,
    mut differing: Option<&mut Differing>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut note = |key: &[i64; N]| {
        if let Some(differing) = &mut differing {
            differing.note(layout.table, key);
        }
    };
    findings.begin(layout.table, Comparison::TopicsAndSink);
    let count = format!("select count(*) from {}", layout.table);
    let count = sink
        .query_one(&count, &[])
        .await
        .map_err(query("counting rows"))?;
    findings.rows(u64::try_from(count.get::<_, i64>(0)).unwrap_or_default());
    let rows = sink
        .simple_query_raw(&layout.select())
        .await
        .map_err(query("reading a table"))?;
    let mut rows = pin!(rows);
    while let Some(message) = rows.try_next().await.map_err(query("reading a table"))? {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        let (key, found) = layout.row(|index| row.try_get(index).ok().flatten());
        findings.compared();
        match expected.remove(&key).map(|row| values(&row)) {
            Some(expected) if expected == found => {}
            Some(expected) => {
                note(&key);
                layout.unequal(&key, &expected, &found, findings);
            }
            None => {
                note(&key);
                findings.differs(DifferenceKind::Unexpected, |difference| {
                    difference.key = layout.key_text(&key);
                    difference.found = Some(layout.row_text(&found));
                    difference.position = layout.position(&found);
                });
            }
        }
    }
    for (key, row) in expected {
        note(&key);
        findings.differs(DifferenceKind::Missing, |difference| {
            let row = values(&row);
            difference.key = layout.key_text(&key);
            difference.expected = Some(layout.row_text(&row));
            difference.position = layout.position(&row);
        });
    }
    Ok(())
}

/// Compares these rows again and writes those that differ still: what is compared of each, and what is stored.
async fn mend<const N: usize>(
    sink: &Client,
    layout: &Layout<N>,
    keys: &[[i64; N]],
    expected: impl Fn(&[i64; N]) -> Option<(Values, Values)>,
    mended: &mut Mended,
    findings: &mut Findings,
) -> Result<(), Error> {
    let found = layout.read(sink, keys).await?;
    let (mut wrong, mut right) = (Vec::new(), Vec::new());
    for key in keys {
        let (before, after) = (found.get(key), expected(key));
        let (after, stored) = after.unzip();
        if before == after.as_ref() {
            continue;
        }
        for row in [before, after.as_ref()] {
            layout.concern(key, row, mended);
        }
        findings.mended(|| Repair {
            table: layout.table.to_owned(),
            key: layout.key_text(key),
            before: before.map(|row| layout.row_text(row)),
            after: after.as_ref().map(|row| layout.row_text(row)),
        });
        wrong.push(layout.json(key, &[]));
        right.extend(stored.map(|row| layout.json(key, &row)));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    execute(sink, &layout.delete(), &[&Value::Array(wrong).to_string()]).await?;
    execute(sink, &layout.insert(), &[&Value::Array(right).to_string()]).await
}

/// Runs a statement of a repair.
pub(super) async fn execute(
    sink: &Client,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(), Error> {
    sink.execute(sql, parameters)
        .await
        .map_err(repairing("mending rows"))?;
    Ok(())
}

impl<const N: usize> Layout<N> {
    fn select(&self) -> String {
        let columns = self.key.iter().chain(self.columns).map(|(_, sql)| *sql);
        format!("select {} from {}", separated(columns), self.table)
    }

    /// The rows of these keys.
    pub(super) async fn read(
        &self,
        sink: &Client,
        keys: &[[i64; N]],
    ) -> Result<HashMap<[i64; N], Values>, Error> {
        let keys = keys.iter().map(|key| self.json(key, &[])).collect();
        // The type's own text, as a simple query shows it.
        let columns = self.key.iter().chain(self.columns).map(|(_, sql)| {
            format!("case when ({sql}) is not null then format('%s', ({sql})) end")
        });
        let sql = format!(
            "select {} from {} join ({}) k using ({})",
            separated(columns),
            self.table,
            self.keys(),
            separated(self.key.map(|(name, _)| name)),
        );
        let rows = sink
            .query(&sql, &[&Value::Array(keys).to_string()])
            .await
            .map_err(repairing("reading rows again"))?;
        Ok(rows
            .iter()
            .map(|row| self.row(|index| row.get(index)))
            .collect())
    }

    /// The keys that the first parameter holds, as rows.
    fn keys(&self) -> String {
        let parts = self.key.map(|(name, sql)| {
            if is_moment(sql) {
                format!("{} as {name}", instant(name))
            } else {
                format!("(e.j ->> '{name}')::bigint as {name}")
            }
        });
        format!(
            "select {} from jsonb_array_elements($1::text::jsonb) e (j)",
            separated(parts)
        )
    }

    fn delete(&self) -> String {
        let same = self.key.map(|(name, _)| format!("t.{name} = k.{name}"));
        format!(
            "delete from {} t using ({}) k where {}",
            self.table,
            self.keys(),
            same.join(" and ")
        )
    }

    fn insert(&self) -> String {
        let columns = || self.key.iter().chain(self.columns);
        let values = columns().map(|(name, sql)| {
            if is_moment(sql) {
                instant(name)
            } else {
                format!("r.{name}")
            }
        });
        format!(
            "insert into {} ({}) select {} from jsonb_array_elements($1::text::jsonb) e (j),
             lateral jsonb_populate_record(null::{}, e.j) r",
            self.table,
            separated(columns().map(|(name, _)| *name)),
            separated(values),
            self.table
        )
    }

    /// A row as JSON, moments under names of their own: what a column's text would be read as is no moment.
    fn json(&self, key: &[i64; N], row: &[Option<String>]) -> Value {
        let name = |name: &str, sql: &str| {
            if is_moment(sql) {
                format!("{name}{MICROSECONDS}")
            } else {
                name.to_owned()
            }
        };
        let mut object = Map::new();
        for ((column, sql), part) in self.key.iter().zip(key) {
            object.insert(name(column, sql), Value::from(*part));
        }
        for ((column, sql), value) in self.columns.iter().zip(row) {
            object.insert(name(column, sql), Value::from(value.clone()));
        }
        Value::Object(object)
    }

    fn row<'r>(&self, text: impl Fn(usize) -> Option<&'r str>) -> ([i64; N], Values) {
        let mut key = [0; N];
        for (index, part) in key.iter_mut().enumerate() {
            *part = text(index)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
        }
        let values = (N..N + self.columns.len())
            .map(|index| text(index).map(str::to_owned))
            .collect();
        (key, values)
    }

    /// Notes whose row it is.
    fn concern(&self, key: &[i64; N], row: Option<&Values>, mended: &mut Mended) {
        let number = |column: &str| {
            let in_key = self.key.iter().position(|(name, _)| *name == column);
            if let Some(index) = in_key {
                return key.get(index).copied();
            }
            let index = self.columns.iter().position(|(name, _)| *name == column)?;
            row?.get(index)?.as_ref()?.parse().ok()
        };
        mended.customers.extend(number("customer_id"));
        let pair = number("store_id").zip(number("product_id"));
        mended
            .pairs
            .extend(pair.map(|(store, product)| [store, product]));
    }

    fn unequal(&self, key: &[i64; N], expected: &Values, found: &Values, findings: &mut Findings) {
        findings.differs(DifferenceKind::Unequal, |difference| {
            let differing = |side: &Values| {
                let columns = self
                    .columns
                    .iter()
                    .zip(expected.iter().zip(found))
                    .zip(side);
                columns
                    .filter(|((_, (expected, found)), _)| expected != found)
                    .map(|(((name, sql), _), value)| shown(name, sql, value.as_deref()))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            difference.key = self.key_text(key);
            difference.expected = Some(differing(expected));
            difference.found = Some(differing(found));
            difference.position = self.position(expected);
        });
    }

    pub(super) fn key_text(&self, key: &[i64; N]) -> String {
        let parts = self.key.iter().zip(key);
        let parts = parts.map(|((name, sql), value)| shown(name, sql, Some(&value.to_string())));
        parts.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn row_text(&self, row: &Values) -> String {
        let columns = self.columns.iter().zip(row);
        let columns = columns.map(|((name, sql), value)| shown(name, sql, value.as_deref()));
        columns.collect::<Vec<_>>().join(", ")
    }

    fn position(&self, row: &Values) -> Option<String> {
        let column = self
            .columns
            .iter()
            .position(|(name, _)| *name == "position")?;
        row.get(column).cloned().flatten()
    }
}

/// `hour=2026-11-23T08:00:00Z`: moments are compared as microseconds and shown as people write them.
fn shown(name: &str, sql: &str, value: Option<&str>) -> String {
    let moment = || {
        let micros = value.filter(|_| is_moment(sql))?.parse().ok()?;
        jiff::Timestamp::from_microsecond(micros).ok()
    };
    match moment() {
        Some(moment) => format!("{name}={moment}"),
        None => format!("{name}={}", value.unwrap_or("null")),
    }
}

/// How the SQL of a moment begins.
const MOMENT: &str = "(extract(epoch from ";
/// How the name of a moment in JSON ends, where it is a number.
const MICROSECONDS: &str = "_us";

fn is_moment(sql: &str) -> bool {
    sql.starts_with(MOMENT)
}

/// The SQL of a moment in a row's JSON. In two steps, since a number of microseconds times an interval is a double.
fn instant(name: &str) -> String {
    let micros = format!("(e.j ->> '{name}{MICROSECONDS}')::bigint");
    format!(
        "timestamptz 'epoch' + {micros} / 86400000000 * interval '1 day' \
         + {micros} % 86400000000 * interval '1 microsecond'"
    )
}

fn separated<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut all = String::new();
    for part in parts {
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(part.as_ref());
    }
    all
}

pub(super) fn query(action: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |source| Error::SinkQuery { action, source }
}

pub(super) fn repairing(action: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |source| Error::Repair { action, source }
}

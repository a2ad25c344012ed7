//! Whether the source's tables hold what `[retail]` maps them for: asked by the doctor, by the batch, and by a
//! consumer that knows where the source is, before it folds anything.

use std::time::Duration;

use tokio_postgres::Row;

use crate::config::mapping::{Holds, MappedColumn, MappedTable, Mapping};
use crate::connection::{self, Connection, Database, quote_identifier};

/// A mapped table as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its rows are in its partitions.
    pub partitioned: bool,
    /// Its columns.
    pub columns: Vec<FoundColumn>,
}

/// One of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundColumn {
    /// Name.
    pub name: String,
    /// The type as SQL writes it, `numeric(12,2)`.
    pub type_name: String,
    /// What is stored: the type behind domains, and its modifier.
    pub base: Base,
    /// It belongs to the primary key.
    pub in_key: bool,
}

/// The type that values of a column have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// `pg_type.oid`.
    pub oid: u32,
    /// It is an enumeration.
    pub is_enumeration: bool,
    /// The modifier; below zero for none.
    pub modifier: i32,
}

/// Why a mapped table does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("the source has no table {table}, which {key} names: set it to one that is there")]
    Table {
        /// As configured.
        table: String,
        /// The setting.
        key: String,
    },
    /// It lacks a column.
    #[error(
        "the source's table {table} has no column {column}, which {key} names: set it to one that is there{none}, \
         of {columns}"
    )]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The setting.
        key: String,
        /// How to say that there is none.
        none: &'static str,
        /// The columns that it has.
        columns: String,
    },
    /// A column has another type.
    #[error(
        "the source's column {column} of {table} is {found}, and {key} takes {takes}: name a column of such a type, or \
         alter this one's"
    )]
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The setting.
        key: String,
        /// The types that it may have.
        takes: &'static str,
    },
    /// It has another key.
    #[error(
        "the source's table {table} is keyed by ({found}), and the aggregates need exactly ({needed}), the columns that \
         [{section}.columns] names: alter table {quoted} add primary key ({needed}), or name the columns of its key"
    )]
    Key {
        /// The table.
        table: String,
        /// The same for SQL.
        quoted: String,
        /// Its key.
        found: String,
        /// What it has to be.
        needed: String,
        /// The section that maps it.
        section: &'static str,
    },
    /// More than one of these.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Fault>),
}

impl Found {
    /// What SQL selects from. Tables that inherit from it have topics of their own.
    pub(super) fn selected(&self, table: &MappedTable) -> String {
        let only = if self.partitioned { "" } else { "only " };
        format!("{only}{}", quoted(table))
    }
}

fn quoted(table: &MappedTable) -> String {
    format!(
        "{}.{}",
        quote_identifier(&table.schema),
        quote_identifier(&table.name)
    )
}

/// Looks the table up; `None` when there is none of that name.
pub async fn find(
    database: &Database,
    table: &MappedTable,
) -> Result<Option<Found>, tokio_postgres::Error> {
    const TABLE: &str = "
        select c.oid, c.relkind = 'p' from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')";
    const COLUMNS: &str = "
        with recursive base (number, oid, modifier) as (
            select attnum, atttypid, atttypmod from pg_attribute
            where attrelid = $1 and attnum > 0 and not attisdropped
            union all
            select b.number, t.typbasetype, case when b.modifier < 0 then t.typtypmod else b.modifier end
            from base b join pg_type t on t.oid = b.oid
            where t.typtype = 'd'
        )
        select a.attname::text, format_type(a.atttypid, a.atttypmod), t.oid, t.typtype = 'e', b.modifier,
               exists (select from pg_index i
                       where i.indrelid = $1 and i.indisprimary and a.attnum = any (i.indkey))
        from pg_attribute a join base b on b.number = a.attnum join pg_type t on t.oid = b.oid
        where a.attrelid = $1 and t.typtype <> 'd'
        order by a.attnum";
    let names: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&table.schema, &table.name];
    let Some(row) = database.query_opt(TABLE, &names).await? else {
        return Ok(None);
    };
    let (id, partitioned): (u32, bool) = (row.get(0), row.get(1));
    let rows = database.query(COLUMNS, &[&id]).await?;
    let column = |row: &Row| FoundColumn {
        name: row.get(0),
        type_name: row.get(1),
        base: Base {
            oid: row.get(2),
            is_enumeration: row.get(3),
            modifier: row.get(4),
        },
        in_key: row.get(5),
    };
    Ok(Some(Found {
        partitioned,
        columns: rows.iter().map(column).collect(),
    }))
}

/// Everything that is wrong with a table; nothing when it does.
pub fn faults(table: &MappedTable, found: Option<&Found>) -> Vec<Fault> {
    let Some(found) = found else {
        return vec![Fault::Table {
            table: table.to_string(),
            key: format!("{}.table", table.section),
        }];
    };
    let columns = table.columns.iter();
    let mut faults: Vec<Fault> = columns
        .filter_map(|column| column_fault(table, found, column))
        .collect();
    // A column that is missing or mistaken is told of once.
    if faults.is_empty() {
        faults.extend(key_fault(table, found));
    }
    faults
}

fn column_fault(table: &MappedTable, found: &Found, mapped: &MappedColumn) -> Option<Fault> {
    let key = table.key_of(mapped.role.name);
    let mut columns = found.columns.iter();
    let Some(column) = columns.find(|column| column.name == mapped.name) else {
        let none = if mapped.role.optional {
            ", or to \"\" if it has none such"
        } else {
            ""
        };
        let names = found.columns.iter().map(|column| column.name.as_str());
        return Some(Fault::Column {
            table: table.to_string(),
            column: mapped.name.clone(),
            key,
            none,
            columns: names.collect::<Vec<_>>().join(", "),
        });
    };
    let (does, takes) = judge(mapped.role.holds, &column.base);
    (!does).then(|| Fault::Type {
        table: table.to_string(),
        column: column.name.clone(),
        found: column.type_name.clone(),
        key,
        takes,
    })
}

fn key_fault(table: &MappedTable, found: &Found) -> Option<Fault> {
    let keys = found.columns.iter().filter(|column| column.in_key);
    let mut keys: Vec<&str> = keys.map(|column| column.name.as_str()).collect();
    let mut needed: Vec<&str> = table.key().collect();
    let shown = |names: &[&str]| names.join(", ");
    let of_sql: Vec<String> = needed.iter().map(|name| quote_identifier(name)).collect();
    let fault = Fault::Key {
        table: table.to_string(),
        quoted: quoted(table),
        found: shown(&keys),
        needed: of_sql.join(", "),
        section: table.section,
    };
    keys.sort_unstable();
    needed.sort_unstable();
    (keys != needed).then_some(fault)
}

/// Whether a type does, and which ones do.
fn judge(holds: Holds, base: &Base) -> (bool, &'static str) {
    const NUMERIC: u32 = 1700;
    let is = |oids: &[u32]| oids.contains(&base.oid);
    let integer = is(&[20, 21, 23]);
    match holds {
        Holds::Integer => (
            integer || base.oid == NUMERIC && has_no_decimals(base.modifier),
            "smallint, integer, bigint or numeric without decimals",
        ),
        Holds::Amount => (
            integer || base.oid == NUMERIC,
            "numeric, smallint, integer or bigint",
        ),
        Holds::Label => (
            integer || base.is_enumeration || is(&[25, 1043, 1042, 18]),
            "text, varchar, char, an enumeration, smallint, integer or bigint",
        ),
        Holds::Text => (is(&[25, 1043]), "text or varchar"),
        Holds::Moment => (is(&[1184, 1114]), "timestamptz or timestamp"),
        Holds::Flag => (is(&[16]), "boolean"),
    }
}

/// `numeric(10)` and `numeric(10,0)`, which a modifier tells; plain `numeric` may have decimals.
fn has_no_decimals(modifier: i32) -> bool {
    // Precision and scale in one number, behind the length of a header; the scale has eleven bits and a sign.
    const HEADER: i32 = 4;
    let scale = ((modifier - HEADER) & 0x7ff ^ 0x400) - 0x400;
    modifier >= HEADER && scale <= 0
}

/// A sink that was folded by another mapping than the one that is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the sink was folded with {before}, and the configuration has {now}: set it back, or run tidewater rebuild, which \
     folds everything anew"
)]
pub struct Remapped {
    before: String,
    now: String,
}

/// Compares the mapping that a sink was folded by, if any, with the one that is configured.
pub fn folded_otherwise(before: Option<&str>, now: &str) -> Option<Remapped> {
    let before = before?;
    let only_in = |one: &str, other: &str| {
        let lines = one.lines().filter(|line| other.lines().all(|o| o != *line));
        let lines = lines.collect::<Vec<_>>().join(", ");
        if lines.is_empty() {
            "nothing in its place".to_owned()
        } else {
            lines
        }
    };
    (before != now).then(|| Remapped {
        before: only_in(before, now),
        now: only_in(now, before),
    })
}

/// How long the source may take to be asked: a consumer does not need it.
const ANSWER: Duration = Duration::from_secs(5);

/// Refuses to fold what is not mapped right. A source that cannot be asked is left alone, and so is a table that is
/// not there yet: the consumer waits for its topic.
pub(super) async fn check(source: &Connection, mapping: &Mapping) -> Result<(), Fault> {
    let looked = tokio::time::timeout(ANSWER, look(source, mapping)).await;
    let found = match looked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            let error = crate::telemetry::chain(&*error);
            tracing::warn!(%error, "the source cannot be asked for the columns of [retail]; going on without");
            return Ok(());
        }
        Err(_) => {
            tracing::warn!(
                "the source takes too long to tell the columns of [retail]; going on without"
            );
            return Ok(());
        }
    };
    let present = mapping.tables().into_iter().zip(&found);
    let faults = present
        .filter(|(_, found)| found.is_some())
        .flat_map(|(table, found)| faults(table, found.as_ref()));
    let mut faults: Vec<Fault> = faults.collect();
    match faults.len() {
        0 => Ok(()),
        1 => Err(faults.remove(0)),
        _ => Err(Fault::Several(faults)),
    }
}

async fn look(
    source: &Connection,
    mapping: &Mapping,
) -> Result<Vec<Option<Found>>, Box<dyn std::error::Error + Send + Sync>> {
    let database = connection::connect(source).await?;
    let mut found = Vec::new();
    for table in mapping.tables() {
        found.push(find(&database, table).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"
        [retail.inventory]
        table = "erp.Stock"
        columns = { store_id = "Branch", product_id = "Article", on_hand = "Qty" }
        [retail.customers]
        table = "crm.members"
        columns = { contact_allowed = "" }"#;

    fn column(name: &str, type_name: &str, oid: u32, modifier: i32, in_key: bool) -> FoundColumn {
        FoundColumn {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            base: Base {
                oid,
                is_enumeration: false,
                modifier,
            },
            in_key,
        }
    }

    fn stock(key: &[&str], level: FoundColumn) -> Found {
        let id = |name| column(name, "bigint", 20, -1, key.contains(&name));
        Found {
            partitioned: false,
            columns: vec![id("Branch"), id("Article"), level, id("Row")],
        }
    }

    fn check(found: Option<&Found>, expected: &[&str]) {
        let settings = crate::config::parse(OWN, []).unwrap();
        let faults = faults(&settings.retail.mapping.inventory, found);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "no \"{part}\" in {fault}");
        }
    }

    #[test]
    fn a_table_that_does_has_no_fault() {
        let numeric = |precision: i32, scale: i32| (precision << 16 | scale & 0x7ff) + 4;
        for (oid, modifier) in [
            (20, -1),
            (21, -1),
            (23, -1),
            (1700, numeric(10, 0)),
            (1700, numeric(4, -2)),
        ] {
            let level = column("Qty", "a number", oid, modifier, false);
            check(Some(&stock(&["Branch", "Article"], level)), &[]);
        }
        for (oid, modifier) in [(1700, -1), (1700, numeric(10, 3)), (25, -1), (701, -1)] {
            let level = column("Qty", "odd", oid, modifier, false);
            check(
                Some(&stock(&["Branch", "Article"], level)),
                &[
                    "column Qty of erp.Stock is odd, and retail.inventory.columns.on_hand takes smallint, integer",
                ],
            );
        }
    }

    #[test]
    fn what_is_missing_or_keyed_otherwise_is_told_with_its_setting() {
        check(
            None,
            &["no table erp.Stock, which retail.inventory.table names"],
        );
        let other = column("qty", "integer", 23, -1, false);
        check(
            Some(&stock(&["Branch", "Article"], other)),
            &[
                "has no column Qty, which retail.inventory.columns.on_hand names: set it to one that is there, \
               of Branch, Article, qty, Row",
            ],
        );
        for (key, found) in [
            (&["Branch"][..], "(Branch)"),
            (&[], "()"),
            (&["Row"], "(Row)"),
            (&["Branch", "Article", "Row"], "(Branch, Article, Row)"),
        ] {
            let level = column("Qty", "integer", 23, -1, false);
            let expected = format!(
                "is keyed by {found}, and the aggregates need exactly (\"Branch\", \"Article\")"
            );
            check(Some(&stock(key, level)), &[&expected]);
        }
    }

    #[test]
    fn a_sink_that_was_folded_otherwise_is_told_of_what_differs() {
        let lines = |text| {
            let settings = crate::config::parse(text, []).unwrap();
            settings.retail.mapping.to_string()
        };
        let (before, now) = (lines(""), lines(OWN));
        assert_eq!(folded_otherwise(None, &now), None);
        assert_eq!(folded_otherwise(Some(&now), &now), None);
        let told = folded_otherwise(Some(&before), &now).unwrap().to_string();
        for part in [
            "folded with retail.inventory.columns.store_id = store_id, ",
            "retail.customers.columns.contact_allowed = contact_allowed, and the configuration has \
             retail.inventory.columns.store_id = Branch, ",
            "tidewater rebuild",
        ] {
            assert!(told.contains(part), "no {part} in {told}");
        }
        let statuses = lines("[retail.orders.status]\nreturned = []");
        let told = folded_otherwise(Some(&before), &statuses)
            .unwrap()
            .to_string();
        assert!(
            told.contains("status = {\"cancelled\", \"returned\"}, and"),
            "{told}"
        );
    }

    #[test]
    fn an_optional_column_is_there_or_declared_not_to_be() {
        let settings = |text| crate::config::parse(text, []).unwrap().retail.mapping;
        let found = Found {
            partitioned: false,
            columns: vec![
                column("customer_id", "bigint", 20, -1, true),
                column("tier", "char(1)", 1042, 5, false),
            ],
        };
        assert_eq!(faults(&settings(OWN).customers, Some(&found)), []);
        let told = faults(&settings("").customers, Some(&found));
        let told = told.first().unwrap().to_string();
        assert!(
            told.contains("no column contact_allowed") && told.contains("or to \"\""),
            "{told}"
        );
    }
}

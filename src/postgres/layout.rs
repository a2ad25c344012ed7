//! What the catalog says of a table's columns that tells a value of now from one that was stored before.

use tokio_postgres::Client;

use super::Error;
use crate::event::Lsn;

/// A table's attributes as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLayout {
    /// In the order of their numbers, dropped ones included.
    pub attributes: Vec<Attribute>,
    /// Its file: another one once it was rewritten or truncated. `None`: its partitions hold the rows.
    pub storage: Option<u32>,
    /// No change of the catalog that is not seen here committed below it.
    pub seen_at: Lsn,
    /// Its partitions, of every depth.
    pub partitions: Vec<Partition>,
}

/// A partition, or one that has partitions itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// `pg_class.oid`.
    pub id: u32,
    /// The transaction that attached it, or created it.
    pub attached_by: u32,
    /// Its file.
    pub storage: Option<u32>,
}

/// A row of `pg_attribute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its number, which no other column of the table ever gets.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// `pg_attribute.atttypid`; 0 once dropped.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, −1 for none.
    pub type_modifier: i32,
    /// The transaction that altered it last, or created it.
    pub altered_by: u32,
    /// Dropped.
    pub dropped: bool,
    /// Made of other columns.
    pub generated: bool,
    /// What rows from before it was added hold.
    pub missing: MissingValue,
}

/// What rows hold that are older than a column (`pg_attribute.attmissingval`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingValue {
    /// Null, unless the table was rewritten since.
    None,
    /// This text.
    Text(String),
    /// A value whose text cannot be taken out of its array.
    Opaque,
}

/// Reads a table's attributes; `None` if it has been dropped.
pub async fn table_layout(client: &Client, id: u32) -> Result<Option<TableLayout>, Error> {
    // Only a delimiter that text arrays have, too, lets the array be read as one of text. Of a partitioned table
    // each partition keeps the value for itself.
    const ATTRIBUTES: &str = "
        select a.attnum, a.attname::text, a.atttypid, a.atttypmod, a.xmin::text, a.attisdropped,
               a.attgenerated <> '', coalesce(m.any, false),
               case when t.typdelim = ',' and m.least = m.greatest then m.least end,
               pg_relation_filenode(a.attrelid),
               case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                    else pg_current_wal_insert_lsn() end::text
          from pg_attribute a left join pg_type t on t.oid = a.atttypid
               cross join lateral (
               select bool_or(l.atthasmissing) as any,
                      min((l.attmissingval::text::text[])[1]) as least,
                      max((l.attmissingval::text::text[])[1]) as greatest
                 from pg_attribute l
                where l.attname = a.attname
                  and (l.attrelid = a.attrelid
                       or l.attrelid in (select relid from pg_partition_tree($1::oid::regclass)))) m
         where a.attrelid = $1 and a.attnum > 0
         order by a.attnum";
    let rows = client.query(ATTRIBUTES, &[&id]).await;
    let rows = rows.map_err(Error::query("looking at a table's attributes"))?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let missing = |row: &tokio_postgres::Row| match (row.get(7), row.get(8)) {
        (false, _) => MissingValue::None,
        (true, Some(text)) => MissingValue::Text(text),
        (true, None) => MissingValue::Opaque,
    };
    let attribute = |row: &tokio_postgres::Row| Attribute {
        number: row.get(0),
        name: row.get(1),
        type_oid: row.get(2),
        type_modifier: row.get(3),
        altered_by: transaction(row.get(4)),
        dropped: row.get(5),
        generated: row.get(6),
        missing: missing(row),
    };
    let storage: Option<u32> = first.get(9);
    let partitions = match storage {
        Some(_) => Vec::new(),
        None => partitions(client, id).await?,
    };
    Ok(Some(TableLayout {
        storage,
        partitions,
        seen_at: first.get::<_, &str>(10).parse().unwrap_or(Lsn(u64::MAX)),
        attributes: rows.iter().map(attribute).collect(),
    }))
}

async fn partitions(client: &Client, id: u32) -> Result<Vec<Partition>, Error> {
    const PARTITIONS: &str = "
        select i.inhrelid, i.xmin::text, pg_relation_filenode(i.inhrelid)
          from pg_partition_tree($1::oid::regclass) p join pg_inherits i on i.inhrelid = p.relid
         where p.relid <> $1::oid
         order by 1";
    let rows = client.query(PARTITIONS, &[&id]).await;
    let rows = rows.map_err(Error::query("looking at a table's partitions"))?;
    let partition = |row: &tokio_postgres::Row| Partition {
        id: row.get(0),
        attached_by: transaction(row.get(1)),
        storage: row.get(2),
    };
    Ok(rows.iter().map(partition).collect())
}

/// A transaction's number, which is a decimal of 32 bits.
fn transaction(text: &str) -> u32 {
    text.parse().unwrap_or_default()
}

//! What the catalog says of a table: its columns as pgoutput sends them, their types, its keys.
//!
//! Columns come in attribute order without dropped and virtual ones, which is the order of a row in the
//! stream and of a snapshot's select; which of the others are published, the publication says. A type that PostgreSQL was not born with is resolved to what
//! lies behind it: a domain to its base, an array to its element.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::{Error, TableName};
use crate::event::{
    ColumnDefault, ColumnFacts, ColumnShape, ReplicaIdentity, Table, TypeShape, record_key,
};

/// Oids below this belong to types built into the server.
const FIRST_CREATED_OID: u32 = 16384;
/// Domains over domains and arrays of them, at most this deep.
const TYPE_DEPTH_MAX: usize = 32;

/// A table as the catalog describes it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// `pg_class.oid`, the relation id of the stream.
    pub id: u32,
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
    /// With or without partitions.
    pub kind: TableKind,
    /// What the server sends of old rows.
    pub replica_identity: ReplicaIdentity,
    /// Columns in attribute order, virtual ones left out.
    pub columns: Vec<Column>,
    /// Indexes into `columns` of the primary key, in its order; empty without one.
    pub primary_key: Vec<usize>,
    /// Indexes into `columns` of the replica identity's index; empty unless it is `Index`.
    pub identity_index: Vec<usize>,
}

/// With or without partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// It holds its own rows.
    Ordinary,
    /// Its partitions hold them.
    Partitioned,
}

/// A column: what the encoder has to know of it, and what SQL has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name and type.
    pub shape: ColumnShape,
    /// The type as SQL writes it, `numeric(12,2)`; a literal can be cast to it.
    pub type_name: String,
    /// Generated and stored.
    pub generated: bool,
    /// Its collation, if it has one, compares bytes.
    pub bytewise: bool,
}

impl TableShape {
    /// The qualified name.
    pub fn table(&self) -> TableName {
        TableName {
            schema: self.schema.clone(),
            name: self.name.clone(),
        }
    }

    /// Indexes into `columns` of what the server sends of old rows.
    pub fn identity(&self) -> Vec<usize> {
        match self.replica_identity {
            ReplicaIdentity::Default => self.primary_key.clone(),
            ReplicaIdentity::Nothing => Vec::new(),
            ReplicaIdentity::Full => (0..self.columns.len()).collect(),
            ReplicaIdentity::Index => self.identity_index.clone(),
        }
    }

    /// What the encoder has to know of it.
    pub fn to_table(&self) -> Table {
        Table {
            schema: self.schema.clone(),
            name: self.name.clone(),
            replica_identity: self.replica_identity,
            columns: self
                .columns
                .iter()
                .map(|column| column.shape.clone())
                .collect(),
            key: record_key(
                &self.primary_key,
                self.replica_identity,
                &self.identity_index,
            ),
        }
    }

    /// The same with only the named columns, those that a publication publishes.
    #[must_use]
    pub fn with_columns(&self, names: &[String]) -> TableShape {
        let kept = |index: &usize| {
            self.columns
                .get(*index)
                .is_some_and(|column| names.contains(&column.shape.name))
        };
        let mapping: HashMap<usize, usize> = (0..self.columns.len())
            .filter(kept)
            .enumerate()
            .map(|(new, old)| (old, new))
            .collect();
        // A key goes without an unpublished generated column, as it does in the stream.
        let sent = |index: &&usize| {
            let column = self.columns.get(**index);
            kept(index) || !column.is_some_and(|column| column.generated)
        };
        let remap = |key: &[usize]| {
            let mapped: Option<Vec<usize>> = key
                .iter()
                .filter(sent)
                .map(|index| mapping.get(index).copied())
                .collect();
            mapped.unwrap_or_default()
        };
        let columns = self
            .columns
            .iter()
            .filter(|column| names.contains(&column.shape.name));
        TableShape {
            columns: columns.cloned().collect(),
            primary_key: remap(&self.primary_key),
            identity_index: remap(&self.identity_index),
            ..self.clone()
        }
    }
}

/// Describes a table by its oid; `None` if it has been dropped.
pub async fn table_shape(client: &Client, id: u32) -> Result<Option<TableShape>, Error> {
    Ok(table_shapes(client, &[id]).await?.remove(&id))
}

/// Describes tables by their oids, in two or three queries for all of them. Those that have been dropped are
/// left out.
pub async fn table_shapes(client: &Client, ids: &[u32]) -> Result<HashMap<u32, TableShape>, Error> {
    const TABLES: &str = "
        select c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', c.relreplident::text
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.oid = any($1) and c.relkind in ('r', 'p')";
    let rows = client.query(TABLES, &[&ids]).await;
    let rows = rows.map_err(Error::query("describing tables"))?;
    let found: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let mut columns = columns(client, &found).await?;
    let describe = |row: &tokio_postgres::Row| {
        let id = row.get(0);
        let columns = columns.remove(&id).unwrap_or_default();
        let partitioned: bool = row.get(3);
        let letter = row.get::<_, &str>(4).bytes().next();
        let replica_identity = letter.and_then(ReplicaIdentity::from_letter);
        let shape = TableShape {
            id,
            schema: row.get(1),
            name: row.get(2),
            kind: if partitioned {
                TableKind::Partitioned
            } else {
                TableKind::Ordinary
            },
            replica_identity: replica_identity.unwrap_or(ReplicaIdentity::Default),
            primary_key: columns.primary_key,
            identity_index: columns.identity_index,
            columns: columns.all,
        };
        (id, shape)
    };
    Ok(rows.iter().map(describe).collect())
}

/// The names of types as SQL writes them, each of an oid with its modifier. A type that has been dropped is
/// named by its oid.
pub async fn type_names(client: &Client, types: &[(u32, i32)]) -> Result<Vec<String>, Error> {
    const NAMES: &str = "
        select coalesce(format_type(nullif(t.oid, 0), c.modifier), 'type ' || c.oid)
          from unnest($1::oid[], $2::int4[]) with ordinality as c (oid, modifier, place)
          left join pg_type t using (oid)
         order by place";
    let (oids, modifiers): (Vec<u32>, Vec<i32>) = types.iter().copied().unzip();
    let rows = client.query(NAMES, &[&oids, &modifiers]).await;
    let rows = rows.map_err(Error::query("naming column types"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The names of the tables that a table is a partition of, nearest first.
pub async fn ancestors(client: &Client, id: u32) -> Result<Vec<TableName>, Error> {
    const ANCESTORS: &str = "
        select n.nspname::text, c.relname::text
          from pg_partition_ancestors($1::oid::regclass) with ordinality as a (relid, place)
          join pg_class c on c.oid = a.relid join pg_namespace n on n.oid = c.relnamespace
         where c.oid <> $1::oid
         order by place";
    let rows = client.query(ANCESTORS, &[&id]).await;
    let rows = rows.map_err(Error::query(
        "looking for the tables that a partition belongs to",
    ))?;
    let name = |row: &tokio_postgres::Row| TableName {
        schema: row.get(0),
        name: row.get(1),
    };
    Ok(rows.iter().map(name).collect())
}

#[derive(Default)]
struct Columns {
    all: Vec<Column>,
    primary_key: Vec<usize>,
    identity_index: Vec<usize>,
}

/// Whether a column's collation compares bytes. The database's provider is shown from 15 on; before, it was
/// always the C library. Each locale of the built-in provider compares bytes.
const BYTEWISE: &str = "
    coalesce((select case co.collprovider
              when 'b' then true
              when 'c' then co.collcollate in ('C', 'POSIX')
              when 'd' then (
                  select case coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
                         when 'b' then true
                         when 'c' then d.datcollate in ('C', 'POSIX')
                         else false end
                    from pg_database d where d.datname = current_database())
              else false end
       from pg_collation co where co.oid = a.attcollation), true)";

async fn columns(client: &Client, tables: &[u32]) -> Result<HashMap<u32, Columns>, Error> {
    // An index's included columns come after its key columns and are no part of the key. From 18 on a
    // stored generated column can be published; a virtual one has no place in the log.
    const COLUMNS: &str = "
        select a.attname::text, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod),
               a.attnotnull or exists (select from pg_type t where t.oid = a.atttypid and t.typnotnull),
               (select array_position(i.indkey::smallint[], a.attnum) from pg_index i
                 where i.indrelid = a.attrelid and i.indisprimary
                   and array_position(i.indkey::smallint[], a.attnum) < i.indnkeyatts),
               (select array_position(i.indkey::smallint[], a.attnum) from pg_index i
                 where i.indrelid = a.attrelid and i.indisreplident
                   and array_position(i.indkey::smallint[], a.attnum) < i.indnkeyatts),
               a.attgenerated = 's',
               (select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
                 where (d.adrelid, d.adnum) = (a.attrelid, a.attnum) and a.attgenerated = ''),
               BYTEWISE, a.attrelid
          from pg_attribute a
         where a.attrelid = any($1) and a.attnum > 0 and not a.attisdropped
           and a.attgenerated in ('', 's')
         order by a.attrelid, a.attnum";
    let query = COLUMNS.replace("BYTEWISE", BYTEWISE);
    let rows = client.query(&query, &[&tables]).await;
    let rows = rows.map_err(Error::query("describing the columns of tables"))?;
    let created: Vec<u32> = rows
        .iter()
        .map(|row| row.get(1))
        .filter(|oid| *oid >= FIRST_CREATED_OID)
        .collect();
    let types = Types::read(client, &created).await?;
    let by_table = rows.chunk_by(|left, right| left.get::<_, u32>(10) == right.get::<_, u32>(10));
    let described = by_table.filter_map(|rows| {
        let table: u32 = rows.first()?.get(10);
        Some((table, columns_of(rows, &types)))
    });
    Ok(described.collect())
}

/// The columns of one table.
fn columns_of(rows: &[tokio_postgres::Row], types: &Types) -> Columns {
    let key = |column: usize| {
        let mut places: Vec<(i32, usize)> = rows
            .iter()
            .enumerate()
            .filter_map(|(index, row)| Some((row.get::<_, Option<i32>>(column)?, index)))
            .collect();
        places.sort_unstable();
        places.into_iter().map(|(_, index)| index).collect()
    };
    Columns {
        all: rows.iter().map(|row| column(row, types)).collect(),
        primary_key: key(5),
        identity_index: key(6),
    }
}

fn column(row: &tokio_postgres::Row, types: &Types) -> Column {
    let type_oid = row.get(1);
    let resolved = (type_oid >= FIRST_CREATED_OID).then(|| types.resolve(type_oid, 0));
    let expression: Option<&str> = row.get(8);
    Column {
        shape: ColumnShape {
            name: row.get(0),
            type_oid,
            type_modifier: types.modifier(type_oid, row.get(2)),
            resolved,
            facts: ColumnFacts {
                not_null: row.get(4),
                default: expression.and_then(ColumnDefault::of_expression),
            },
        },
        type_name: row.get(3),
        generated: row.get(7),
        bytewise: row.get(9),
    }
}

/// The types that columns were found to have, and those behind them.
struct Types(HashMap<u32, Type>);

struct Type {
    name: String,
    kind: String,
    is_array: bool,
    element: u32,
    base: u32,
    /// Of a domain, for its base.
    modifier: i32,
    delimiter: String,
    /// Of a range or multirange.
    subtype: Option<u32>,
    /// Of a composite.
    attributes: Vec<(String, u32)>,
    /// Of an enumeration.
    labels: Vec<String>,
}

impl Types {
    async fn read(client: &Client, oids: &[u32]) -> Result<Types, Error> {
        const TYPES: &str = "
            with recursive reached (oid) as (
                select unnest($1::oid[])
                union
                select behind.oid
                  from reached join pg_type t using (oid) cross join lateral (
                       select t.typbasetype where t.typtype = 'd'
                       union all
                       select t.typelem where t.typtype = 'b' and t.typcategory = 'A'
                       union all
                       select rngsubtype from pg_range where t.oid in (rngtypid, rngmultitypid)
                       union all
                       select atttypid from pg_attribute
                        where t.typtype = 'c' and attrelid = t.typrelid
                          and attnum > 0 and not attisdropped
                       ) behind (oid)
                 where behind.oid <> 0
            )
            select oid, typname::text, typtype::text, typcategory = 'A' and typelem <> 0, typelem,
                   typbasetype, typdelim::text,
                   (select rngsubtype from pg_range where t.oid in (rngtypid, rngmultitypid)),
                   array(select attname::text from pg_attribute
                          where t.typtype = 'c' and attrelid = t.typrelid
                            and attnum > 0 and not attisdropped order by attnum),
                   array(select atttypid from pg_attribute
                          where t.typtype = 'c' and attrelid = t.typrelid
                            and attnum > 0 and not attisdropped order by attnum),
                   typtypmod,
                   array(select enumlabel::text from pg_enum
                          where enumtypid = t.oid order by enumsortorder)
              from reached join pg_type t using (oid)";
        if oids.is_empty() {
            return Ok(Types(HashMap::new()));
        }
        let rows = client.query(TYPES, &[&oids]).await;
        let rows = rows.map_err(Error::query("describing column types"))?;
        let read = |row: &tokio_postgres::Row| {
            let (names, types): (Vec<String>, Vec<u32>) = (row.get(8), row.get(9));
            let described = Type {
                name: row.get(1),
                kind: row.get(2),
                is_array: row.get(3),
                element: row.get(4),
                base: row.get(5),
                modifier: row.get(10),
                delimiter: row.get(6),
                subtype: row.get(7),
                attributes: names.into_iter().zip(types).collect(),
                labels: row.get(11),
            };
            (row.get(0), described)
        };
        Ok(Types(rows.iter().map(read).collect()))
    }

    /// The modifier of a column: its own, or that of the domain that has one.
    fn modifier(&self, mut oid: u32, own: i32) -> i32 {
        for _ in 0..TYPE_DEPTH_MAX {
            match self.0.get(&oid).filter(|described| described.kind == "d") {
                Some(domain) if own < 0 && domain.modifier < 0 => oid = domain.base,
                Some(domain) if own < 0 => return domain.modifier,
                _ => break,
            }
        }
        own
    }

    fn resolve(&self, oid: u32, depth: usize) -> TypeShape {
        if oid < FIRST_CREATED_OID {
            return TypeShape::Builtin(oid);
        }
        let Some(described) = self.0.get(&oid).filter(|_| depth < TYPE_DEPTH_MAX) else {
            return TypeShape::Opaque;
        };
        let behind = |oid| self.resolve(oid, depth + 1);
        let subtype = || Box::new(behind(described.subtype.unwrap_or_default()));
        match described.kind.as_str() {
            "d" => behind(described.base),
            "e" => TypeShape::Enum(described.labels.clone()),
            "c" => {
                let attribute = |(name, oid): &(String, u32)| (name.clone(), behind(*oid));
                TypeShape::Composite(described.attributes.iter().map(attribute).collect())
            }
            "r" => TypeShape::Range(subtype()),
            "m" => TypeShape::Multirange(subtype()),
            "b" if described.is_array => TypeShape::Array {
                element: Box::new(behind(described.element)),
                delimiter: described.delimiter.bytes().next().unwrap_or(b','),
            },
            "b" => TypeShape::Extension(described.name.clone()),
            _ => TypeShape::Opaque,
        }
    }
}

/// What tables' rows are stored in, by oid: another text once a table was truncated or rewritten, or a
/// partition came or went. Those that have been dropped are left out.
pub async fn table_storages(client: &Client, ids: &[u32]) -> Result<HashMap<u32, String>, Error> {
    const STORAGES: &str = "
        select c.oid,
               (select md5(string_agg(l.oid || ':' || coalesce(pg_relation_filenode(l.oid), 0), ','
                                      order by l.oid))
                  from (select c.oid
                        union select relid from pg_partition_tree(c.oid) where isleaf) as l (oid))
          from pg_class c where c.oid = any($1)";
    let rows = client.query(STORAGES, &[&ids]).await;
    let rows = rows.map_err(Error::query("looking at the storage of tables"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// All that decides what a table's rows are, and which of them are published: another text once it was altered,
/// truncated or rewritten, or is published in another way. `None` if it has been dropped.
pub async fn table_identity(
    client: &Client,
    publication: &str,
    id: u32,
) -> Result<Option<String>, Error> {
    const IDENTITY: &str = "
        select md5(concat_ws('|', c.relnamespace, c.relname, c.relkind, c.relreplident,
               (select string_agg(concat_ws(':', attnum, attname, atttypid, atttypmod, attcollation,
                                            attgenerated), ',' order by attnum)
                  from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped),
               (select string_agg(concat_ws(':', indisprimary, indisreplident, indkey), ','
                                  order by indexrelid)
                  from pg_index where indrelid = c.oid and (indisprimary or indisreplident)),
               (select string_agg(l.oid || ':' || coalesce(pg_relation_filenode(l.oid), 0), ','
                                  order by l.oid)
                  from pg_class l
                 where l.oid = c.oid
                    or l.oid in (select relid from pg_partition_tree(c.oid) where isleaf)),
               (select to_jsonb(r)::text from pg_publication_rel r
                  join pg_publication p on p.oid = r.prpubid
                 where p.pubname = $2 and r.prrelid = c.oid)))
          from pg_class c where c.oid = $1";
    let row = client.query_opt(IDENTITY, &[&id, &publication]).await;
    let row = row.map_err(Error::query("looking at a table's identity"))?;
    Ok(row.map(|row| row.get(0)))
}

/// The ids of transactions that are committed, and wait for a synchronous standby before anybody sees them.
pub async fn waiting_for_standby(client: &Client) -> Result<Vec<u32>, Error> {
    const WAITING: &str = "
        select backend_xid::text from pg_stat_activity
         where wait_event = 'SyncRep' and backend_xid is not null";
    let rows = client.query(WAITING, &[]).await;
    let rows = rows.map_err(Error::query("looking for commits that wait for a standby"))?;
    let xid = |row: &tokio_postgres::Row| row.get::<_, &str>(0).parse().ok();
    Ok(rows.iter().filter_map(xid).collect())
}

/// Whether the server is a standby.
pub async fn is_in_recovery(client: &Client) -> Result<bool, Error> {
    let row = client.query_one("select pg_is_in_recovery()", &[]).await;
    Ok(row
        .map_err(Error::query("asking whether the server is a standby"))?
        .get(0))
}

/// An id that no transaction that has ended was given: later ones are not far.
pub async fn next_xid(client: &Client) -> Result<u64, Error> {
    const NEXT: &str = "select pg_snapshot_xmax(pg_current_snapshot())::text";
    let row = client.query_one(NEXT, &[]).await;
    let row = row.map_err(Error::query("reading the current snapshot"))?;
    Ok(row.get::<_, &str>(0).parse().unwrap_or_default())
}

/// Locks tables against TRUNCATE and rewriting ALTER TABLE until the open transaction ends. To an older
/// snapshot a truncated table would be empty.
pub async fn lock_tables(client: &Client, tables: &[TableName]) -> Result<(), Error> {
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables.iter().map(TableName::quoted).collect();
    let statement = format!("lock table {} in access share mode", names.join(", "));
    client
        .batch_execute(&statement)
        .await
        .map_err(|error| Error::on_tables("locking tables", error).on_locks(tables.len()))
}

//! The publication: created when missing, checked when present, and what it publishes.
//!
//! A publication that lacks a configured table would lose its changes without a word, so that is an
//! error with the statement that mends it. One that holds more is fine: what no pattern matches is not
//! in [`Publication::tables`].

use std::collections::HashSet;

use tokio_postgres::Client;

use super::{Error, Patterns, TableName, managed};
use crate::connection::{ServerError, quote_identifier};

/// A publication that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// It was missing and has just been created.
    pub created: bool,
    /// Changes of partitions appear as changes of their root.
    pub via_partition_root: bool,
    /// What it publishes of the configured tables, largest first.
    pub tables: Vec<PublishedTable>,
}

/// A table as a publication publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTable {
    /// `pg_class.oid`, the relation id of the stream.
    pub id: u32,
    /// Its name.
    pub table: TableName,
    /// It is a root whose partitions hold the rows.
    pub partitioned: bool,
    /// The published columns.
    pub columns: Vec<String>,
    /// Only rows that meet this condition are published.
    pub row_filter: Option<String>,
    /// What puts it into the publication: none of it is the same once it was taken out and put in again.
    pub through: Vec<String>,
    /// Estimated rows; −1 when never analysed.
    pub rows_estimate: i64,
    /// Size on disk, bytes.
    pub bytes: i64,
}

/// Creates the publication if it is missing, for all matching tables, adds what one lacks that is managed, and checks
/// it.
pub async fn ensure_publication(
    client: &Client,
    name: &str,
    patterns: &Patterns,
) -> Result<Publication, Error> {
    match check_publication(client, name, patterns).await {
        Err(Error::PublicationMissing { sql, .. }) => {
            let marked = format!("{sql}; {}", managed::mark_sql(name));
            let created = client.batch_execute(&marked).await;
            let created = created
                .map(|()| true)
                .or_else(|error| create_error(name, &sql, error))?;
            let publication = check_publication(client, name, patterns).await?;
            Ok(Publication {
                created,
                ..publication
            })
        }
        Err(lacking @ Error::PublicationTables { .. }) => {
            if !managed::is_managed(client, name).await? {
                return Err(lacking);
            }
            for (id, table) in Wanted::unpublished(client, name, patterns).await? {
                match managed::add_table(client, name, id, &table).await? {
                    None => tracing::info!(%table, publication = %name, "a table is added"),
                    Some(refused) => {
                        let (reason, remedy) = (refused.reason, refused.remedy);
                        tracing::warn!(%table, publication = %name, %reason, %remedy, "a table is not added");
                    }
                }
            }
            check_publication(client, name, patterns).await
        }
        checked => checked,
    }
}

/// `false`: somebody else created it meanwhile.
fn create_error(name: &str, sql: &str, error: tokio_postgres::Error) -> Result<bool, Error> {
    match error.as_db_error().map(ServerError::from) {
        Some(source) if source.code == "42710" => Ok(false),
        Some(source) if source.code == "42501" => Err(Error::Right {
            action: format!("creating publication {name}"),
            source,
            remedy: format!("as the owner of the tables run `{sql}`"),
        }),
        _ => Err(Error::query("creating the publication")(error)),
    }
}

/// Checks that the publication exists, publishes every operation and holds every matching table.
pub async fn check_publication(
    client: &Client,
    name: &str,
    patterns: &Patterns,
) -> Result<Publication, Error> {
    const PUBLICATION: &str = "
        select pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot
          from pg_publication where pubname = $1";
    let wanted = Wanted::read(client, patterns).await?;
    wanted.refuse_unlogged()?;
    let row = client.query_opt(PUBLICATION, &[&name]).await;
    let Some(row) = row.map_err(Error::query("reading the publication"))? else {
        let (publication, quoted) = (name.to_owned(), quote_identifier(name));
        let sql = format!(
            "create publication {quoted} for table {}",
            quoted_list(&wanted.tops())
        );
        return Err(Error::PublicationMissing { publication, sql });
    };
    let missing: Vec<&str> = ["insert", "update", "delete", "truncate"]
        .into_iter()
        .enumerate()
        .filter_map(|(index, operation)| (!row.get::<_, bool>(index)).then_some(operation))
        .collect();
    if !missing.is_empty() {
        let (publication, missing) = (name.to_owned(), missing.join(", "));
        return Err(Error::PublicationOperations {
            publication,
            missing,
        });
    }
    let published = published_tables(client, name).await?;
    wanted.check(name, &published)?;
    Ok(Publication {
        name: name.to_owned(),
        created: false,
        via_partition_root: row.get(4),
        tables: wanted.of(published),
    })
}

/// What a publication publishes of the tables that the patterns ask for, largest first. What it lacks of them is
/// not looked for.
pub async fn captured_tables(
    client: &Client,
    name: &str,
    patterns: &Patterns,
) -> Result<Vec<PublishedTable>, Error> {
    let wanted = match Wanted::read(client, patterns).await {
        Err(Error::NoTable { .. }) => return Ok(Vec::new()),
        wanted => wanted?,
    };
    Ok(wanted.of(published_tables(client, name).await?))
}

/// Whether the publication publishes a table of this name, whatever the patterns say of it.
pub async fn is_published(client: &Client, name: &str, table: &TableName) -> Result<bool, Error> {
    const PUBLISHED: &str = "
        select exists (select from pg_publication_tables
                        where pubname = $1 and schemaname = $2 and tablename = $3)";
    let row = client
        .query_one(PUBLISHED, &[&name, &table.schema, &table.name])
        .await;
    Ok(row
        .map_err(Error::query("looking for a published table"))?
        .get(0))
}

async fn published_tables(client: &Client, name: &str) -> Result<Vec<PublishedTable>, Error> {
    // Column lists and row filters came with 15; before, every column and row is published. Generated
    // columns are published from 18 on, if at all; before, the view names them nevertheless.
    const TABLES: &str = "
        select c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', FILTER,
               COLUMNS,
               coalesce((select case when min(l.reltuples) < 0 then -1
                                     else sum(l.reltuples)::bigint end
                           from pg_class l where l.oid in (LEAVES)), -1)::bigint,
               coalesce((select sum(pg_table_size(l.oid))
                           from pg_class l where l.oid in (LEAVES)), 0)::bigint as bytes,
               THROUGH
          from pg_publication_tables p
          join pg_publication pub on pub.pubname = p.pubname
          join pg_namespace n on n.nspname = p.schemaname
          join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
         where p.pubname = $1
         order by bytes desc, c.oid";
    const LEAVES: &str = "select c.oid where c.relkind = 'r'
                          union all select relid from pg_partition_tree(c.oid) where isleaf";
    const ALL_COLUMNS: &str = "array(select a.attname::text from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           and a.attgenerated = '' order by a.attnum)";
    const LISTED_COLUMNS: &str = "array(select a.attname::text from pg_attribute a
         where a.attrelid = c.oid and a.attname = any(p.attnames)
           and a.attgenerated = '' order by a.attnum)";
    let failed = || Error::query("reading the published tables");
    let version = version(client).await.map_err(failed())?;
    let (filter, columns) = match version {
        ..150_000 => ("null::text", ALL_COLUMNS),
        150_000..180_000 => ("p.rowfilter", LISTED_COLUMNS),
        180_000.. => ("p.rowfilter", "p.attnames::text[]"),
    };
    let query = TABLES.replace("FILTER", filter).replace("COLUMNS", columns);
    let query = query.replace("THROUGH", &through(version));
    let query = query.replace("LEAVES", LEAVES);
    let rows = client.query(&query, &[&name]).await.map_err(failed())?;
    let describe = |row: &tokio_postgres::Row| PublishedTable {
        id: row.get(0),
        table: TableName {
            schema: row.get(1),
            name: row.get(2),
        },
        partitioned: row.get(3),
        row_filter: row.get(4),
        columns: row.get(5),
        rows_estimate: row.get(6),
        bytes: row.get(7),
        through: row.get(8),
    };
    Ok(rows.iter().map(describe).collect())
}

/// What puts one table into the publication, as [`PublishedTable::through`]; nothing, if it is not there.
pub async fn published_through(client: &Client, name: &str, id: u32) -> Result<Vec<String>, Error> {
    let failed = || Error::query("looking for what publishes a table");
    let through = through(version(client).await.map_err(failed())?);
    let query = format!(
        "select {through} from pg_publication pub, pg_class c where pub.pubname = $1 and c.oid = $2"
    );
    let row = client.query_opt(&query, &[&name, &id]).await;
    Ok(row
        .map_err(failed())?
        .map_or_else(Vec::new, |row| row.get(0)))
}

async fn version(client: &Client) -> Result<i32, tokio_postgres::Error> {
    const VERSION: &str = "select current_setting('server_version_num')::int";
    Ok(client.query_one(VERSION, &[]).await?.get(0))
}

/// What puts the table `c` into the publication `pub`. Schemas came with 15.
fn through(version: i32) -> String {
    const THROUGH: &str = "
               array(select 'table ' || r.oid from pg_publication_rel r
                      where r.prpubid = pub.oid and r.prrelid in (ABOVE)
                     union SCHEMAS
                     union select 'all ' || pub.oid where pub.puballtables
                     order by 1)";
    const ABOVE: &str = "select c.oid union select relid::oid from pg_partition_ancestors(c.oid)";
    const SCHEMAS: &str = "select 'schema ' || s.oid from pg_publication_namespace s
         where s.pnpubid = pub.oid
           and s.pnnspid in (select relnamespace from pg_class where oid in (ABOVE))";
    const NO_SCHEMAS: &str = "select null::text where false";
    let schemas = match version {
        ..150_000 => NO_SCHEMAS,
        150_000.. => SCHEMAS,
    };
    THROUGH.replace("SCHEMAS", schemas).replace("ABOVE", ABOVE)
}

/// The tables that the patterns ask for.
pub(super) struct Wanted {
    tables: Vec<Candidate>,
}

pub(super) struct Candidate {
    id: u32,
    table: TableName,
    partitioned: bool,
    unlogged: bool,
    /// Roots above it that the patterns ask for too; the publication may hold it through them.
    ancestors: Vec<u32>,
}

impl Wanted {
    async fn read(client: &Client, patterns: &Patterns) -> Result<Wanted, Error> {
        const TABLES: &str = "
            select c.oid, n.nspname::text, c.relname::text, c.relkind = 'p',
                   c.relpersistence = 'u',
                   array(select relid::oid from pg_partition_ancestors(c.oid) as relid
                          where relid::oid <> c.oid)
              from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and c.relpersistence <> 't'
               and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
             order by 2, 3";
        let rows = client
            .query(TABLES, &[])
            .await
            .map_err(Error::query("listing the tables"))?;
        let candidate = |row: &tokio_postgres::Row| Candidate {
            id: row.get(0),
            table: TableName {
                schema: row.get(1),
                name: row.get(2),
            },
            partitioned: row.get(3),
            unlogged: row.get(4),
            ancestors: row.get(5),
        };
        Wanted::matching(rows.iter().map(candidate).collect(), patterns)
    }

    /// A table is wanted when it matches, and so is a partition whose root does.
    fn matching(all: Vec<Candidate>, patterns: &Patterns) -> Result<Wanted, Error> {
        let matched: HashSet<u32> = all
            .iter()
            .filter(|candidate| patterns.matches(&candidate.table))
            .map(|candidate| candidate.id)
            .collect();
        let wanted = |candidate: &Candidate| {
            matched.contains(&candidate.id)
                || candidate
                    .ancestors
                    .iter()
                    .any(|root| matched.contains(root))
        };
        let tables: Vec<Candidate> = all.into_iter().filter(wanted).collect();
        if tables.is_empty() {
            return Err(Error::NoTable {
                patterns: patterns.to_string(),
            });
        }
        Ok(Wanted { tables })
    }

    /// Changes of unlogged tables are not in the log.
    fn refuse_unlogged(&self) -> Result<(), Error> {
        let unlogged: Vec<String> = self
            .tables
            .iter()
            .filter(|candidate| candidate.unlogged)
            .map(|candidate| candidate.table.to_string())
            .collect();
        if unlogged.is_empty() {
            return Ok(());
        }
        Err(Error::Unlogged {
            tables: unlogged.join(", "),
        })
    }

    /// Those of the published tables that are wanted.
    fn of(&self, published: Vec<PublishedTable>) -> Vec<PublishedTable> {
        let ids: HashSet<u32> = self.tables.iter().map(|table| table.id).collect();
        let wanted = published.into_iter();
        wanted.filter(|table| ids.contains(&table.id)).collect()
    }

    /// The wanted tables that are no partition of another wanted one.
    fn tops(&self) -> Vec<&Candidate> {
        let ids: HashSet<u32> = self.tables.iter().map(|table| table.id).collect();
        let below = |table: &&Candidate| table.ancestors.iter().any(|root| ids.contains(root));
        self.tables.iter().filter(|table| !below(table)).collect()
    }

    /// The tables that are to be added so that everything that the patterns ask for is published.
    pub(super) async fn unpublished(
        client: &Client,
        publication: &str,
        patterns: &Patterns,
    ) -> Result<Vec<(u32, TableName)>, Error> {
        let wanted = match Wanted::read(client, patterns).await {
            Err(Error::NoTable { .. }) => return Ok(Vec::new()),
            wanted => wanted?,
        };
        let published = published_tables(client, publication).await?;
        let mut missing = wanted.missing(&published);
        missing.retain(|table| !table.unlogged);
        let lacks = |top: &&Candidate| {
            let mut missing = missing.iter();
            missing.any(|table| table.id == top.id || table.ancestors.contains(&top.id))
        };
        let tops = wanted.tops().into_iter().filter(lacks);
        Ok(tops.map(|top| (top.id, top.table.clone())).collect())
    }

    /// The wanted tables that hold rows and are not published, neither themselves nor through a root.
    fn missing(&self, published: &[PublishedTable]) -> Vec<&Candidate> {
        let ids: HashSet<u32> = published.iter().map(|table| table.id).collect();
        let covered = |table: &Candidate| {
            ids.contains(&table.id) || table.ancestors.iter().any(|root| ids.contains(root))
        };
        let tables = self.tables.iter();
        tables
            .filter(|table| !table.partitioned && !covered(table))
            .collect()
    }

    /// Every wanted table that holds rows must be published, itself or through a root.
    fn check(&self, publication: &str, published: &[PublishedTable]) -> Result<(), Error> {
        let missing = self.missing(published);
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = missing
            .iter()
            .map(|table| table.table.to_string())
            .collect();
        Err(Error::PublicationTables {
            publication: publication.to_owned(),
            tables: names.join(", "),
            sql: format!(
                "alter publication {} add table {}",
                quote_identifier(publication),
                quoted_list(&missing)
            ),
        })
    }
}

fn quoted_list(tables: &[&Candidate]) -> String {
    let names: Vec<String> = tables.iter().map(|table| table.table.quoted()).collect();
    names.join(", ")
}

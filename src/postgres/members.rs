//! What a publication has at the moment, asked for again and again; and who was writing when a table joined it.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;

use super::{Error, PublishedTable};

/// Another text once a table joined or left the publication, came, went, or has another name.
pub async fn publication_digest(client: &Client, name: &str) -> Result<String, Error> {
    const DIGEST: &str = "
        select md5(concat_ws('|', p.oid, p.pubviaroot,
               (select string_agg(r.oid::text, ',' order by r.oid)
                  from pg_publication_rel r where r.prpubid = p.oid),
               SCHEMAS,
               (select string_agg(concat_ws(':', c.oid, n.nspname, c.relname, c.relpersistence,
                                            c.relreplident, i.inhparent), ',' order by c.oid)
                  from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  left join pg_inherits i on i.inhrelid = c.oid and c.relispartition
                 where c.relkind in ('r', 'p') and c.relpersistence <> 't')))
          from pg_publication p where p.pubname = $1";
    const SCHEMAS: &str = "(select string_agg(s.oid::text, ',' order by s.oid)
                              from pg_publication_namespace s where s.pnpubid = p.oid)";
    let failed = || Error::query("looking at the publication's tables");
    let schemas = if has_schemas(client).await? {
        SCHEMAS
    } else {
        "null"
    };
    let query = DIGEST.replace("SCHEMAS", schemas);
    let row = client.query_opt(&query, &[&name]).await.map_err(failed())?;
    Ok(row.map_or_else(String::new, |row| row.get(0)))
}

/// Whether publications can have schemas, which came with 15.
async fn has_schemas(client: &Client) -> Result<bool, Error> {
    const EXISTS: &str = "select to_regclass('pg_catalog.pg_publication_namespace') is not null";
    let row = client.query_one(EXISTS, &[]).await;
    Ok(row
        .map_err(Error::query("looking at the publication's tables"))?
        .get(0))
}

/// A transaction that may have written to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableWriter {
    /// Its id.
    pub xid: String,
    /// Its backend; none when it is prepared.
    pub pid: Option<i32>,
}

/// The transactions under way that may have written to tables or their partitions, by the table.
///
/// Whoever writes holds the table's lock to the end of the transaction, also while the commit waits for a synchronous
/// standby, and has its id before the first row is in the log. So whoever is not among them and writes later does so
/// behind this moment.
pub async fn table_writers(
    client: &Client,
    tables: &[u32],
) -> Result<HashMap<u32, Vec<TableWriter>>, Error> {
    const WRITERS: &str = "
        with locks as materialized (
            select locktype, database, relation, transactionid, virtualtransaction, pid, mode
              from pg_locks where granted)
        select distinct asked.oid, own.transactionid::text, own.pid
          from unnest($1::oid[]) as asked (oid)
         cross join lateral (select asked.oid
                              union select relid::oid from pg_partition_tree(asked.oid::regclass)) as part (oid)
          join locks held on held.locktype = 'relation' and held.relation = part.oid
           and held.database = (select oid from pg_database where datname = current_database())
           and held.mode not in ('AccessShareLock', 'RowShareLock')
          join locks own on own.virtualtransaction = held.virtualtransaction
           and own.locktype = 'transactionid' and own.mode = 'ExclusiveLock'";
    let rows = client.query(WRITERS, &[&tables]).await;
    let rows = rows.map_err(Error::query("looking for transactions that write"))?;
    let mut writers: HashMap<u32, Vec<TableWriter>> = HashMap::new();
    for row in rows {
        let (xid, pid) = (row.get(1), row.get(2));
        let of_table = writers.entry(row.get(0)).or_default();
        of_table.push(TableWriter { xid, pid });
    }
    Ok(writers)
}

/// Which of those transactions have not ended.
pub async fn still_running(client: &Client, xids: &[&str]) -> Result<HashSet<String>, Error> {
    const RUNNING: &str = "
        select transactionid::text from pg_locks
         where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted
           and transactionid::text = any($1::text[])";
    let rows = client.query(RUNNING, &[&xids]).await;
    let rows = rows.map_err(Error::query("waiting for transactions that write"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether a table has no row. Rows that policies hide make it fail.
pub async fn has_no_row(client: &Client, table: &PublishedTable) -> Result<bool, Error> {
    let only = if table.partitioned { "" } else { "only " };
    let query = format!(
        "select not exists (select from {only}{})",
        table.table.quoted()
    );
    let row = client.query_one(&query, &[]).await;
    Ok(row
        .map_err(Error::query("looking whether a table has rows"))?
        .get(0))
}

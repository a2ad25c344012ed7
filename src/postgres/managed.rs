//! A publication that tidewater manages: what the patterns match later is added to it.
//!
//! Whether it does is said by the publication's comment, which is written when tidewater creates it: so it is seen by
//! whoever looks at the publication, and taken away by whoever wants to manage it.

use tokio_postgres::Client;

use super::publication::Wanted;
use super::{Error, Patterns, TableName};
use crate::connection::{ServerError, quote_identifier, quote_literal};

/// The comment begins so.
const MARK: &str = "managed by tidewater";
/// And goes on with what that means.
const MEANING: &str =
    "tables that source.tables matches are added; without this comment they are not";

/// A table that was not added.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// What to run.
    pub remedy: String,
}

/// The statement that marks a publication as managed.
pub(super) fn mark_sql(publication: &str) -> String {
    format!(
        "comment on publication {} is {}",
        quote_identifier(publication),
        quote_literal(&format!("{MARK}: {MEANING}"))
    )
}

/// Whether tidewater manages it.
pub async fn is_managed(client: &Client, publication: &str) -> Result<bool, Error> {
    const COMMENT: &str = "
        select coalesce(obj_description(oid, 'pg_publication'), '')
          from pg_publication where pubname = $1";
    let row = client.query_opt(COMMENT, &[&publication]).await;
    let row = row.map_err(Error::query("reading the publication's comment"))?;
    Ok(row.is_some_and(|row| row.get::<_, &str>(0).starts_with(MARK)))
}

/// Tables that are to be added so that everything is published that the patterns match: their oids and names.
pub async fn unpublished_tables(
    client: &Client,
    publication: &str,
    patterns: &Patterns,
) -> Result<Vec<(u32, TableName)>, Error> {
    Wanted::unpublished(client, publication, patterns).await
}

/// The statement that adds a table.
pub fn add_table_sql(publication: &str, table: &TableName) -> String {
    format!(
        "alter publication {} add table {}",
        quote_identifier(publication),
        table.quoted()
    )
}

/// Adds a table; says why it is not added if that is refused. One without a replica identity is not: its updates and
/// deletes would fail from then on.
pub async fn add_table(
    client: &Client,
    publication: &str,
    id: u32,
    table: &TableName,
) -> Result<Option<Refused>, Error> {
    if !has_identity(client, id).await? {
        let quoted = table.quoted();
        return Ok(Some(Refused {
            reason: "it has no primary key or other replica identity, so its updates and deletes would fail"
                .to_owned(),
            remedy: format!(
                "alter table {quoted} add primary key (…); or alter table {quoted} replica identity full"
            ),
        }));
    }
    let sql = add_table_sql(publication, table);
    let Err(error) = client.batch_execute(&sql).await else {
        return Ok(None);
    };
    match error.as_db_error().map(ServerError::from) {
        // Somebody else has added it.
        Some(source) if source.code == "42710" => Ok(None),
        Some(source) => Ok(Some(Refused {
            reason: source.message,
            remedy: format!("as the owner of publication and table run {sql}"),
        })),
        None => Err(Error::query("adding a table to the publication")(error)),
    }
}

/// Whether the server knows old rows of a table by something, of each of its partitions too.
async fn has_identity(client: &Client, id: u32) -> Result<bool, Error> {
    const IDENTITY: &str = "
        select coalesce(bool_and(
                 c.relreplident = 'f'
                 or c.relreplident = 'd' and exists (
                      select from pg_index i where i.indrelid = c.oid and i.indisprimary)
                 or c.relreplident = 'i' and exists (
                      select from pg_index i where i.indrelid = c.oid and i.indisreplident)), false)
          from pg_class c
         where c.oid in (select $1::oid union select relid::oid from pg_partition_tree($1::oid::regclass))";
    let row = client.query_one(IDENTITY, &[&id]).await;
    Ok(row
        .map_err(Error::query("looking at a table's replica identity"))?
        .get(0))
}

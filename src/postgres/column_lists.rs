//! Column lists of a managed publication: what is not captured does not leave the server.
//!
//! A list freezes a table's columns: one that is added later is not published before the list is altered. So lists are
//! compared with the tables again and again. A table whose list was altered is another member of the publication, and
//! is read again, which makes up for the values that changes have lacked in between.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::{Error, Patterns, TableName};
use crate::connection::{ServerError, quote_identifier};
use crate::event::selection::Columns;

/// How the lists are, beside what they should be.
#[derive(Debug, Default)]
pub struct Lists {
    /// Those that should be others: none where all columns are captured.
    differing: Vec<(Listed, Option<Vec<String>>)>,
    /// Tables that have columns which are not captured, and are published all the same; and why.
    pub open: Vec<(TableName, String)>,
}

/// What became of the lists.
#[derive(Debug, Default)]
pub struct Relisted {
    /// Tables whose list was altered, with what had put them into the publication before, and what does now.
    pub altered: Vec<(u32, TableName, [String; 2])>,
    /// As in [`Lists::open`].
    pub open: Vec<(TableName, String)>,
}

/// A table of the publication, named there itself.
#[derive(Debug)]
struct Listed {
    id: u32,
    /// As in [`super::PublishedTable::through`].
    through: String,
    table: TableName,
    /// In their order, generated ones left out: without a list they are not published.
    columns: Vec<String>,
    identity: Vec<String>,
    is_full: bool,
    /// Its partitions are published as themselves.
    is_split: bool,
    list: Option<Vec<String>>,
    row_filter: Option<String>,
}

/// Compares the lists with the captured columns of those tables that have others, with those of their replica
/// identity, without which the server refuses updates.
pub async fn compare_lists(
    client: &Client,
    publication: &str,
    patterns: &Patterns,
    captured: &Columns,
) -> Result<Lists, Error> {
    let mut lists = Lists::default();
    for listed in read(client, publication, false).await? {
        if !patterns.matches(&listed.table) {
            continue;
        }
        let list = match listed.wanted(captured) {
            Ok(list) => list,
            Err(reason) => {
                lists.open.push((listed.table, reason.to_owned()));
                continue;
            }
        };
        let names =
            |list: &Option<Vec<String>>| list.as_ref().map(|list| list.iter().cloned().collect());
        let (now, then): (Option<BTreeSet<String>>, _) = (names(&listed.list), names(&list));
        if now != then {
            lists.differing.push((listed, list));
        }
    }
    Ok(lists)
}

/// Has the publication list what it should.
pub async fn alter_lists(
    client: &Client,
    publication: &str,
    lists: Lists,
) -> Result<Relisted, Error> {
    let mut relisted = Relisted {
        open: lists.open,
        ..Relisted::default()
    };
    for (listed, list) in lists.differing {
        match listed.alter(client, publication, list).await {
            Ok(after) => relisted
                .altered
                .push((listed.id, listed.table, [listed.through, after])),
            Err(error) => match error.as_db_error().map(ServerError::from) {
                Some(source) => relisted.open.push((listed.table, source.message)),
                None => {
                    return Err(Error::query("altering the publication's column lists")(
                        error,
                    ));
                }
            },
        }
    }
    Ok(relisted)
}

/// Captured columns that the publication's lists lack, each with its table: their values are not published.
pub async fn unlisted_columns(
    client: &Client,
    publication: &str,
    patterns: &Patterns,
    captured: &Columns,
) -> Result<Vec<(TableName, String)>, Error> {
    let listed = read(client, publication, true).await?;
    let wanted = listed
        .into_iter()
        .filter(|listed| patterns.matches(&listed.table));
    let missing = wanted.flat_map(|listed| {
        let missing = listed.missing(captured);
        missing
            .into_iter()
            .map(move |column| (listed.table.clone(), column))
    });
    Ok(missing.collect())
}

impl Lists {
    /// Whether there is a list to alter.
    pub fn differ(&self) -> bool {
        !self.differing.is_empty()
    }
}

impl Listed {
    /// Captured columns that its list lacks.
    fn missing(&self, captured: &Columns) -> Vec<String> {
        let Some(list) = &self.list else {
            return Vec::new();
        };
        let TableName { schema, name } = &self.table;
        let is_missing =
            |column: &&String| captured.captures(schema, name, column) && !list.contains(column);
        self.columns.iter().filter(is_missing).cloned().collect()
    }

    /// The list that it should have; none if all of its columns are captured.
    fn wanted(&self, captured: &Columns) -> Result<Option<Vec<String>>, &'static str> {
        let TableName { schema, name } = &self.table;
        let is_wanted = |column: &&String| {
            captured.captures(schema, name, column) || self.identity.contains(column)
        };
        let wanted: Vec<String> = self.columns.iter().filter(is_wanted).cloned().collect();
        if wanted.len() == self.columns.len() {
            return Ok(None);
        }
        if self.is_full {
            return Err("replica identity full needs every column");
        }
        if self.is_split {
            return Err("a root needs publish_via_partition_root for a column list");
        }
        Ok(Some(wanted))
    }

    /// Has the publication list these columns. What puts the table into it then.
    async fn alter(
        &self,
        client: &Client,
        publication: &str,
        list: Option<Vec<String>>,
    ) -> Result<String, tokio_postgres::Error> {
        const AFTER: &str = "select 'table ' || r.oid from pg_publication_rel r
              join pg_publication p on p.oid = r.prpubid
             where p.pubname = $1 and r.prrelid = $2";
        // One transaction: no change falls in between, and nobody else's alteration.
        let alter = format!("begin; {}", self.sql(publication, list));
        let altered = client.batch_execute(&alter).await;
        let after = match altered {
            Ok(()) => client.query_one(AFTER, &[&publication, &self.id]).await,
            Err(error) => Err(error),
        };
        let end = if after.is_ok() { "commit" } else { "rollback" };
        client.batch_execute(end).await?;
        Ok(after?.get(0))
    }

    fn sql(&self, publication: &str, list: Option<Vec<String>>) -> String {
        let (publication, table) = (quote_identifier(publication), self.table.quoted());
        let list = list.map_or_else(String::new, |list| {
            let quoted: Vec<String> = list.iter().map(|name| quote_identifier(name)).collect();
            format!(" ({})", quoted.join(", "))
        });
        let filter = self.row_filter.as_ref();
        let filter = filter.map_or_else(String::new, |filter| format!(" where ({filter})"));
        format!(
            "alter publication {publication} drop table only {table};
             alter publication {publication} add table only {table}{list}{filter}"
        )
    }
}

/// The publication's own tables; `lists`: those alone that have a list.
async fn read(client: &Client, publication: &str, lists: bool) -> Result<Vec<Listed>, Error> {
    const VERSION: &str = "select current_setting('server_version_num')::int >= 150000";
    const TABLES: &str = "
        select c.oid, n.nspname::text, c.relname::text,
               array(select a.attname::text from pg_attribute a
                      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                        and a.attgenerated = '' order by a.attnum),
               array(select a.attname::text from pg_attribute a join pg_index i on i.indrelid = a.attrelid
                      where a.attrelid = c.oid and a.attnum = any(i.indkey::smallint[])
                        and (c.relreplident = 'd' and i.indisprimary
                             or c.relreplident = 'i' and i.indisreplident)),
               c.relreplident = 'f', c.relkind = 'p' and not p.pubviaroot,
               case when r.prattrs is not null then
                    array(select a.attname::text from pg_attribute a
                           where a.attrelid = c.oid and a.attnum = any(r.prattrs::smallint[])) end,
               pg_get_expr(r.prqual, r.prrelid), 'table ' || r.oid
          from pg_publication_rel r
          join pg_publication p on p.oid = r.prpubid
          join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
         where p.pubname = $1 and (r.prattrs is not null or not $2) order by c.oid";
    let failed = || Error::query("reading the publication's column lists");
    let has_lists = client.query_one(VERSION, &[]).await.map_err(failed())?;
    if !has_lists.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client
        .query(TABLES, &[&publication, &lists])
        .await
        .map_err(failed())?;
    let listed = |row: &tokio_postgres::Row| Listed {
        id: row.get(0),
        table: TableName {
            schema: row.get(1),
            name: row.get(2),
        },
        columns: row.get(3),
        identity: row.get(4),
        is_full: row.get(5),
        is_split: row.get(6),
        list: row.get(7),
        row_filter: row.get(8),
        through: row.get(9),
    };
    Ok(rows.iter().map(listed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(columns: &[&str], identity: &[&str]) -> Listed {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Listed {
            id: 1,
            through: "table 11".to_owned(),
            table: TableName {
                schema: "public".to_owned(),
                name: "customers".to_owned(),
            },
            columns: owned(columns),
            identity: owned(identity),
            is_full: false,
            is_split: false,
            list: None,
            row_filter: None,
        }
    }

    #[test]
    fn a_list_has_what_is_captured_and_the_identity() {
        let captured = Columns::new(&["!*.*.email".to_owned(), "!*.*.id".to_owned()]).unwrap();
        let table = listed(&["id", "email", "note"], &["id"]);
        let list = table.wanted(&captured).unwrap().unwrap();
        assert_eq!(list, ["id", "note"]);
        let sql = Listed {
            row_filter: Some("(id > 5)".to_owned()),
            ..table
        }
        .sql("shop", Some(list));
        assert!(
            sql.ends_with(r#"add table only "public"."customers" ("id", "note") where ((id > 5))"#),
            "{sql}"
        );
        // Columns that come later are published where nothing is left out.
        assert_eq!(listed(&["id", "note"], &["id"]).wanted(&captured), Ok(None));
    }

    #[test]
    fn what_a_list_lacks_is_found() {
        let captured = Columns::new(&["!*.*.email".to_owned()]).unwrap();
        let table = listed(&["id", "email", "note"], &["id"]);
        assert_eq!(table.missing(&captured), [""; 0]);
        let list = Some(vec!["id".to_owned()]);
        assert_eq!(Listed { list, ..table }.missing(&captured), ["note"]);
    }

    #[test]
    fn where_the_server_allows_no_list_there_is_none() {
        let captured = Columns::new(&["!*.*.email".to_owned()]).unwrap();
        let full = Listed {
            is_full: true,
            ..listed(&["id", "email"], &[])
        };
        assert!(full.wanted(&captured).unwrap_err().contains("full"));
        let split = Listed {
            is_split: true,
            ..listed(&["id", "email"], &["id"])
        };
        assert!(split.wanted(&captured).unwrap_err().contains("root"));
    }
}

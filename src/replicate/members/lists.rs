//! The column lists of a managed publication follow the tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::watch::LOCK_TIMEOUT;
use crate::config::settings::{Settings, Source};
use crate::connection::Database;
use crate::postgres::{self, Patterns};
use crate::replicate::row_store::Relisted;
use crate::replicate::{Error, primary};

/// Column lists that were altered since the start, for the row store; locked while some are.
pub(crate) type Relistings = Arc<tokio::sync::Mutex<Relisted>>;
/// What was told of tables.
pub(crate) type Open = HashSet<(String, String)>;

/// Has the publication list the captured columns, if it is to. The tables whose list was altered, with what had put
/// them into the publication before.
pub(crate) async fn list_columns(
    settings: &Settings,
    source: &Source,
    database: &Database,
    patterns: &Patterns,
    told: &mut Open,
    relistings: &Relistings,
) -> Result<HashMap<u32, String>, Error> {
    let name = &source.publication;
    let managed = source.column_lists && postgres::is_managed(database, name).await?;
    if source.column_lists && !managed && told.insert((name.clone(), String::new())) {
        tracing::warn!(
            publication = %name,
            "source.column_lists is true, but the publication is not managed by tidewater: its column lists are \
             left as they are. comment on it 'managed by tidewater', or list the columns yourself"
        );
    }
    if !managed {
        tell_unlisted(settings, source, database, patterns, told).await?;
        return Ok(HashMap::new());
    }
    let captured = &settings.selection.columns;
    let lists = postgres::compare_lists(database, name, patterns, captured).await?;
    let relisted = if lists.differ() {
        let writer = primary::writer(source).await?;
        let set = writer.batch_execute(LOCK_TIMEOUT).await;
        set.map_err(Error::Catalog)?;
        // A standby may not have seen yet what was altered last.
        let lists = postgres::compare_lists(&writer, name, patterns, captured).await?;
        // Whoever meets such a table with something new waits to be told.
        let mut relistings = relistings.lock().await;
        let relisted = postgres::alter_lists(&writer, name, lists).await?;
        let altered = relisted.altered.iter();
        let ways = altered.map(|(_, _, [before, after])| (before.clone(), after.clone()));
        relistings.extend(ways);
        relisted
    } else {
        postgres::Relisted {
            open: lists.open,
            ..postgres::Relisted::default()
        }
    };
    for (table, reason) in relisted.open {
        if told.insert((table.to_string(), reason.clone())) {
            tracing::warn!(
                %table, publication = %name, %reason,
                "columns that are not captured leave the server: the publication cannot list the others"
            );
        }
    }
    let altered = relisted.altered.into_iter().map(|(id, table, [before, _])| {
        tracing::info!(%table, publication = %name, "the publication lists other columns of a table");
        (id, before)
    });
    Ok(altered.collect())
}

/// Says which captured columns are not published. A list freezes a table's columns, whoever has made it.
async fn tell_unlisted(
    settings: &Settings,
    source: &Source,
    database: &Database,
    patterns: &Patterns,
    told: &mut Open,
) -> Result<(), Error> {
    let (name, captured) = (&source.publication, &settings.selection.columns);
    for (table, column) in postgres::unlisted_columns(database, name, patterns, captured).await? {
        if told.insert((table.to_string(), column.clone())) {
            tracing::warn!(
                %table, %column, publication = %name,
                "a column is captured, and the publication's column list lacks it: its values are not published. \
                 put it into the list, or leave it out with \"!{table}.{column}\" in source.columns"
            );
        }
    }
    Ok(())
}

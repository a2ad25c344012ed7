//! The publication is looked at again and again, on a connection of its own.
//!
//! A transaction that had written to a table before it joined may have changes that are not decoded, and commits
//! behind a snapshot that is taken too early. So a table is not read before every transaction has ended that might
//! have: those that hold its lock when it has been seen in the publication. Nothing is held back meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::lists::{self, Open, Relistings};
use super::{Compared, Members, News, member};
use crate::config::settings::{Settings, Source};
use crate::connection::{self, Database};
use crate::kafka::MemberRecords;
use crate::postgres::{self, Patterns, PublishedTable, TableWriter};
use crate::replicate::Error;
use crate::replicate::ad_hoc::Found;
use crate::replicate::primary;
use crate::telemetry;

/// Pause after a failed connection or query.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// How often it is said whom a table waits for.
const NOTICE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a lock may be waited for while a table is looked at: others wait behind it.
pub(super) const LOCK_TIMEOUT: &str = "set lock_timeout = '2s'; set row_security = off";

/// Looks at the publication, and tells the stream what has changed.
pub(crate) struct Watch<'a> {
    settings: &'a Settings,
    source: &'a Source,
    prefix: &'a str,
    patterns: Patterns,
    members: Members,
    news: UnboundedSender<News>,
    /// Tables that have joined, and wait for those that were writing then.
    waiting: BTreeMap<u32, Waiting>,
    /// Tables that cannot be read, since the source is a standby; it may be promoted.
    refused: bool,
    /// Those that were told of.
    told: HashSet<u32>,
    /// Tables that only got another column list: they have lost no change.
    relisted: HashSet<u32>,
    relistings: Relistings,
    /// What was told of columns that are published and not captured, or the reverse.
    open: Open,
    /// Why tables are not in the publication that `source.tables` matches, and when they were looked for last.
    refusals: HashMap<u32, String>,
    extended: Instant,
    /// What the publication was when it was looked at last.
    digest: Option<String>,
}

struct Waiting {
    /// What has put it into the publication.
    through: Vec<String>,
    writers: Vec<TableWriter>,
    noticed: Instant,
}

impl<'a> Watch<'a> {
    /// Compares with what is recorded.
    pub(crate) fn new(
        settings: &'a Settings,
        source: &'a Source,
        prefix: &'a str,
        records: MemberRecords,
        (relisted, relistings): (HashMap<u32, String>, Relistings),
        news: UnboundedSender<News>,
    ) -> Result<Watch<'a>, Error> {
        let members = Members::new(records);
        Ok(Watch {
            relisted: members.only_relisted(relisted).collect(),
            relistings,
            settings,
            source,
            prefix,
            patterns: Patterns::new(&source.tables).map_err(Error::Patterns)?,
            members,
            news,
            waiting: BTreeMap::new(),
            refused: false,
            told: HashSet::new(),
            open: Open::default(),
            refusals: HashMap::new(),
            extended: Instant::now(),
            digest: None,
        })
    }

    /// Watches until dropped. Failures are logged and tried again: the stream itself notices when the source is gone.
    pub(crate) async fn run(mut self) -> Error {
        loop {
            let Err(error) = self.watch().await;
            let error = telemetry::chain(&error);
            tracing::warn!(%error, "the publication could not be looked at: trying again");
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn watch(&mut self) -> Result<Infallible, Error> {
        let database = connection::connect(&self.source.connection).await?;
        let set = database.batch_execute(LOCK_TIMEOUT).await;
        set.map_err(Error::Catalog)?;
        self.digest = None;
        loop {
            self.look(&database).await?;
            tokio::time::sleep(self.source.publication_interval).await;
        }
    }

    async fn look(&mut self, database: &Database) -> Result<(), Error> {
        self.relist(database).await?;
        let digest = postgres::publication_digest(database, &self.source.publication).await?;
        let changed = self.digest.as_ref() != Some(&digest);
        let again = !self.refusals.is_empty() && self.extended.elapsed() >= NOTICE_INTERVAL;
        if !changed && !again && self.waiting.is_empty() && !self.refused {
            return Ok(());
        }
        if changed || again {
            self.extend(database).await?;
        }
        let published = self.published(database).await?;
        let compared = self.members.compare(&published);
        let readable = self.readable(database, &compared, &published).await?;
        let is_void = |id| compared.joined.get(&id) == Some(&true) && !self.relisted.contains(&id);
        let mut admitted = Vec::new();
        let mut read = BTreeSet::new();
        for table in published
            .iter()
            .filter(|table| readable.contains(&table.id))
        {
            let void = is_void(table.id);
            if self.reads() && (void || !is_empty(database, table).await) {
                read.insert(table.id);
            }
            admitted.push(table);
        }
        // From here on nothing can fail: what is known is told.
        self.digest = Some(digest);
        let altered = published
            .iter()
            .filter(|table| compared.altered.contains(&table.id));
        admitted.extend(altered);
        let asked = |table: &PublishedTable| read.contains(&table.id);
        let selection = &self.settings.selection;
        let found = Found::of(&published, asked, selection, self.prefix).into_iter();
        let mut news = News {
            read: found
                .map(|found| {
                    let void = is_void(found.oid());
                    found.void(void)
                })
                .collect(),
            entries: Vec::new(),
        };
        for oid in &compared.left {
            tracing::info!(table = %self.members.name(*oid), "a table has left the publication");
            news.entries.extend(self.members.leave(*oid));
            self.relisted.remove(oid);
        }
        for table in admitted {
            if compared.joined.contains_key(&table.id) && !read.contains(&table.id) {
                tracing::info!(table = %table.table, "a table has joined the publication: nothing is read of it");
            }
            news.entries.extend(self.members.admit(table));
            self.waiting.remove(&table.id);
            self.relisted.remove(&table.id);
        }
        if !news.entries.is_empty() {
            // It fails only when the stream has ended.
            let _ = self.news.send(news);
        }
        Ok(())
    }

    /// Has the publication list the captured columns, if it is to.
    async fn relist(&mut self, database: &Database) -> Result<(), Error> {
        let Watch {
            settings,
            source,
            patterns,
            open,
            relistings,
            ..
        } = self;
        let relisted =
            lists::list_columns(settings, source, database, patterns, open, relistings).await?;
        self.relisted.extend(self.members.only_relisted(relisted));
        Ok(())
    }

    /// Adds to the publication what `source.tables` matches and it lacks, if tidewater manages it.
    async fn extend(&mut self, database: &Database) -> Result<(), Error> {
        let name = &self.source.publication;
        self.extended = Instant::now();
        let lacking = postgres::unpublished_tables(database, name, &self.patterns).await?;
        let before = std::mem::take(&mut self.refusals);
        if lacking.is_empty() {
            return Ok(());
        }
        let writer = if postgres::is_managed(database, name).await? {
            let writer = primary::writer(self.source).await?;
            let set = writer.batch_execute(LOCK_TIMEOUT).await;
            set.map_err(Error::Catalog)?;
            Some(writer)
        } else {
            None
        };
        for (id, table) in lacking {
            let refused = match &writer {
                Some(writer) => postgres::add_table(writer, name, id, &table).await?,
                None => Some(postgres::Refused {
                    reason: "the publication is not managed by tidewater".to_owned(),
                    remedy: format!("run {}", postgres::add_table_sql(name, &table)),
                }),
            };
            let Some(refused) = refused else {
                tracing::info!(%table, publication = %name, "a table is added to the publication");
                continue;
            };
            let postgres::Refused { reason, remedy } = refused;
            if before.get(&id) != Some(&reason) {
                tracing::warn!(
                    %table, publication = %name, %reason,
                    "source.tables matches a table that is not added to the publication: its changes are not \
                     published, and the next start ends with an error. {remedy}; or leave it out with \
                     \"!{table}\" in source.tables"
                );
            }
            self.refusals.insert(id, reason);
        }
        Ok(())
    }

    /// Whether the rows are read of tables that join.
    fn reads(&self) -> bool {
        super::reads(self.source)
    }

    /// What is published now, all of it as of one moment.
    async fn published(&self, database: &Database) -> Result<Vec<PublishedTable>, Error> {
        let begin = "begin isolation level repeatable read, read only";
        database
            .batch_execute(begin)
            .await
            .map_err(Error::Catalog)?;
        let name = &self.source.publication;
        let published = postgres::captured_tables(database, name, &self.patterns).await;
        database
            .batch_execute("commit")
            .await
            .map_err(Error::Catalog)?;
        Ok(published?)
    }

    /// Those of the tables that have joined whose rows can be read now.
    async fn readable(
        &mut self,
        database: &Database,
        compared: &Compared,
        published: &[PublishedTable],
    ) -> Result<BTreeSet<u32>, Error> {
        let joined = |table: &&PublishedTable| compared.joined.contains_key(&table.id);
        let joined: Vec<&PublishedTable> = published.iter().filter(joined).collect();
        if !self.reads() || joined.is_empty() {
            self.waiting.clear();
            self.refused = false;
            return Ok(joined.iter().map(|table| table.id).collect());
        }
        self.refused = postgres::is_in_recovery(database).await?;
        if self.refused {
            self.refuse(&joined);
            return Ok(BTreeSet::new());
        }
        let same = |oid: &u32, waiting: &mut Waiting| {
            let mut joined = joined.iter();
            joined.any(|table| table.id == *oid && table.through == waiting.through)
        };
        self.waiting.retain(same);
        let new = joined
            .iter()
            .filter(|table| !self.waiting.contains_key(&table.id));
        let new: Vec<&PublishedTable> = new.copied().collect();
        // Behind the moment that they were seen at.
        let oids: Vec<u32> = new.iter().map(|table| table.id).collect();
        let mut writers = postgres::table_writers(database, &oids).await?;
        for table in new {
            let waiting = Waiting {
                through: member(table).through,
                writers: writers.remove(&table.id).unwrap_or_default(),
                noticed: Instant::now(),
            };
            if !waiting.writers.is_empty() {
                tracing::info!(
                    table = %table.table, writers = %named(&waiting.writers),
                    "a table has joined the publication: it is read when those have ended that were writing to it"
                );
            }
            self.waiting.insert(table.id, waiting);
        }
        self.await_writers(database, &joined).await
    }

    /// The tables that nobody is waited for any more.
    async fn await_writers(
        &mut self,
        database: &Database,
        joined: &[&PublishedTable],
    ) -> Result<BTreeSet<u32>, Error> {
        let xids: Vec<&str> = self
            .waiting
            .values()
            .flat_map(|waiting| waiting.writers.iter().map(|writer| writer.xid.as_str()))
            .collect();
        let running = if xids.is_empty() {
            HashSet::new()
        } else {
            postgres::still_running(database, &xids).await?
        };
        let mut ready = BTreeSet::new();
        for (oid, waiting) in &mut self.waiting {
            waiting
                .writers
                .retain(|writer| running.contains(&writer.xid));
            if waiting.writers.is_empty() {
                ready.insert(*oid);
            } else if waiting.noticed.elapsed() >= NOTICE_INTERVAL {
                waiting.noticed = Instant::now();
                let table = joined.iter().find(|table| table.id == *oid);
                tracing::warn!(
                    table = %table.map(|table| table.table.to_string()).unwrap_or_default(),
                    writers = %named(&waiting.writers),
                    "a table that has joined the publication waits for transactions that were writing to it then"
                );
            }
        }
        Ok(ready)
    }

    /// Says of each table once that it is not read. It is not known then, and read once the source is a primary.
    fn refuse(&mut self, joined: &[&PublishedTable]) {
        for table in joined {
            if self.told.insert(table.id) {
                tracing::warn!(
                    table = %table.table,
                    "a table has joined the publication, and its changes are published; the rows that it had \
                     before are not, since the source is a standby, which tables are not read from beside the \
                     stream. with source.url at a primary they are read by themselves; source.added_tables = \
                     \"stream\" leaves them out"
                );
            }
        }
    }
}

/// Whether there is nothing to be read. A snapshot that is taken behind the last who wrote before shows all that is
/// not streamed. What cannot be looked at is not empty: who reads it says why.
async fn is_empty(database: &Database, table: &PublishedTable) -> bool {
    let empty = postgres::has_no_row(database, table).await;
    empty.unwrap_or_else(|error| {
        let error = telemetry::chain(&error);
        tracing::debug!(table = %table.table, %error, "a table that has joined cannot be looked at");
        false
    })
}

fn named(writers: &[TableWriter]) -> String {
    let named = |writer: &TableWriter| match writer.pid {
        Some(pid) => format!("backend {pid}"),
        None => format!("prepared transaction {}", writer.xid),
    };
    let mut names: Vec<String> = writers.iter().map(named).collect();
    names.dedup();
    names.join(", ")
}

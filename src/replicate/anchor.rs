//! What a snapshot stands on: the tables' locks, and then the slot.
//!
//! TRUNCATE and rewriting ALTER TABLE are not MVCC-safe (to an older snapshot the table would be empty),
//! so every connection that will read locks the tables before the slot is created. Two knots have to be
//! undone that the server cannot see, since their ends are different connections of ours:
//!
//! - The slot's creation waits for every transaction that is writing, and one of those may wait for our
//!   locks: a TRUNCATE in a transaction that has written before. Such writers are looked for meanwhile;
//!   if there is one the creation is cancelled, the locks are given up, and all begins again.
//! - A lock that is asked for after somebody has asked for the whole table waits behind him, while he
//!   waits for the locks that we have already. So only the first connection waits, the others do not.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::snapshot::{Reading, Standby};
use super::{Error, primary};
use crate::connection::{self, Connection, Database};
use crate::postgres::{self, CreatedSlot, Session, SnapshotExport};

/// How often blocked writers are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often it is said whom the creation waits for.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);
/// Pause before the next attempt; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A slot whose exported snapshot sees the tables, which stay as they are until all of it is dropped.
pub(super) struct Anchor {
    pub(super) locks: Database,
    pub(super) planner: Session,
    pub(super) workers: Vec<Standby>,
    pub(super) created: CreatedSlot,
}

/// Which slot is to be made.
#[derive(Clone, Copy)]
pub(super) struct NewSlot<'a> {
    pub(super) name: &'a str,
    pub(super) temporary: bool,
    /// The source is a standby, and this is its primary.
    pub(super) primary: Option<&'a Connection>,
}

impl Anchor {
    /// Locks the tables and creates the slot. `catalog` is used to look at other connections meanwhile.
    pub(super) async fn hold(
        reading: &Reading,
        workers: u16,
        session: &mut Session,
        catalog: &Database,
        slot: NewSlot<'_>,
        shutdown: &CancellationToken,
    ) -> Result<Anchor, Error> {
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(locked) = Locked::take(reading, workers).await? {
                let holders = locked.holders().await?;
                if let Some(created) = create(session, catalog, &holders, slot, shutdown).await? {
                    return Ok(locked.with(created));
                }
            }
            tracing::info!(
                "a writer waits for the tables that are to be read: letting it go first"
            );
            tokio::select! {
                () = shutdown.cancelled() => return Err(Error::Interrupted),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }
}

/// Connections that hold ACCESS SHARE on every table.
struct Locked {
    first: Database,
    planner: Session,
    workers: Vec<Standby>,
}

impl Locked {
    /// `None` when somebody has asked for the whole of a table in between.
    async fn take(reading: &Reading, workers: u16) -> Result<Option<Locked>, Error> {
        let first = connection::connect(&reading.source).await?;
        first.batch_execute("begin").await.map_err(Error::Catalog)?;
        postgres::lock_tables(&first, &reading.tables).await?;
        let Some(planner) = reading.open().await? else {
            return Ok(None);
        };
        let mut standing_by = Vec::new();
        for index in 0..workers {
            match Standby::open(index, reading).await? {
                Some(worker) => standing_by.push(worker),
                None => return Ok(None),
            }
        }
        Ok(Some(Locked {
            first,
            planner,
            workers: standing_by,
        }))
    }

    async fn holders(&self) -> Result<Vec<i32>, Error> {
        let own = "select pg_backend_pid()";
        let first = self.first.query_one(own, &[]).await;
        let mut holders = vec![first.map_err(Error::Catalog)?.get(0)];
        holders.push(self.planner.backend_pid());
        holders.extend(self.workers.iter().map(|worker| worker.backend_pid));
        Ok(holders)
    }

    fn with(self, created: CreatedSlot) -> Anchor {
        Anchor {
            locks: self.first,
            planner: self.planner,
            workers: self.workers,
            created,
        }
    }
}

/// Creates the slot; `None` when a writer that it waits for waits for our locks.
async fn create(
    session: &mut Session,
    catalog: &Database,
    holders: &[i32],
    slot: NewSlot<'_>,
    shutdown: &CancellationToken,
) -> Result<Option<CreatedSlot>, Error> {
    let creator = session.backend_pid();
    let cancelled = {
        let export = SnapshotExport::Export;
        let creation = postgres::create_slot(session, slot.name, slot.temporary, export);
        let creation = primary::logging(slot.primary, catalog, creation);
        tokio::pin!(creation);
        tokio::select! {
            created = &mut creation => return Ok(Some(created?)),
            knot = watch(catalog, holders) => knot?,
            () = shutdown.cancelled() => {}
        }
        let cancel = "select pg_cancel_backend($1)";
        let sent = catalog.execute(cancel, &[&creator]).await;
        sent.map_err(Error::Catalog)?;
        creation.await
    };
    // It may have been created just before the cancel arrived.
    if cancelled.is_ok() {
        postgres::drop_slot(session, slot.name).await?;
    }
    if shutdown.is_cancelled() {
        return Err(Error::Interrupted);
    }
    Ok(None)
}

/// Returns when a writer waits for one of the holders' locks.
async fn watch(catalog: &Database, holders: &[i32]) -> Result<(), Error> {
    let blocked = "select exists (
        select from pg_stat_activity
        where backend_xid is not null and $1::integer[] && pg_blocking_pids(pid))";
    let mut told = Instant::now();
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let row = catalog.query_one(blocked, &[&holders]).await;
        if row.map_err(Error::Catalog)?.get(0) {
            return Ok(());
        }
        if told.elapsed() >= NOTICE_INTERVAL {
            told = Instant::now();
            tell(catalog).await?;
        }
    }
}

/// Says what the creation waits for.
async fn tell(catalog: &Database) -> Result<(), Error> {
    if postgres::is_in_recovery(catalog).await? {
        tracing::warn!(
            "the slot cannot be created before the primary logs its running transactions: run \
             select pg_log_standby_snapshot() there, or name it in source.primary_url"
        );
        return Ok(());
    }
    let oldest = "
        select 'backend ' || pid as holder, extract(epoch from now() - xact_start)::bigint as age
        from pg_stat_activity where backend_xid is not null
        union all
        select 'prepared transaction ' || gid, extract(epoch from now() - prepared)::bigint
        from pg_prepared_xacts
        order by age desc limit 1";
    let rows = catalog.query(oldest, &[]).await.map_err(Error::Catalog)?;
    if let Some(row) = rows.first() {
        let (holder, age): (String, i64) = (row.get(0), row.get(1));
        tracing::warn!(
            %holder,
            age_seconds = age,
            "the slot cannot be created before every transaction that is writing has ended: end it"
        );
    }
    Ok(())
}

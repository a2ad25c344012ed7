//! Where a stream begins: after a snapshot, or at a slot's own point.
//!
//! Around a snapshot there are two records: "reading from C", and "streaming from C" with the mark that ends the
//! snapshot in every partition. Between them each chunk records itself. A start that finds the first without
//! the second reads what is left, at a later point C′, and streams from C all the same: until it has passed
//! C′, fences tell the changes that the later chunks have shown already.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::Error;
use super::anchor::{Anchor, NewSlot};
use super::capture::Point;
use super::described::Described;
use super::members;
use super::publisher::Job;
use super::row_store::Feed;
use super::snapshot::{Ledger, Pace, ReadTable, Reading, Remaining, Snapshot, WorkerSettings, see};
use super::start::{Opening, held_bytes_max, session_options, transactional_id};
use crate::config::settings::Truncate;
use crate::event::{Batch, Change, Lsn, Position, SnapshotRead};
use crate::kafka::{Entry, FencesRecord, PositionRecord, SnapshotProgress};
use crate::postgres::{self, PublishedTable, TableName};

/// The source's clock, microseconds since 1970.
const CLOCK: &str = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";

impl Opening<'_> {
    /// Creates the slot, publishes the tables as of its consistent point, and records that streaming
    /// goes on from there.
    pub(super) async fn snapshot(
        &mut self,
        slot: &str,
        temporary: bool,
        truncate_first: bool,
    ) -> Result<Point, Error> {
        let published = self.publication.tables.iter();
        let names = published.map(|published| published.table.clone()).collect();
        let mut anchor = self.anchor(slot, temporary, names).await?;
        self.context.steps.at("snapshot.slot-created");
        let read = self.read_at(&anchor).await?;
        let mut entries = std::mem::take(&mut self.progress).forget();
        let (mut tables, mut fed) = (Vec::new(), Vec::new());
        for described in self.describe_tables(read.position, read.position).await? {
            let Described {
                read,
                progress,
                fed: stored,
            } = described;
            fed.extend(stored);
            entries.push(progress.entry(read.id));
            self.progress.tables.insert(read.id, progress);
            tables.push(read);
        }
        self.meet_routes(&mut anchor, &mut tables).await?;
        let void = if truncate_first { &tables[..] } else { &[] };
        let batch = self.truncates(void.iter(), read)?;
        let next = PositionRecord {
            snapshot: SnapshotProgress::Reading,
            fences: None,
            ..self.record_at(read.position.commit_lsn)
        };
        // Before the record: without it the snapshot would go on with another store.
        self.create_rows(Point::from(read.position.commit_lsn))?;
        let feed = self.feed(fed)?;
        self.publish(batch, entries, next).await?;
        self.context.steps.at("snapshot.begun");
        self.read_and_end(anchor, tables, read.position, read, feed)
            .await
    }

    /// Publishes what an interrupted snapshot has left, as of the consistent point of a temporary slot, and
    /// records that streaming begins where that snapshot did.
    pub(super) async fn resume_snapshot(&mut self, slot: &str) -> Result<Point, Error> {
        let begun = Position::new(self.record.epoch, self.record.resume_lsn, 0);
        let mut anchor = self.anchor(slot, true, self.unfinished(begun)).await?;
        self.context.steps.at("snapshot.resumed");
        let read = self.read_at(&anchor).await?;
        let mut entries = Vec::new();
        let (mut tables, mut void, mut fed) = (Vec::new(), Vec::new(), Vec::new());
        for Described {
            mut read,
            progress,
            fed: mut stored,
        } in self.describe_tables(begun, read.position).await?
        {
            let recorded = self.progress.tables.get(&read.id);
            let finished = self.progress.ranges_of(read.id);
            match Remaining::of(recorded, finished, &progress) {
                Remaining::Nothing => read.remaining.clear(),
                Remaining::Ranges(ranges) => read.remaining = ranges,
                Remaining::Everything { void: is_void } => {
                    if let Some(stored) = &mut stored {
                        stored.anew = true;
                    }
                    if is_void {
                        tracing::warn!(
                            table = %progress.table,
                            "the table is read from its beginning: it was truncated or altered, or its \
                             key's order is the server's"
                        );
                        void.push(tables.len());
                    }
                    entries.extend(self.progress.forget_ranges(read.id));
                    entries.push(progress.entry(read.id));
                    self.progress.tables.insert(read.id, progress);
                }
            }
            tables.push(read);
            fed.extend(stored);
        }
        let left = tables.iter().filter(|table| !table.remaining.is_empty());
        tracing::info!(
            begun = %begun.commit_lsn,
            read_at = %read.position.commit_lsn,
            tables = left.count(),
            "an interrupted snapshot goes on"
        );
        let void = void
            .into_iter()
            .filter_map(|index: usize| tables.get(index));
        let batch = self.truncates(void, read)?;
        self.meet_routes(&mut anchor, &mut tables).await?;
        let next = self.record_at(begun.commit_lsn);
        let feed = self.feed(fed)?;
        self.publish(batch, entries, next).await?;
        self.context.steps.at("snapshot.begun");
        let point = self.read_and_end(anchor, tables, begun, read, feed).await?;
        postgres::drop_slot(&mut self.session, slot).await?;
        Ok(point)
    }

    /// Makes known what rows of outboxes are routed to, as of the exported snapshot; the planner sees that from
    /// here on. Outboxes are read first: what is written to one while its snapshot is interrupted may be told of
    /// twice.
    async fn meet_routes(
        &mut self,
        anchor: &mut Anchor,
        tables: &mut [ReadTable],
    ) -> Result<(), Error> {
        let exported = anchor.created.snapshot.clone().unwrap_or_default();
        see(&mut anchor.planner, &exported).await?;
        let selection = Arc::clone(&self.context.settings.selection);
        let most = selection
            .outbox
            .as_ref()
            .map_or(0, |outbox| outbox.topics_max);
        for read in tables.iter_mut().filter(|read| !read.remaining.is_empty()) {
            let Some(column) = read.plan.route_by() else {
                continue;
            };
            // One more than there may be shows that there are too many. A null is refused when its row is read.
            let query = read.table.distinct(column, most + 2);
            let found = anchor.planner.query(&query).await?;
            for value in found.into_iter().flatten().flatten() {
                let target = self.tables.route(&read.plan, value.as_bytes()).await?;
                read.plan.meet(value.as_bytes(), target);
            }
        }
        tables.sort_by_key(|read| !read.plan.is_routed());
        Ok(())
    }

    /// Records that streaming starts at `lsn`; the snapshot of nothing ends there.
    pub(super) async fn stream_without_snapshot(&mut self, lsn: Lsn) -> Result<Point, Error> {
        let position = Position::new(self.record.epoch, lsn, 0);
        let described = self.describe_tables(position, position).await?;
        let tables: Vec<ReadTable> = described.into_iter().map(|table| table.read).collect();
        let clock = self.tables.catalog().query_one(CLOCK, &[]).await;
        let read = SnapshotRead {
            position,
            exported_at_us: clock.map_err(Error::Catalog)?.get(0),
        };
        self.create_rows(Point::from(lsn))?;
        self.record_streaming(&tables, position, read).await?;
        Ok(self.point())
    }

    /// The published tables that are not finished.
    fn unfinished(&self, begun: Position) -> Vec<TableName> {
        let is_left = |table: &&PublishedTable| {
            let recorded = self.progress.tables.get(&table.id);
            let finished = self.progress.ranges_of(table.id);
            // As if it were unchanged: whether it is can be told only when it is locked.
            recorded.is_none_or(|recorded| {
                debug_assert_eq!(
                    recorded.begun, begun,
                    "records of another snapshot are left out"
                );
                Remaining::of(Some(recorded), finished, recorded) != Remaining::Nothing
            })
        };
        let left = self.publication.tables.iter().filter(is_left);
        left.map(|published| published.table.clone()).collect()
    }

    /// Locks the tables and creates the slot.
    async fn anchor(
        &mut self,
        slot: &str,
        temporary: bool,
        tables: Vec<TableName>,
    ) -> Result<Anchor, Error> {
        let source = self.context.source()?;
        let reading = Reading {
            source: source.connection.clone(),
            options: reading_options(session_options(source)),
            tables,
        };
        let new = NewSlot {
            name: slot,
            temporary,
            primary: self.primary,
        };
        Anchor::hold(
            &reading,
            source.snapshot_workers,
            &mut self.session,
            self.tables.catalog(),
            new,
            &self.context.shutdown,
        )
        .await
    }

    async fn read_at(&self, anchor: &Anchor) -> Result<SnapshotRead, Error> {
        let clock = anchor.locks.query_one(CLOCK, &[]).await;
        Ok(SnapshotRead {
            position: Position::new(self.record.epoch, anchor.created.consistent_point, 0),
            exported_at_us: clock.map_err(Error::Catalog)?.get(0),
        })
    }

    /// Reads what remains of the tables, and records that streaming begins at the snapshot's first point.
    async fn read_and_end(
        &mut self,
        mut anchor: Anchor,
        tables: Vec<ReadTable>,
        begun: Position,
        read: SnapshotRead,
        rows: Option<Feed>,
    ) -> Result<Point, Error> {
        let tables = Arc::new(tables);
        let limit = self.context.source()?.snapshot_rows_per_second;
        let pace = Pace::new(limit, self.rows_left(&tables));
        let exported = anchor.created.snapshot.take();
        let finished = std::mem::take(&mut self.progress.ranges);
        let ledger = Ledger::new(begun, read.position.commit_lsn, finished);
        let snapshot = Snapshot {
            tables: Arc::clone(&tables),
            read,
            ledger: Arc::new(Mutex::new(ledger)),
            settings: self.worker_settings(exported.unwrap_or_default(), pace, rows)?,
        };
        let encoder = self.encoder()?;
        let shutdown = &self.context.shutdown;
        snapshot
            .run(&mut anchor.planner, anchor.workers, &encoder, shutdown)
            .await?;
        self.progress.ranges = snapshot.take_finished();
        self.context.steps.at("snapshot.read");
        self.record_streaming(&tables, begun, read).await?;
        self.context.steps.at("snapshot.ended");
        Ok(self.point())
    }

    /// Rows that are to be read, by the planner's estimate.
    fn rows_left(&self, tables: &[ReadTable]) -> u64 {
        let left = tables.iter().filter(|table| !table.remaining.is_empty());
        let left = left.map(|table| {
            let finished = self.progress.ranges_of(table.id).iter();
            let estimate = u64::try_from(table.rows_estimate).unwrap_or(0);
            estimate.saturating_sub(finished.map(|range| range.rows).sum())
        });
        left.sum()
    }

    /// The truncate markers that void what the topics hold of tables.
    fn truncates<'t>(
        &self,
        tables: impl Iterator<Item = &'t ReadTable>,
        read: SnapshotRead,
    ) -> Result<Batch, Error> {
        let mut batch = Batch::default();
        let mut tables = tables.peekable();
        if tables.peek().is_some() && self.context.settings.format.truncate == Truncate::Skip {
            tracing::warn!(
                "tables are read again without a truncate, since format.truncate is \"skip\": \
                 rows that were deleted meanwhile stay in the topics"
            );
            return Ok(batch);
        }
        let mut encoder = self.encoder()?;
        encoder.begin_snapshot(&read);
        let change = Change {
            lsn: read.position.commit_lsn,
            ordinal: 0,
            now_us: super::stream::unix_time_us(),
        };
        for table in tables {
            encoder
                .truncate(&table.plan, change, table.partitions, &mut batch)
                .map_err(|source| Error::Encode {
                    lsn: change.lsn,
                    source,
                })?;
        }
        Ok(batch)
    }

    /// Ends the snapshot that was begun there. Ranges that were read later stay recorded, as fences.
    async fn record_streaming(
        &mut self,
        tables: &[ReadTable],
        begun: Position,
        read: SnapshotRead,
    ) -> Result<(), Error> {
        let encoder = self.encoder()?;
        let mut batch = Batch::default();
        let mut ended = HashSet::new();
        // Tables that share a topic share its mark.
        for table in tables
            .iter()
            .filter(|table| ended.insert(table.plan.topic()))
        {
            encoder.snapshot_end(
                table.plan.topic(),
                table.partitions,
                begun,
                read.exported_at_us,
                &mut batch,
            );
        }
        let mut entries = self.progress.forget_read_at(begun.commit_lsn);
        // Read, or left out on purpose. Whatever has joined since they were listed is not among them.
        entries.extend(members::know_all(
            &mut self.members,
            &self.publication.tables,
        ));
        let later = self.progress.ranges.values().flatten();
        let until = later.map(|progress| progress.read_at).max();
        let next = PositionRecord {
            snapshot: SnapshotProgress::Done,
            fences: until.map(|until| FencesRecord { begun, until }),
            ..self.record_at(begun.commit_lsn)
        };
        self.publish(batch, entries, next).await
    }

    fn record_at(&self, resume: Lsn) -> PositionRecord {
        self.record.next(resume, Lsn::ZERO, 0, Lsn::ZERO)
    }

    async fn publish(
        &mut self,
        mut batch: Batch,
        entries: Vec<Entry>,
        next: PositionRecord,
    ) -> Result<(), Error> {
        let record = PositionRecord {
            snapshot_workers: self.context.source()?.snapshot_workers,
            ..next
        };
        self.tables.take_schemas(&mut batch);
        let new_topics = self.tables.take_new_topics();
        let job = Job {
            batch,
            record: record.clone(),
            new_topics,
            entries,
            commit_times_us: Vec::new(),
        };
        self.publisher.publish_and_wait(job).await?;
        self.record = record;
        Ok(())
    }

    fn worker_settings(
        &self,
        snapshot: String,
        pace: Pace,
        rows: Option<Feed>,
    ) -> Result<WorkerSettings, Error> {
        let (source, kafka) = (self.context.source()?, self.context.kafka()?);
        Ok(WorkerSettings {
            snapshot,
            kafka: kafka.clone(),
            transactional_id: transactional_id(kafka, source),
            position_topic: self.position_topic.clone(),
            topics: Arc::new(self.tables.names()),
            passed_over: self.passed_over,
            held_bytes_max: held_bytes_max(kafka),
            steps: self.context.steps.clone(),
            pace: Arc::new(pace),
            rows,
        })
    }
}

/// Settings of the connections that read. While Kafka stalls they read nothing, for as long as it takes:
/// bytes that wait for our window would count as unacknowledged (tcp(7), TCP_USER_TIMEOUT). Memory for
/// sorting one chunk: its rows may be cheaper to fetch in the order in which they lie.
pub(super) fn reading_options(
    mut options: Vec<(&'static str, String)>,
) -> Vec<(&'static str, String)> {
    options.push(("tcp_user_timeout", "0".to_owned()));
    options.push(("work_mem", "64MB".to_owned()));
    options
}

//! Where a stream begins: after a snapshot, or at a slot's own point.
//!
//! Around a snapshot there are two records: "begun at C", with the truncate markers that void an
//! interrupted attempt, and "streaming from C", with the mark that ends the snapshot in every
//! partition. What lies between is void until the second is committed.

use std::collections::HashSet;
use std::sync::Arc;

use super::Error;
use super::anchor::{Anchor, NewSlot};
use super::capture::Point;
use super::machine::Limits;
use super::publisher::Job;
use super::snapshot::{KeyColumn, ReadTable, Reading, Snapshot, SnapshotTable, WorkerSettings};
use super::start::{Opening, session_options, transactional_id};
use crate::config::settings::Truncate;
use crate::event::selection::Columns;
use crate::event::{Batch, Change, Encoder, Lsn, Position, SnapshotRead};
use crate::kafka::{PositionRecord, SnapshotProgress};
use crate::postgres::{self, PublishedTable, TableKind, TableShape};

impl Opening<'_> {
    /// Creates the slot, publishes the tables as of its consistent point, and records that streaming
    /// goes on from there.
    pub(super) async fn snapshot(
        &mut self,
        slot: &str,
        temporary: bool,
        truncate_first: bool,
    ) -> Result<Point, Error> {
        let source = self.context.source()?;
        let tables = self.publication.tables.iter();
        let reading = Reading {
            source: source.connection.clone(),
            options: session_options(source),
            tables: tables.map(|published| published.table.clone()).collect(),
        };
        let mut anchor = Anchor::hold(
            &reading,
            source.snapshot_workers,
            &mut self.session,
            self.tables.catalog(),
            NewSlot {
                name: slot,
                temporary,
            },
            &self.context.shutdown,
        )
        .await?;
        self.context.steps.at("snapshot.slot-created");
        let clock = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        let exported_at_us = anchor
            .locks
            .query_one(clock, &[])
            .await
            .map_err(Error::Catalog)?
            .get(0);
        let read = SnapshotRead {
            position: Position::new(self.record.epoch, anchor.created.consistent_point, 0),
            exported_at_us,
        };
        let tables = Arc::new(self.read_tables().await?);
        self.record_begun(&tables, read, truncate_first).await?;
        self.context.steps.at("snapshot.begun");
        let snapshot = Snapshot {
            tables: Arc::clone(&tables),
            read,
            settings: self.worker_settings(anchor.created.snapshot.unwrap_or_default())?,
        };
        snapshot
            .run(
                &mut anchor.planner,
                anchor.workers,
                &self.encoder()?,
                &self.context.shutdown,
            )
            .await?;
        self.context.steps.at("snapshot.read");
        self.record_streaming(&tables, read).await?;
        self.context.steps.at("snapshot.ended");
        Ok(self.point())
    }

    /// Records that streaming starts at `lsn`; the snapshot of nothing ends there.
    pub(super) async fn stream_without_snapshot(&mut self, lsn: Lsn) -> Result<Point, Error> {
        let tables = self.read_tables().await?;
        let clock = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        let row = self
            .tables
            .catalog()
            .query_one(clock, &[])
            .await
            .map_err(Error::Catalog)?;
        let position = Position::new(self.record.epoch, lsn, 0);
        let read = SnapshotRead {
            position,
            exported_at_us: row.get(0),
        };
        self.record_streaming(&tables, read).await?;
        Ok(self.point())
    }

    async fn record_begun(
        &mut self,
        tables: &[ReadTable],
        read: SnapshotRead,
        truncate_first: bool,
    ) -> Result<(), Error> {
        let mut batch = Batch::default();
        if truncate_first && self.context.settings.format.truncate == Truncate::Skip {
            tracing::warn!(
                "tables are read again without a truncate, since format.truncate is \"skip\": \
                 rows that were deleted meanwhile stay in the topics"
            );
        } else if truncate_first {
            let mut encoder = self.encoder()?;
            encoder.begin_snapshot(&read);
            let lsn = read.position.commit_lsn;
            let now_us = super::stream::unix_time_us();
            for table in tables {
                let change = Change {
                    lsn,
                    ordinal: 0,
                    now_us,
                };
                encoder.truncate(&table.plan, change, table.partitions, &mut batch);
            }
        }
        self.publish(batch, read.position.commit_lsn, SnapshotProgress::Begun)
            .await
    }

    async fn record_streaming(
        &mut self,
        tables: &[ReadTable],
        read: SnapshotRead,
    ) -> Result<(), Error> {
        let mut batch = Batch::default();
        let mut ended = HashSet::new();
        // Tables that share a topic share its mark.
        for table in tables
            .iter()
            .filter(|table| ended.insert(table.plan.topic()))
        {
            Encoder::snapshot_end(
                table.plan.topic(),
                table.partitions,
                read.position,
                read.exported_at_us,
                &mut batch,
            );
        }
        self.publish(batch, read.position.commit_lsn, SnapshotProgress::Done)
            .await
    }

    async fn publish(
        &mut self,
        batch: Batch,
        resume: Lsn,
        snapshot: SnapshotProgress,
    ) -> Result<(), Error> {
        let next = self.record.next(resume, Lsn::ZERO, 0, Lsn::ZERO);
        let snapshot_workers = self.context.source()?.snapshot_workers;
        let record = PositionRecord {
            snapshot_workers,
            snapshot,
            ..next
        };
        let new_topics = self.tables.take_new_topics();
        let job = Job {
            batch,
            record: record.clone(),
            new_topics,
            commit_times_us: Vec::new(),
        };
        self.publisher.publish_and_wait(job).await?;
        self.record = record;
        Ok(())
    }

    async fn read_tables(&mut self) -> Result<Vec<ReadTable>, Error> {
        let encoder = self.encoder()?;
        let mut tables = Vec::new();
        for published in self.publication.tables.clone() {
            let Some(shape) = postgres::table_shape(self.tables.catalog(), published.id).await?
            else {
                continue;
            };
            let shape = shape.with_columns(&published.columns);
            let selection = &self.context.settings.selection;
            let table = selection.select(shape.to_table(), &shape.identity())?;
            let topic = self.tables.table_topic(&shape.schema, &shape.name).await?;
            tables.push(ReadTable {
                plan: encoder.compile(&table, topic.index),
                partitions: topic.partitions,
                rows_estimate: published.rows_estimate,
                bytes_estimate: published.bytes,
                table: snapshot_table(&shape, &published, &selection.columns),
            });
        }
        Ok(tables)
    }

    fn worker_settings(&self, snapshot: String) -> Result<WorkerSettings, Error> {
        let (source, kafka) = (self.context.source()?, self.context.kafka()?);
        Ok(WorkerSettings {
            snapshot,
            kafka: kafka.clone(),
            transactional_id: transactional_id(kafka, source),
            position_topic: self.position_topic.clone(),
            topics: Arc::new(self.tables.names()),
            limits: Limits::DEFAULT,
            steps: self.context.steps.clone(),
        })
    }
}

fn snapshot_table(
    shape: &TableShape,
    published: &PublishedTable,
    captured: &Columns,
) -> SnapshotTable {
    let key = shape
        .primary_key
        .iter()
        .filter_map(|index| shape.columns.get(*index));
    SnapshotTable {
        schema: shape.schema.clone(),
        name: shape.name.clone(),
        columns: shape
            .columns
            .iter()
            .map(|column| column.shape.name.clone())
            .map(|name| {
                let captured = captured.captures(&shape.schema, &shape.name, &name);
                captured.then_some(name)
            })
            .collect(),
        key: key
            .map(|column| KeyColumn {
                name: column.shape.name.clone(),
                type_name: column.type_name.clone(),
            })
            .collect(),
        partitioned: shape.kind == TableKind::Partitioned,
        row_filter: published.row_filter.clone(),
    }
}

//! `consumer_offset`: where each partition stands, and the fence against a zombie consumer.
//!
//! ```text
//! assignment   owner = fresh           (waits for a transaction of the owner before)
//! batch        next_offset = next  where owner = mine and next_offset = first
//! ```
//!
//! Fewer rows than partitions: somebody else owns them, or our own earlier attempt was committed
//! although we never heard so.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use uuid::Uuid;

use super::super::change::Table;
use super::super::error::Error;
use super::super::mapped;
use super::super::partition::{PartitionId, Topics};
use super::super::time::Timestamp;
use super::{Sink, Work, column};
use crate::config::mapping::Mapping;
use crate::event::Position;

/// Where a partition stands when its owner takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Owned {
    /// Everything below is applied.
    pub(in super::super) next_offset: i64,
    /// Last streamed position applied.
    pub(in super::super) streamed: Option<Position>,
}

/// One partition's share of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Progress {
    /// Which.
    pub(in super::super) partition: PartitionId,
    /// The stored offset that the batch continues from.
    pub(in super::super) first: i64,
    /// The stored offset after it.
    pub(in super::super) next: i64,
}

/// What became of the claim on a batch's offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Advance {
    /// They are ours, and moved.
    Moved,
    /// An earlier attempt at this very batch was committed: where it left its partitions.
    AlreadyApplied(Vec<(PartitionId, Owned)>),
    /// Another consumer owns some of them.
    Fenced,
}

impl Sink {
    /// Makes a row for every partition of the three topics, so that none is forgotten before its
    /// first consumer comes. A topic's partition count never changes.
    pub(in super::super) async fn register(
        &mut self,
        topics: &Topics,
        counts: &[(Table, i32)],
        mapping: &Mapping,
    ) -> Result<(), Error> {
        // Of a prefix that is no longer used: nobody would move them, and applied_until() would stand still.
        const FORGET: &str = "delete from consumer_offset where topic <> all($1)";
        const COUNT: &str = "select count(*) as known from consumer_offset where topic = $1";
        const INSERT: &str = "
            insert into consumer_offset (topic, partition, next_offset, owner)
            select $1, partition, 0, $3 from generate_series(0, $2::integer - 1) as partition
            order by partition
            on conflict (topic, partition) do nothing";
        const MAPPED: &str = "update sink_identity set mapping = $1 where mapping is null";
        let work = self.begin().await?;
        let names: Vec<&str> = counts
            .iter()
            .map(|(table, _)| topics.name(*table))
            .collect();
        work.execute("forget other topics", FORGET, &[&names])
            .await?;
        for (table, partitions) in counts {
            let topic = topics.name(*table);
            let rows = work.query("count partitions", COUNT, &[&topic]).await?;
            let known: i64 = rows.first().map_or(Ok(0), |row| column(row, "known"))?;
            if known != 0 && known != i64::from(*partitions) {
                return Err(Error::Repartitioned {
                    topic: topic.to_owned(),
                    known,
                    found: *partitions,
                });
            }
            let nobody = Uuid::nil();
            work.execute(
                "register partitions",
                INSERT,
                &[&topic, partitions, &nobody],
            )
            .await?;
        }
        work.execute("note the mapping", MAPPED, &[&mapping.to_string()])
            .await?;
        work.check_mapping(mapping).await?;
        work.commit().await
    }

    /// Takes the partitions over and says where they stand.
    pub(in super::super) async fn own(
        &mut self,
        topics: &Topics,
        partitions: &[PartitionId],
        owner: Uuid,
        mapping: &Mapping,
    ) -> Result<Vec<(PartitionId, Owned)>, Error> {
        const SQL: &str = "
            with mine as materialized (
                select o.topic, o.partition, k.ordinality
                from unnest($1::text[], $2::integer[]) with ordinality
                    as k (topic, partition, ordinality)
                join consumer_offset o using (topic, partition)
                order by o.topic, o.partition
                for update of o
            )
            update consumer_offset o set owner = $3
            from mine
            where o.topic = mine.topic and o.partition = mine.partition
            returning mine.ordinality, o.next_offset, o.streamed_position";
        let names: Vec<&str> = partitions.iter().map(|id| topics.name(id.table)).collect();
        let numbers: Vec<i32> = partitions.iter().map(|id| id.partition).collect();
        let work = self.begin().await?;
        let rows = work
            .query("own partitions", SQL, &[&names, &numbers, &owner])
            .await?;
        // Behind the rows' locks: a rebuild that has just begun may have brought another one.
        work.check_mapping(mapping).await?;
        work.commit().await?;
        let owned = owned(&rows, partitions)?;
        if owned.len() == partitions.len() {
            Ok(owned)
        } else {
            Err(Error::Damaged {
                what: "consumer_offset: a partition has no row",
            })
        }
    }
}

impl Sink {
    /// Checks that the sink knows the time zone in which days are counted.
    pub(in super::super) async fn check_zone(&mut self, zone: &str) -> Result<(), Error> {
        const SQL: &str = "select from pg_timezone_names where name = $1";
        let work = self.begin().await?;
        if work
            .query("look for a time zone", SQL, &[&zone])
            .await?
            .is_empty()
        {
            return Err(Error::DayZone {
                zone: zone.to_owned(),
            });
        }
        Ok(())
    }

    /// Where all partitions stand.
    pub(in super::super) async fn stands(
        &mut self,
        topics: &Topics,
    ) -> Result<BTreeMap<PartitionId, i64>, Error> {
        const SQL: &str = "select topic, partition, next_offset from consumer_offset";
        let work = self.begin().await?;
        let mut stands = BTreeMap::new();
        for row in &work.query("read offsets", SQL, &[]).await? {
            let Some(table) = topics.table(column(row, "topic")?) else {
                continue;
            };
            let partition = column(row, "partition")?;
            stands.insert(
                PartitionId { table, partition },
                column(row, "next_offset")?,
            );
        }
        Ok(stands)
    }

    /// Wipes what a rebuild derives anew. Rows of `consumer_offset` stay, at the start and owned by
    /// nobody, so that consumers that run are fenced.
    pub(in super::super) async fn wipe(&mut self, mapping: &Mapping) -> Result<(), Error> {
        const TABLES: &str = "
            truncate inventory_hourly, sales_hourly, purchase_habit, inventory_image, order_image,
                     customer_image, store_product, promotion_condition, promotion_eligibility,
                     promotion_refusal";
        const REDEMPTIONS: &str = "
            update promotion set
                state = case when dispatched_at is null then 'issued' else 'dispatched' end,
                redeemed_at = null, redeemed_order_id = null
            where state = 'redeemed'";
        const IDENTITY: &str = "update sink_identity set evaluated_at = null, mapping = $1";
        const OFFSETS: &str = "
            update consumer_offset set
                next_offset = 0, owner = $1, streamed_position = null, applied_until = null,
                snapshot_ended = false";
        let work = self.begin().await?;
        work.execute("reset offsets", OFFSETS, &[&Uuid::nil()])
            .await?;
        work.execute("wipe derived tables", TABLES, &[]).await?;
        work.execute("reset redemptions", REDEMPTIONS, &[]).await?;
        let mapping = mapping.to_string();
        work.execute("forget the last evaluation", IDENTITY, &[&mapping])
            .await?;
        work.commit().await
    }
}

impl Work<'_> {
    /// Refuses a mapping that the derived tables do not rest on.
    async fn check_mapping(&self, mapping: &Mapping) -> Result<(), Error> {
        let sql = "select mapping from sink_identity";
        let rows = self.query("read the mapping", sql, &[]).await?;
        let before: Option<String> = rows
            .first()
            .map_or(Ok(None), |row| column(row, "mapping"))?;
        match mapped::folded_otherwise(before.as_deref(), &mapping.to_string()) {
            Some(remapped) => Err(Error::Remapped(remapped)),
            None => Ok(()),
        }
    }

    /// The head of every sink transaction: claims the batch's offsets and moves them.
    pub(in super::super) async fn advance(
        &self,
        topics: &Topics,
        progress: &[Progress],
        owner: Uuid,
    ) -> Result<Advance, Error> {
        const MOVE: &str = "
            update consumer_offset o set next_offset = b.next
            from unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
                as b (topic, partition, first, next)
            where o.topic = b.topic and o.partition = b.partition
              and o.owner = $5 and o.next_offset = b.first";
        const STANDS: &str = "
            select b.ordinality, o.next_offset, o.streamed_position
            from unnest($1::text[], $2::integer[], $3::bigint[]) with ordinality
                as b (topic, partition, next, ordinality)
            join consumer_offset o using (topic, partition)
            where o.owner = $4 and o.next_offset = b.next";
        let names: Vec<&str> = progress
            .iter()
            .map(|p| topics.name(p.partition.table))
            .collect();
        let numbers: Vec<i32> = progress.iter().map(|p| p.partition.partition).collect();
        let first: Vec<i64> = progress.iter().map(|p| p.first).collect();
        let next: Vec<i64> = progress.iter().map(|p| p.next).collect();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&names, &numbers, &first, &next, &owner];
        let moved = self.execute("claim offsets", MOVE, &parameters).await?;
        if moved == progress.len() as u64 {
            return Ok(Advance::Moved);
        }
        if moved > 0 {
            return Ok(Advance::Fenced);
        }
        let rows = self
            .query("check offsets", STANDS, &[&names, &numbers, &next, &owner])
            .await?;
        let partitions: Vec<_> = progress.iter().map(|share| share.partition).collect();
        let stands = owned(&rows, &partitions)?;
        let all = stands.len() == progress.len();
        Ok(if all {
            Advance::AlreadyApplied(stands)
        } else {
            Advance::Fenced
        })
    }

    /// Stores the partitions' last streamed positions.
    pub(in super::super) async fn write_streamed(
        &self,
        topics: &Topics,
        streamed: &[(PartitionId, Position)],
    ) -> Result<(), Error> {
        const SQL: &str = "
            update consumer_offset o set streamed_position = b.position
            from unnest($1::text[], $2::integer[], $3::text[]) as b (topic, partition, position)
            where o.topic = b.topic and o.partition = b.partition";
        if streamed.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = streamed
            .iter()
            .map(|(id, _)| topics.name(id.table))
            .collect();
        let numbers: Vec<i32> = streamed.iter().map(|(id, _)| id.partition).collect();
        let positions: Vec<Position> = streamed.iter().map(|(_, position)| *position).collect();
        self.execute("write positions", SQL, &[&names, &numbers, &positions])
            .await?;
        Ok(())
    }

    /// Everything that the source had committed by these times is applied in these partitions.
    pub(in super::super) async fn write_applied_until(
        &self,
        topics: &Topics,
        applied: &[(PartitionId, Timestamp)],
    ) -> Result<(), Error> {
        const SQL: &str = "
            update consumer_offset o set applied_until = greatest(o.applied_until, b.at)
            from unnest($1::text[], $2::integer[], $3::timestamptz[]) as b (topic, partition, at)
            where o.topic = b.topic and o.partition = b.partition";
        if applied.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = applied
            .iter()
            .map(|(id, _)| topics.name(id.table))
            .collect();
        let numbers: Vec<i32> = applied.iter().map(|(id, _)| id.partition).collect();
        let times: Vec<Timestamp> = applied.iter().map(|(_, at)| *at).collect();
        self.execute("write applied_until", SQL, &[&names, &numbers, &times])
            .await?;
        Ok(())
    }

    /// The partition has passed the end of a complete snapshot.
    pub(in super::super) async fn write_snapshot_ended(
        &self,
        topics: &Topics,
        partition: PartitionId,
    ) -> Result<(), Error> {
        const SQL: &str = "
            update consumer_offset set snapshot_ended = true
            where topic = $1 and partition = $2";
        let topic = topics.name(partition.table);
        self.execute("write snapshot_ended", SQL, &[&topic, &partition.partition])
            .await?;
        Ok(())
    }
}

/// Rows with the ordinality of their partition in the list that was asked for.
fn owned(rows: &[Row], partitions: &[PartitionId]) -> Result<Vec<(PartitionId, Owned)>, Error> {
    let mut owned = Vec::with_capacity(rows.len());
    for row in rows {
        let ordinality: i64 = column(row, "ordinality")?;
        let index = usize::try_from(ordinality - 1).unwrap_or(usize::MAX);
        let Some(partition) = partitions.get(index) else {
            continue;
        };
        let next_offset = column(row, "next_offset")?;
        let streamed = column(row, "streamed_position")?;
        owned.push((
            *partition,
            Owned {
                next_offset,
                streamed,
            },
        ));
    }
    Ok(owned)
}

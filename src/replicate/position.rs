//! The recorded position, moved by hand: shown, set to another place, or given to a new source.
//!
//! A move is an ordinary record in a Kafka transaction under the slot's own transactional id, written
//! while the lease is held. So a replicator that runs is found by the lease, and one that was cut off
//! from it is fenced like any other.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::publisher::Mark;
use super::start::{check_source, fence, first_record, open_session};
use super::{Context, Error};
use crate::config::settings::Settings;
use crate::connection;
use crate::event::{Batch, Lsn};
use crate::kafka::{self, Admin, PositionRecord, SnapshotProgress, TopicSpec, topics};
use crate::postgres::{self, SystemIdentity};
use crate::step::Steps;
use crate::telemetry::Health;

/// How long a broker may take to answer the first question.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing here is watched.
const UNWATCHED: Duration = Duration::from_mins(1);

/// A move of the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Streaming goes on at this LSN of the same source.
    Set(Lsn),
    /// The present source takes the place of the recorded one, in the next epoch: its tables are read
    /// anew, or streaming begins at the LSN given.
    Adopt(Option<Lsn>),
}

/// A move that was carried out, or would be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// The topic that holds the position.
    pub topic: String,
    /// The record before; none if there was none.
    pub from: Option<PositionRecord>,
    /// The record after.
    pub to: PositionRecord,
    /// Whether it was written.
    pub written: bool,
}

/// The topic that holds the position, and the last committed record; none before the first.
pub fn recorded(settings: &Settings) -> Result<(String, Option<PositionRecord>), Error> {
    let context = context(settings);
    let (source, kafka) = (context.source()?, context.kafka()?);
    let admin = Admin::new(kafka)?;
    admin.reach(REACH_TIMEOUT)?;
    let topic = topics::position(&kafka.prefix, &source.slot);
    let record = match admin.partitions(&topic)? {
        None => None,
        Some(_) => kafka::read_last_committed(kafka, &topic)?,
    };
    Ok((topic, record))
}

/// Moves the position. Unless `write`, only says what would be written: then nobody is fenced.
pub async fn move_position(settings: &Settings, change: Move, write: bool) -> Result<Moved, Error> {
    let context = context(settings);
    let (source, kafka) = (context.source()?, context.kafka()?);
    let control = connection::connect(&source.connection).await?;
    let lease = postgres::lease_name(&kafka.prefix, &source.slot);
    if !postgres::try_lease(&control, &lease).await? {
        let holder = postgres::lease_holder(&control, &lease).await?;
        return Err(Error::LeaseHeld {
            name: lease,
            holder: holder.map_or_else(
                || "unknown".to_owned(),
                |(pid, name)| format!("backend {pid} ({name})"),
            ),
        });
    }
    let identity = postgres::identify_system(&mut open_session(source).await?).await?;
    let slot = postgres::read_slot(&control, &source.slot).await?;
    let confirmed = slot.and_then(|state| state.confirmed_flush_lsn);
    let admin = Admin::new(kafka)?;
    admin.reach(REACH_TIMEOUT)?;
    let topic = topics::position(&kafka.prefix, &source.slot);
    admin
        .ensure_topic(&TopicSpec::position(kafka, topic.clone()))
        .await?;
    let stale = kafka::read_last_committed(kafka, &topic)?;
    if matches!(change, Move::Set(_)) {
        check_source(stale.as_ref(), &identity, &topic)?;
    }
    let first = first_record(source, &identity);
    let planned = moved(stale.as_ref(), &first, change, &identity, confirmed)?;
    if !write {
        return Ok(Moved {
            topic,
            from: stale,
            to: planned,
            written: false,
        });
    }
    let (mut transactions, last) = fence(&context, &topic)?;
    let record = moved(last.position.as_ref(), &first, change, &identity, confirmed)?;
    let mut entries = match record.fences {
        Some(_) => Vec::new(),
        None => last.progress.forget(),
    };
    if matches!(change, Move::Adopt(_)) {
        // The tables of another server have other oids: those that are there at its first start are known.
        entries.extend(last.members.forget());
    }
    let mark = Mark::position(&record, &entries);
    transactions.commit(&Arc::new(Batch::default()), mark)?;
    Ok(Moved {
        topic,
        from: last.position,
        to: record,
        written: true,
    })
}

/// The record after the move. Pure.
fn moved(
    last: Option<&PositionRecord>,
    first: &PositionRecord,
    change: Move,
    identity: &SystemIdentity,
    confirmed: Option<Lsn>,
) -> Result<PositionRecord, Error> {
    let before = last.unwrap_or(first);
    let at = |lsn: Lsn| {
        if lsn > identity.flushed {
            return Err(Error::PositionAhead {
                lsn,
                end: identity.flushed,
            });
        }
        match confirmed {
            Some(confirmed) if lsn < confirmed => Err(Error::PositionBehindSlot { lsn, confirmed }),
            _ => Ok(before.next(lsn, Lsn::ZERO, 0, Lsn::ZERO)),
        }
    };
    match change {
        Move::Set(lsn) => Ok(PositionRecord {
            snapshot: SnapshotProgress::Done,
            ..at(lsn)?
        }),
        Move::Adopt(lsn) => {
            let (next, snapshot) = match lsn {
                Some(lsn) => (at(lsn)?, SnapshotProgress::Done),
                None => (
                    before.next(identity.flushed, Lsn::ZERO, 0, Lsn::ZERO),
                    SnapshotProgress::Begun,
                ),
            };
            Ok(PositionRecord {
                epoch: before.epoch + u32::from(last.is_some()),
                system_id: identity.system_id.clone(),
                timeline: identity.timeline,
                database: identity.database.clone(),
                snapshot,
                fences: None,
                ..next
            })
        }
    }
}

fn context(settings: &Settings) -> Context {
    let health = Health::default();
    Context {
        settings: settings.clone(),
        steps: Steps::default(),
        reading: health.stage("replicate.read", UNWATCHED),
        publishing: health.stage("replicate.publish", UNWATCHED),
        registry: None,
        reached: AtomicBool::new(false),
        shutdown: CancellationToken::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(system_id: &str) -> SystemIdentity {
        SystemIdentity {
            system_id: system_id.to_owned(),
            timeline: 2,
            flushed: Lsn(1000),
            database: "shop".to_owned(),
        }
    }

    fn record() -> PositionRecord {
        PositionRecord {
            resume_lsn: Lsn(500),
            commit_lsn: Lsn(480),
            ordinal: 3,
            ..PositionRecord::new(4, "7", 1, "shop")
        }
    }

    fn apply(change: Move, confirmed: Option<Lsn>) -> Result<PositionRecord, Error> {
        let first = PositionRecord::new(1, "8", 2, "shop");
        moved(Some(&record()), &first, change, &identity("8"), confirmed)
    }

    #[test]
    fn a_position_is_set_within_what_the_server_can_send() {
        let set = apply(Move::Set(Lsn(700)), Some(Lsn(600))).unwrap();
        assert_eq!((set.epoch, set.resume_lsn, set.ordinal), (4, Lsn(700), 0));
        assert_eq!(set.previous, Some(record().position()));
        assert!(matches!(
            apply(Move::Set(Lsn(1001)), None),
            Err(Error::PositionAhead { .. })
        ));
        assert!(matches!(
            apply(Move::Set(Lsn(599)), Some(Lsn(600))),
            Err(Error::PositionBehindSlot { .. })
        ));
    }

    #[test]
    fn a_new_source_is_adopted_in_the_next_epoch() {
        let adopted = apply(Move::Adopt(None), None).unwrap();
        assert_eq!((adopted.epoch, adopted.system_id.as_str()), (5, "8"));
        assert_eq!(adopted.timeline, 2);
        assert_eq!(adopted.snapshot, SnapshotProgress::Begun);
        let streamed = apply(Move::Adopt(Some(Lsn(900))), Some(Lsn(900))).unwrap();
        assert_eq!(
            (streamed.resume_lsn, streamed.snapshot),
            (Lsn(900), SnapshotProgress::Done)
        );
    }
}

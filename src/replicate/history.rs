//! Whether the source still has the history that the recorded position is part of.
//!
//! After a promotion or a restore the server is on another timeline. It is accepted by itself if that
//! timeline left ours at or after the position: nothing that was published is undone then.

use super::Error;
use super::capture::Point;
use crate::kafka::{PositionRecord, SnapshotProgress};
use crate::postgres::{self, Session, Switch, SystemIdentity};

/// Refuses a source whose timeline left before the recorded position, and options that differ inside a
/// transaction that was published in part.
pub(super) async fn check(
    session: &mut Session,
    record: &PositionRecord,
    identity: &SystemIdentity,
    options_hash: &str,
) -> Result<(), Error> {
    // Nothing was streamed yet: on another timeline the snapshot starts over.
    if record.snapshot != SnapshotProgress::Done {
        return Ok(());
    }
    if record.timeline != identity.timeline {
        let switches = postgres::timeline_history(session, identity.timeline).await?;
        check_timeline(record, identity.timeline, &switches)?;
        tracing::info!(
            from = record.timeline,
            to = identity.timeline,
            "the source is on another timeline, which holds the position"
        );
    }
    check_options(record, options_hash)
}

/// `switches`: the timelines before `found`, each with where it was left.
fn check_timeline(record: &PositionRecord, found: u32, switches: &[Switch]) -> Result<(), Error> {
    // What a snapshot read past the resume LSN has been published as well.
    let read = record.fences.map(|fences| fences.until).unwrap_or_default();
    let position = record.resume_lsn.max(record.commit_lsn).max(read);
    let left = switches
        .iter()
        .find(|switch| switch.timeline == record.timeline);
    match left {
        Some(switch) if position <= switch.at => Ok(()),
        left => Err(Error::TimelineLeft {
            position,
            switched: left.map(|switch| switch.at).unwrap_or_default(),
            recorded: record.timeline,
            found,
        }),
    }
}

fn check_options(record: &PositionRecord, options_hash: &str) -> Result<(), Error> {
    let point = Point::of(record);
    if point.is_split() && record.options_hash != options_hash {
        return Err(Error::OptionsChanged {
            commit_lsn: record.commit_lsn,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Lsn, Position};
    use crate::kafka::FencesRecord;

    fn record(resume: u64, commit: u64, ordinal: u64) -> PositionRecord {
        let first = PositionRecord {
            options_hash: "a".to_owned(),
            ..PositionRecord::new(1, "7", 2, "shop")
        };
        first.next(Lsn(resume), Lsn(commit), ordinal, Lsn(commit))
    }

    #[test]
    fn a_timeline_is_accepted_that_left_after_the_position() {
        let left = |timeline, at| Switch {
            timeline,
            at: Lsn(at),
        };
        let check = |switches: &[Switch], accepted| {
            let result = check_timeline(&record(500, 400, 3), 3, switches);
            assert_eq!(result.is_ok(), accepted, "{switches:?}");
        };
        check(&[left(1, 100), left(2, 500)], true);
        check(&[left(1, 100), left(2, 499)], false);
        check(&[left(1, 1_000)], false);
        check(&[], false);
    }

    #[test]
    fn inside_a_split_transaction_its_commit_counts() {
        let left = [Switch {
            timeline: 2,
            at: Lsn(550),
        }];
        assert!(check_timeline(&record(500, 600, 3), 3, &left).is_err());
    }

    #[test]
    fn what_a_snapshot_read_past_it_counts_too() {
        let fenced = PositionRecord {
            fences: Some(FencesRecord {
                begun: Position::new(1, Lsn(500), 0),
                until: Lsn(600),
            }),
            ..record(500, 0, 0)
        };
        let left = |at| {
            [Switch {
                timeline: 2,
                at: Lsn(at),
            }]
        };
        assert!(check_timeline(&fenced, 3, &left(600)).is_ok());
        assert!(check_timeline(&fenced, 3, &left(599)).is_err());
    }

    #[test]
    fn options_may_change_between_transactions_only() {
        assert!(check_options(&record(500, 400, 3), "b").is_ok());
        assert!(check_options(&record(500, 600, 3), "a").is_ok());
        assert!(check_options(&record(500, 600, 3), "b").is_err());
    }
}

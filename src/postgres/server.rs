//! The server itself: who it is, how it is set, and which timelines it has followed.

use tokio_postgres::Client;

use super::{Error, Session};
use crate::event::Lsn;

/// Who the server says it is (`IDENTIFY_SYSTEM`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    /// Identifier given by initdb; all standbys and restored copies share it.
    pub system_id: String,
    /// Current timeline.
    pub timeline: u32,
    /// End of the flushed log.
    pub flushed: Lsn,
    /// The database of the session.
    pub database: String,
}

/// Asks a replication session who the server is.
pub async fn identify_system(session: &mut Session) -> Result<SystemIdentity, Error> {
    let rows = session.query("IDENTIFY_SYSTEM").await?;
    let mut columns = rows
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_iter()
        .map(Option::unwrap_or_default);
    let mut column = || columns.next().unwrap_or_default();
    let (system_id, timeline, flushed, database) = (column(), column(), column(), column());
    match (timeline.parse(), flushed.parse()) {
        (Ok(timeline), Ok(flushed)) => Ok(SystemIdentity {
            system_id,
            timeline,
            flushed,
            database,
        }),
        _ => Err(Error::Malformed {
            host: session.user().to_owned(),
            what: "the answer to IDENTIFY_SYSTEM".to_owned(),
        }),
    }
}

/// A change of timeline: `timeline` was left at `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The timeline that ended.
    pub timeline: u32,
    /// Where it was left; what lies beyond is not part of the current history.
    pub at: Lsn,
}

/// The timelines before `timeline`, oldest first; none for the first one.
pub async fn timeline_history(session: &mut Session, timeline: u32) -> Result<Vec<Switch>, Error> {
    if timeline <= 1 {
        return Ok(Vec::new());
    }
    let rows = session
        .query(&format!("TIMELINE_HISTORY {timeline}"))
        .await?;
    let content = rows
        .first()
        .and_then(|row| row.get(1))
        .and_then(Option::as_deref);
    content
        .and_then(parse_history)
        .ok_or(Error::TimelineHistory { timeline })
}

/// `1<tab>0/15F5E50<tab>no recovery target specified`, with comments and blank lines.
fn parse_history(text: &str) -> Option<Vec<Switch>> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let timeline = words.next()?.parse().ok()?;
            Some(Switch {
                timeline,
                at: words.next()?.parse().ok()?,
            })
        })
        .collect()
}

/// The end of the server's log: written here, or replayed on a standby.
pub async fn log_end(client: &Client) -> Result<Lsn, Error> {
    const QUERY: &str = "
        select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                    else pg_current_wal_lsn() end::text";
    let row = client.query_one(QUERY, &[]).await;
    let row = row.map_err(Error::query("reading the end of the log"))?;
    let text: Option<String> = row.get(0);
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Settings and rights that replication depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`, 150004 for instance.
    pub version: i32,
    /// `server_version`.
    pub version_text: String,
    /// `wal_level`.
    pub wal_level: String,
    /// Encoding of the database.
    pub encoding: String,
    /// Slots that may still be created.
    pub slots_free: i64,
    /// Walsenders that may still be started.
    pub senders_free: i64,
    /// Whether the role may replicate.
    pub may_replicate: bool,
    /// The role asked about.
    pub user: String,
    /// The server is a standby.
    pub in_recovery: bool,
    /// `wal_sender_timeout`, milliseconds; 0 for none.
    pub wal_sender_timeout_ms: i64,
    /// `max_slot_wal_keep_size`, megabytes; −1 for unlimited.
    pub slot_wal_keep_megabytes: i64,
    /// `hot_standby_feedback`: a standby's primary keeps the rows that it needs.
    pub hot_standby_feedback: bool,
    /// `synchronized_standby_slots`, from 17 on: standbys that receive the log before slots with a copy there
    /// are served. Empty for none.
    pub synchronized_standby_slots: String,
}

/// Reads the settings and rights that replication depends on.
pub async fn inspect_server(client: &Client) -> Result<Server, Error> {
    const QUERY: &str = "
        select current_setting('server_version_num')::int,
               current_setting('server_version'),
               current_setting('wal_level'),
               (select pg_encoding_to_char(encoding) from pg_database
                 where datname = current_database()),
               current_setting('max_replication_slots')::bigint
                 - (select count(*) from pg_replication_slots),
               current_setting('max_wal_senders')::bigint
                 - (select count(*) from pg_stat_replication),
               (select rolreplication or rolsuper from pg_roles where rolname = current_user),
               current_user::text,
               pg_is_in_recovery(),
               (select setting::bigint from pg_settings where name = 'wal_sender_timeout'),
               (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size'),
               current_setting('hot_standby_feedback')::boolean,
               coalesce(current_setting('synchronized_standby_slots', true), '')";
    let row = client.query_one(QUERY, &[]).await;
    let row = row.map_err(Error::query("reading the server's settings"))?;
    Ok(Server {
        version: row.get(0),
        version_text: row.get(1),
        wal_level: row.get(2),
        encoding: row.get(3),
        slots_free: row.get(4),
        senders_free: row.get(5),
        may_replicate: row.get::<_, Option<bool>>(6).unwrap_or(false),
        user: row.get(7),
        in_recovery: row.get(8),
        wal_sender_timeout_ms: row.get(9),
        slot_wal_keep_megabytes: row.get::<_, Option<i64>>(10).unwrap_or(-1),
        hot_standby_feedback: row.get(11),
        synchronized_standby_slots: row.get(12),
    })
}

impl Server {
    /// Every reason why replication can't start, worst first; none when it can. `slot_exists`: no new
    /// one is needed.
    pub fn faults(&self, slot_exists: bool) -> Vec<Error> {
        let mut faults = Vec::new();
        // `messages`, which carries the heartbeats, came to pgoutput with 14.
        if self.version < 140_000 {
            faults.push(Error::Version {
                found: self.version_text.clone(),
            });
        }
        if self.in_recovery && self.version < 160_000 {
            faults.push(Error::Standby(Error::STANDBY_TOO_OLD));
        }
        if self.wal_level != "logical" {
            faults.push(Error::WalLevel {
                found: self.wal_level.clone(),
            });
        }
        if !self.may_replicate {
            faults.push(Error::ReplicationRight {
                user: self.user.clone(),
            });
        }
        if self.encoding == "SQL_ASCII" {
            faults.push(Error::Encoding {
                found: self.encoding.clone(),
            });
        }
        if self.slots_free <= 0 && !slot_exists {
            faults.push(Error::NoFreeSlot);
        }
        if self.senders_free <= 0 {
            faults.push(Error::NoFreeSender);
        }
        faults
    }

    /// Whether the server can do what only a primary, or the standbys of a newer one, can: keep copies of
    /// the slot on standbys, and take heartbeats.
    pub fn check_standby(&self, slot_failover: bool, heartbeats: bool) -> Result<(), Error> {
        if slot_failover && self.version < 170_000 {
            let found = self.version_text.clone();
            return Err(Error::FailoverVersion { found });
        }
        if slot_failover && self.in_recovery {
            return Err(Error::Standby(Error::STANDBY_FAILOVER));
        }
        if heartbeats && self.in_recovery {
            return Err(Error::Standby(Error::STANDBY_SILENT));
        }
        Ok(())
    }

    /// The worst of [`Server::faults`].
    pub fn check(&self, slot_exists: bool) -> Result<(), Error> {
        self.faults(slot_exists)
            .into_iter()
            .next()
            .map_or(Ok(()), Err)
    }
}

#[cfg(test)]
impl Server {
    /// One that nothing is wrong with.
    pub(crate) fn example() -> Server {
        Server {
            version: 150_004,
            version_text: "15.4".to_owned(),
            wal_level: "logical".to_owned(),
            encoding: "UTF8".to_owned(),
            slots_free: 1,
            senders_free: 1,
            may_replicate: true,
            user: "till".to_owned(),
            in_recovery: false,
            wal_sender_timeout_ms: 60_000,
            slot_wal_keep_megabytes: -1,
            hot_standby_feedback: false,
            synchronized_standby_slots: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitCode;

    #[test]
    fn each_fault_has_its_code_and_remedy() {
        let check = |server: Server, code: ExitCode, remedy: &str| {
            let error = server.check(false).expect_err(remedy);
            assert_eq!(error.exit_code(), code);
            assert!(error.to_string().contains(remedy), "{error}");
        };
        assert!(Server::example().check(false).is_ok());
        let settings = ExitCode::SourceSettings;
        check(
            Server {
                version: 130_023,
                ..Server::example()
            },
            settings,
            "14 or later",
        );
        check(
            Server {
                in_recovery: true,
                ..Server::example()
            },
            settings,
            "name its primary in source.url",
        );
        check(
            Server {
                wal_level: "replica".to_owned(),
                ..Server::example()
            },
            settings,
            "alter system set wal_level = logical",
        );
        check(
            Server {
                may_replicate: false,
                ..Server::example()
            },
            ExitCode::SourceRights,
            "alter role \"till\" replication",
        );
        check(
            Server {
                slots_free: 0,
                ..Server::example()
            },
            settings,
            "max_replication_slots",
        );
        check(
            Server {
                senders_free: 0,
                ..Server::example()
            },
            settings,
            "max_wal_senders",
        );
        assert!(
            Server {
                slots_free: 0,
                ..Server::example()
            }
            .check(true)
            .is_ok(),
            "the slot exists"
        );
    }

    #[test]
    fn what_a_standby_cannot_do_is_refused() {
        let standby = Server {
            version: 170_002,
            in_recovery: true,
            ..Server::example()
        };
        let check = |server: &Server, failover, heartbeats, expected: &str| {
            let checked = server.check_standby(failover, heartbeats);
            let found = checked.err().map_or(String::new(), |e| e.to_string());
            assert!(found.contains(expected), "{found}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
        };
        check(&standby, false, false, "");
        check(&standby, false, true, "source.primary_url");
        check(&standby, true, false, "source.slot_failover = false");
        check(&Server::example(), false, true, "");
        check(&Server::example(), true, true, "17 or later");
        let primary = Server {
            in_recovery: false,
            ..standby
        };
        check(&primary, true, true, "");
    }

    #[test]
    fn histories_are_read() {
        let text = "1\t0/15F5E50\tno recovery target specified\n\n# note\n2\t1/0\tx y\n";
        let expected = vec![
            Switch {
                timeline: 1,
                at: Lsn(0x15F_5E50),
            },
            Switch {
                timeline: 2,
                at: Lsn(1 << 32),
            },
        ];
        assert_eq!(parse_history(text), Some(expected));
        assert_eq!(parse_history("1\tnowhere"), None);
    }
}

//! The replication slot: created, read, checked, freed and dropped.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::session::slot_error;
use super::{Error, Session};
use crate::connection::{ServerError, quote_identifier, quote_literal};
use crate::event::Lsn;

/// Output plugin of every slot of ours.
const PLUGIN: &str = "pgoutput";
/// How long a terminated walsender may take to let go of the slot.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often that is looked at.
const RELEASE_POLL: Duration = Duration::from_millis(20);

/// Whether a new slot's consistent point can be read by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotExport {
    /// The session exports its snapshot; it lives until the session's next command.
    Export,
    /// No snapshot is needed.
    Nothing,
}

/// A slot just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Changes that commit from here on are streamed.
    pub consistent_point: Lsn,
    /// Name of the exported snapshot, which sees everything before it.
    pub snapshot: Option<String>,
}

/// Creates a logical slot. Waits until every transaction that is writing now has ended.
pub async fn create_slot(
    session: &mut Session,
    name: &str,
    temporary: bool,
    export: SnapshotExport,
) -> Result<CreatedSlot, Error> {
    let temporary = if temporary { " TEMPORARY" } else { "" };
    let snapshot = match export {
        SnapshotExport::Export => "EXPORT_SNAPSHOT",
        SnapshotExport::Nothing => "NOEXPORT_SNAPSHOT",
    };
    let slot = quote_identifier(name);
    let command = format!("CREATE_REPLICATION_SLOT {slot}{temporary} LOGICAL {PLUGIN} {snapshot}");
    let rows = session
        .query(&command)
        .await
        .map_err(|error| meant(name, error))?;
    let mut columns = rows
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_iter()
        .skip(1);
    let point = columns.next().flatten().and_then(|text| text.parse().ok());
    let consistent_point = point.ok_or_else(|| Error::SlotUnusable {
        slot: name.to_owned(),
        why: "the server gave no consistent point".to_owned(),
    })?;
    Ok(CreatedSlot {
        consistent_point,
        snapshot: columns.next().flatten(),
    })
}

/// Copies a logical slot into a temporary one of the session, which begins where the other stands; that
/// LSN. The other may be in use.
pub async fn copy_slot(session: &mut Session, from: &str, to: &str) -> Result<Lsn, Error> {
    let command = format!(
        "select lsn from pg_copy_logical_replication_slot({}, {}, true)",
        quote_literal(from),
        quote_literal(to)
    );
    let rows = session.query(&command).await;
    let rows = rows.map_err(|error| meant(from, error))?;
    let lsn = rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().next()?);
    lsn.and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::SlotUnusable {
            slot: from.to_owned(),
            why: "the server gave no position for its copy".to_owned(),
        })
}

/// Has standbys keep a copy of a slot that nobody reads, from 17 on. `false`: they do already.
pub async fn enable_failover(
    session: &mut Session,
    client: &Client,
    name: &str,
) -> Result<bool, Error> {
    let state = read_slot(client, name).await?;
    if state.is_some_and(|state| state.failover != Failover::Alone) {
        return Ok(false);
    }
    let slot = quote_identifier(name);
    let altered = session
        .query(&format!("ALTER_REPLICATION_SLOT {slot} (FAILOVER true)"))
        .await;
    altered.map(|_| true).map_err(|error| meant(name, error))
}

/// Drops a slot by a replication session.
pub async fn drop_slot(session: &mut Session, name: &str) -> Result<(), Error> {
    let command = format!("DROP_REPLICATION_SLOT {}", quote_identifier(name));
    session
        .query(&command)
        .await
        .map(|_| ())
        .map_err(|error| meant(name, error))
}

fn meant(slot: &str, error: Error) -> Error {
    if let Error::Server { source, .. } = error {
        slot_error(slot, source)
    } else {
        error
    }
}

/// Whether standbys have copies of a slot, from 17 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// None.
    Alone,
    /// Standbys that copy slots copy this one.
    Copied,
    /// It is a standby's copy of its primary's slot.
    Copy,
}

/// A slot as `pg_replication_slots` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// Output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database; `None` for a physical slot.
    pub database: Option<String>,
    /// Ends with its session.
    pub temporary: bool,
    /// Backend that reads it now.
    pub active_pid: Option<i32>,
    /// Oldest log that the server keeps for it.
    pub restart_lsn: Option<Lsn>,
    /// Everything that commits before this has been confirmed.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Bytes that may still be written before it may be lost; `None`: no limit.
    pub safe_wal_bytes: Option<i64>,
    /// Bytes of log from `restart_lsn` to the end.
    pub retained_bytes: Option<i64>,
    /// Why the server has given it up: `wal_removed`, `rows_removed`, `wal_level_insufficient` and
    /// `idle_timeout` of `invalidation_reason`, or `conflict` of 16, which does not say more.
    pub given_up: Option<String>,
    /// Whether standbys have copies of it.
    pub failover: Failover,
    /// Database of the session that asked.
    pub current_database: String,
}

impl SlotState {
    /// The server has removed log that the slot needs.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
            || self.given_up.is_some()
            || self.confirmed_flush_lsn.is_none()
    }

    /// Why it is lost, as far as the server says.
    pub fn why_lost(&self) -> &'static str {
        match self.given_up.as_deref() {
            Some("rows_removed") => "its standby had to remove rows of the catalog that it needs",
            Some("wal_level_insufficient") => "wal_level was lowered on the primary",
            Some("idle_timeout") => "nobody has read it for idle_replication_slot_timeout",
            Some("conflict") => "it was in the way of its standby's recovery",
            _ => "the server has removed its log",
        }
    }
}

/// Reads a slot; `None` if there is none of that name. Columns that the server's version does not have
/// are read as if they said nothing.
pub async fn read_slot(client: &Client, name: &str) -> Result<Option<SlotState>, Error> {
    const QUERY: &str = "
        select plugin::text, database::text, temporary, active_pid,
               restart_lsn::text, confirmed_flush_lsn::text, wal_status, safe_wal_size,
               pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                    else pg_current_wal_lsn() end, restart_lsn)::bigint,
               coalesce(to_jsonb(slot) ->> 'invalidation_reason',
                        case when (to_jsonb(slot) ->> 'conflicting')::boolean then 'conflict' end),
               coalesce((to_jsonb(slot) ->> 'failover')::boolean, false),
               coalesce((to_jsonb(slot) ->> 'synced')::boolean, false) and pg_is_in_recovery(),
               current_database()::text
          from pg_replication_slots slot where slot_name = $1";
    let row = client.query_opt(QUERY, &[&name]).await;
    let row = row.map_err(Error::query("reading the replication slot"))?;
    let lsn = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    Ok(row.map(|row| SlotState {
        plugin: row.get(0),
        database: row.get(1),
        temporary: row.get(2),
        active_pid: row.get(3),
        restart_lsn: lsn(row.get(4)),
        confirmed_flush_lsn: lsn(row.get(5)),
        wal_status: row.get(6),
        safe_wal_bytes: row.get(7),
        retained_bytes: row.get(8),
        given_up: row.get(9),
        failover: match (row.get(10), row.get(11)) {
            (_, true) => Failover::Copy,
            (true, false) => Failover::Copied,
            (false, false) => Failover::Alone,
        },
        current_database: row.get(12),
    }))
}

/// Checks that a slot is of our kind. Whether it is lost is for the caller to see: a start may repair
/// that.
pub fn check_slot(name: &str, state: &SlotState) -> Result<(), Error> {
    let unusable = |why: String| {
        Err(Error::SlotUnusable {
            slot: name.to_owned(),
            why,
        })
    };
    let Some(plugin) = &state.plugin else {
        return unusable("it is a physical slot".to_owned());
    };
    if plugin != PLUGIN {
        return unusable(format!("it belongs to the plugin {plugin}, not {PLUGIN}"));
    }
    if state.failover == Failover::Copy {
        return unusable(
            "it is this standby's copy of its primary's slot, for the time after a promotion; \
             capture from the primary"
                .to_owned(),
        );
    }
    match &state.database {
        Some(database) if *database != state.current_database => {
            unusable(format!("it belongs to the database {database}"))
        }
        _ if state.temporary => unusable("it is another session's temporary slot".to_owned()),
        _ => Ok(()),
    }
}

/// Ends whatever reads the slot and waits until the slot is free. For the holder of the lease only:
/// then it can only be a walsender whose client is gone. `true`: there was one.
pub async fn terminate_walsender(client: &Client, name: &str) -> Result<bool, Error> {
    const QUERY: &str = "
        select active_pid, pg_terminate_backend(active_pid)
          from pg_replication_slots where slot_name = $1 and active_pid is not null";
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    let mut found = false;
    loop {
        let row = client.query_opt(QUERY, &[&name]).await;
        let Some(row) = row.map_err(|error| terminate_error(name, error))? else {
            return Ok(found);
        };
        found = true;
        if Instant::now() >= deadline {
            return Err(Error::SlotBusy {
                slot: name.to_owned(),
                pid: row.get(0),
            });
        }
        tokio::time::sleep(RELEASE_POLL).await;
    }
}

fn terminate_error(name: &str, error: tokio_postgres::Error) -> Error {
    match error.as_db_error().map(ServerError::from) {
        Some(source) if source.code == "42501" => Error::Right {
            action: format!("ending the process that holds slot {name}"),
            source,
            remedy: "wait for it to end, or `grant pg_signal_backend` to the role".to_owned(),
        },
        _ => Error::query("ending the slot's reader")(error),
    }
}

#[cfg(test)]
impl SlotState {
    /// A slot of ours that nothing is wrong with.
    pub(crate) fn example() -> SlotState {
        SlotState {
            plugin: Some(PLUGIN.to_owned()),
            database: Some("shop".to_owned()),
            temporary: false,
            active_pid: None,
            restart_lsn: Some(Lsn(1)),
            confirmed_flush_lsn: Some(Lsn(2)),
            wal_status: Some("reserved".to_owned()),
            safe_wal_bytes: None,
            retained_bytes: Some(0),
            given_up: None,
            failover: Failover::Alone,
            current_database: "shop".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_kind_of_slot_is_used() {
        let check = |state: SlotState, part: &str| {
            let error = check_slot("s", &state).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        };
        assert!(check_slot("s", &SlotState::example()).is_ok());
        check(
            SlotState {
                plugin: None,
                ..SlotState::example()
            },
            "physical",
        );
        check(
            SlotState {
                plugin: Some("wal2json".to_owned()),
                ..SlotState::example()
            },
            "wal2json",
        );
        check(
            SlotState {
                database: Some("bank".to_owned()),
                ..SlotState::example()
            },
            "database bank",
        );
        check(
            SlotState {
                temporary: true,
                ..SlotState::example()
            },
            "temporary",
        );
        check(
            SlotState {
                failover: Failover::Copy,
                ..SlotState::example()
            },
            "capture from the primary",
        );
    }

    #[test]
    fn a_lost_slot_is_seen() {
        assert!(!SlotState::example().is_lost());
        let lost = |state: SlotState, why: &str| {
            assert!(state.is_lost(), "{why}");
            assert!(state.why_lost().contains(why), "{}", state.why_lost());
        };
        lost(
            SlotState {
                wal_status: Some("lost".to_owned()),
                ..SlotState::example()
            },
            "removed its log",
        );
        for (reason, why) in [
            ("wal_removed", "removed its log"),
            ("rows_removed", "rows of the catalog"),
            ("wal_level_insufficient", "wal_level"),
            ("idle_timeout", "idle_replication_slot_timeout"),
            ("conflict", "recovery"),
        ] {
            lost(
                SlotState {
                    given_up: Some(reason.to_owned()),
                    ..SlotState::example()
                },
                why,
            );
        }
    }
}

//! What ends replication, or makes it start over.

use crate::connection;
use crate::event::selection::{RouteError, SelectionError};
use crate::event::{EncodeError, Lsn, Position};
use crate::exit::ExitCode;
use crate::kafka;
use crate::pgoutput::ParseError;
use crate::postgres::{self, RowsError};
use crate::registry;

/// A failure of the replicator. Transient ones make it reconnect, with a growing pause; the others end
/// it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source could not be reached.
    #[error("source database")]
    Connection(#[from] connection::Error),
    /// The source's server, slot or publication.
    #[error("source")]
    Postgres(#[from] postgres::Error),
    /// Kafka.
    #[error("kafka")]
    Kafka(#[from] kafka::Error),
    /// The schema registry.
    #[error("schema registry")]
    Registry(#[from] registry::Error),
    /// The row store.
    #[error(transparent)]
    RowStore(#[from] super::row_store::Error),
    /// A message of the replication stream that we cannot read.
    #[error("malformed message in the replication stream at {lsn}")]
    Malformed {
        /// Where it stands in the log.
        lsn: Lsn,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A row that cannot become an event.
    #[error("cannot encode the change at {lsn}")]
    Encode {
        /// Where it stands in the log.
        lsn: Lsn,
        /// What is wrong with it.
        source: EncodeError,
    },
    /// A change of a relation that was never described: the server broke the protocol.
    #[error("change of the unknown relation {relation} at {lsn}: the server never described it")]
    UnknownRelation {
        /// Its object id.
        relation: u32,
        /// Where the change stands in the log.
        lsn: Lsn,
    },
    /// A change of a table that a snapshot was resumed on, without the key that tells whether it was read.
    #[error(
        "the change of {table} at {lsn} does not carry the key's column {column}, so it cannot be told \
         whether the snapshot has read it: the table's key or replica identity was altered while the \
         snapshot was interrupted. drop the slot and start with source.snapshot = \"when-needed\" to read \
         the tables anew"
    )]
    KeyMissing {
        /// `schema.table`.
        table: String,
        /// The column.
        column: String,
        /// Where the change stands in the log.
        lsn: Lsn,
    },
    /// A message outside a transaction, or a transaction inside another: the server broke the protocol.
    #[error("{message} at {lsn} where the protocol does not allow it")]
    OutOfPlace {
        /// The message's name.
        message: &'static str,
        /// Where it stands in the log.
        lsn: Lsn,
    },
    /// The transaction that was published in part comes back different.
    #[error(
        "the transaction at {commit_lsn} differs from the one published in part up to change \
         {ordinal}: expected that change at {expected}, found it at {found}; the publication or its \
         options have changed since. restore them, or take a new snapshot with \
         source.snapshot = \"when-needed\" after dropping the slot"
    )]
    SplitDiffers {
        /// The transaction.
        commit_lsn: Lsn,
        /// The last published change.
        ordinal: u64,
        /// Its recorded LSN.
        expected: Lsn,
        /// Its LSN now.
        found: Lsn,
    },
    /// Changes are missing between the position and the slot.
    #[error(
        "changes from {from} to {until} are missing: slot \"{slot}\" no longer holds them. set \
         source.snapshot = \"when-needed\" to read the tables again, or restore the slot"
    )]
    HistoryLost {
        /// The slot.
        slot: String,
        /// First missing LSN.
        from: Lsn,
        /// The slot's present LSN, or that it is gone.
        until: String,
    },
    /// `only`, where a stream has its position.
    #[error(
        "slot \"{slot}\" streams already, and source.snapshot = \"only\" would pass over what it has still \
         to publish: use another kafka.prefix and source.slot for a single reading"
    )]
    StreamExists {
        /// The slot.
        slot: String,
    },
    /// The slot exists, no position does, and the topics are not empty.
    #[error(
        "slot \"{slot}\" exists, but topic {position_topic} holds no position and topic {topic} is not \
         empty: another tidewater or another prefix may use the slot. name another source.slot, or \
         drop the slot with select pg_drop_replication_slot('{slot}') and delete the topics"
    )]
    PositionMissing {
        /// The slot.
        slot: String,
        /// The topic that should hold the position.
        position_topic: String,
        /// A topic that holds records.
        topic: String,
    },
    /// The recorded position is of another server or database.
    #[error(
        "the position in {topic} is of system {recorded}, but the source is system {found}: this is \
         another server. use another kafka.prefix or source.slot, or accept the new source with \
         tidewater position adopt"
    )]
    SourceChanged {
        /// The position topic.
        topic: String,
        /// System identifier and database of the record.
        recorded: String,
        /// Those of the source.
        found: String,
    },
    /// The source is on a timeline that left ours before the recorded position.
    #[error(
        "the recorded position {position} is past {switched}, where the source left timeline {recorded} \
         for {found}: changes that were published never happened there. accept the new history with \
         tidewater position adopt, which takes a new snapshot in the next epoch"
    )]
    TimelineLeft {
        /// The recorded LSN.
        position: Lsn,
        /// Where the timeline of the record ended.
        switched: Lsn,
        /// Timeline of the record.
        recorded: u32,
        /// The source's.
        found: u32,
    },
    /// A transaction was published in part, and the rest would be selected in another way.
    #[error(
        "the transaction at {commit_lsn} was published in part, and the publication's name or the stream's \
         options have changed since: start once with those before, then change them"
    )]
    OptionsChanged {
        /// The transaction.
        commit_lsn: Lsn,
    },
    /// A topic that events went to does not exist any more.
    #[error(
        "topic {topic} held events and is gone: restore it, or begin anew with another kafka.prefix and \
         source.slot"
    )]
    TopicGone {
        /// The topic.
        topic: String,
    },
    /// A topic that events went to is another one now.
    #[error(
        "topic {topic} was {recorded} and is {found}: it was recreated or repartitioned, and what it held \
         or the order per key is lost. begin anew with another kafka.prefix and source.slot"
    )]
    TopicReplaced {
        /// The topic.
        topic: String,
        /// As it was when the first event went there.
        recorded: String,
        /// As it is.
        found: String,
    },
    /// Another process has moved the position.
    #[error(
        "another replicator has moved the position from {} to {}: this one ends",
        display(expected.as_ref()), display(found.as_ref())
    )]
    PositionMoved {
        /// Our last acknowledged position.
        expected: Option<Position>,
        /// The committed one.
        found: Option<Position>,
    },
    /// A replicator is running.
    #[error("the lease \"{name}\" is held by {holder}: stop that replicator first")]
    LeaseHeld {
        /// The lock's name.
        name: String,
        /// Who holds it.
        holder: String,
    },
    /// A position that the source has not reached.
    #[error("lsn {lsn} is past the end of the source's log, {end}: name an lsn up to there")]
    PositionAhead {
        /// As asked for.
        lsn: Lsn,
        /// End of the flushed log.
        end: Lsn,
    },
    /// A position that the slot no longer holds.
    #[error(
        "the slot no longer holds changes before {confirmed}: name an lsn from there on, not {lsn}"
    )]
    PositionBehindSlot {
        /// As asked for.
        lsn: Lsn,
        /// `confirmed_flush_lsn` of the slot.
        confirmed: Lsn,
    },
    /// The advisory lock is no longer ours.
    #[error("the lease \"{name}\" is no longer held: its connection was lost")]
    LeaseLost {
        /// The lock's name.
        name: String,
    },
    /// The source answers no status.
    #[error("the source has been silent for {seconds} s")]
    SourceSilent {
        /// For how long.
        seconds: u64,
    },
    /// The last commit did not come in time.
    #[error(
        "the last batch was not committed within {seconds} s of the shutdown; it will be sent again"
    )]
    DrainTimedOut {
        /// For how long it was waited for.
        seconds: u64,
    },
    /// A heartbeat could not be written.
    #[error("cannot write the heartbeat")]
    Heartbeat(#[source] tokio_postgres::Error),
    /// The control connection failed.
    #[error("source catalog query failed")]
    Catalog(#[source] tokio_postgres::Error),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The step file could not be opened.
    #[error("cannot open the step file")]
    Steps(#[source] std::io::Error),
    /// The publisher's thread panicked.
    #[error("the publisher ended without an outcome")]
    PublisherEnded,
    /// A snapshot worker's thread panicked.
    #[error("a snapshot worker ended without an outcome")]
    WorkerEnded,
    /// A table that was asked for is not captured.
    #[error(
        "no table that publication \"{publication}\" has and source.tables selects matches \"{pattern}\": \
         name some of {captured}"
    )]
    NotCaptured {
        /// What was asked for.
        pattern: String,
        /// The publication.
        publication: String,
        /// What there is.
        captured: String,
    },
    /// What was asked for cannot be read as a pattern.
    #[error("table to read again")]
    AskedPattern(#[source] postgres::PatternsError),
    /// There is no slot, so nobody would see the request.
    #[error(
        "slot \"{slot}\" does not exist: no replicator has been started yet, and its first start reads \
         every table"
    )]
    NotStarted {
        /// The slot.
        slot: String,
    },
    /// A request that is not recorded.
    #[error(
        "no snapshot request \"{id}\" is recorded in {topic}{}: tidewater snapshot show lists those that are",
        if *.running { "" } else { ", and no replicator is running that would take it up" }
    )]
    UnknownRequest {
        /// What was named.
        id: String,
        /// The position topic.
        topic: String,
        /// Whether a replicator is running.
        running: bool,
    },
    /// A request that cannot be paused, resumed or cancelled any more.
    #[error("snapshot request \"{id}\" is {state}: there is nothing to {to} of it")]
    RequestState {
        /// The request.
        id: String,
        /// Its state.
        state: &'static str,
        /// What was to be done.
        to: &'static str,
    },
    /// There is no request to be paused, resumed or cancelled.
    #[error("no ad hoc snapshot is there to {to}: tidewater snapshot show lists the last ones")]
    NoRequest {
        /// What was to be done.
        to: &'static str,
    },
    /// A standby's `pg_current_snapshot()` lists no running transaction (procarray.c: they are among the
    /// subtransactions there), so what its chunks show cannot be told.
    #[error(
        "the source is a standby, whose snapshots do not tell which transactions they see: tables are read \
         beside the stream from a primary only"
    )]
    StandbyRead,
    /// The message could not be written.
    #[error("cannot write the request into the source's log")]
    Request(#[source] tokio_postgres::Error),
    /// What the source answered while a chunk was read is not what was asked for.
    #[error("the source's answers while a chunk was read cannot be understood")]
    SnapshotUnreadable,
    /// A table pattern that cannot be read.
    #[error("source.tables")]
    Patterns(#[source] postgres::PatternsError),
    /// A table cannot be published as the configuration asks for.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A row of an outbox names no topic that it could be routed to.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A row of an outbox was updated.
    #[error(
        "table {table}: a row was updated at {lsn}, but the table is an outbox, whose rows are events, and \
         outbox.on_update is \"stop\"; mend the writer, and start once with on_update = \"warn\" to leave the \
         update out"
    )]
    OutboxUpdated {
        /// Schema and table.
        table: String,
        /// Of the update.
        lsn: Lsn,
    },
    /// A table's topic is one that rows of an outbox are routed to.
    #[error(
        "table {table}: its topic {topic} is one that rows of an outbox are routed to already; choose another \
         outbox.topic, or another topic with [[route]]"
    )]
    TopicRouted {
        /// Schema and table.
        table: String,
        /// The topic.
        topic: String,
    },
    /// A table has become another than its readers may count on.
    #[error(
        "table {table} at {position}: {change}, and its policy is to stop on incompatible changes. make \
         its readers fit, and accept it by starting once with on_incompatible_change = \"continue\""
    )]
    SchemaIncompatible {
        /// Schema and table.
        table: String,
        /// What has changed.
        change: String,
        /// The first change of a row after it.
        position: Position,
    },
    /// A record of the schema-changes topic that cannot be read.
    #[error(
        "topic {topic} holds a record that is no schema version, at offset {offset}: delete the topic"
    )]
    SchemaRecord {
        /// The topic.
        topic: String,
        /// Where the record lies.
        offset: i64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A section of the configuration that this role needs is missing.
    #[error("the configuration has no [{0}] section, which replication needs")]
    SectionMissing(&'static str),
    /// A capture file.
    #[error(transparent)]
    File(#[from] super::recording::FileError),
    /// Stopped on request, or before a fresh start.
    #[error("interrupted")]
    Interrupted,
}

impl From<RowsError<Error>> for Error {
    fn from(error: RowsError<Error>) -> Self {
        match error {
            RowsError::Source(source) => Error::Postgres(source),
            RowsError::Row(error) => error,
        }
    }
}

fn display(position: Option<&Position>) -> String {
    position.map_or_else(|| "none".to_owned(), Position::to_string)
}

impl Error {
    /// Whether a fresh start may mend it.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connection(error) => error.is_transient(),
            Error::Postgres(error) => error.is_transient(),
            Error::Kafka(error) => error.is_transient(),
            Error::Registry(error) => error.is_transient(),
            Error::RowStore(error) => error.is_transient(),
            Error::LeaseLost { .. }
            | Error::SourceSilent { .. }
            | Error::Heartbeat(_)
            | Error::Catalog(_)
            | Error::Interrupted => true,
            Error::Malformed { .. }
            | Error::Encode { .. }
            | Error::UnknownRelation { .. }
            | Error::OutOfPlace { .. }
            | Error::KeyMissing { .. }
            | Error::SplitDiffers { .. }
            | Error::HistoryLost { .. }
            | Error::PositionMissing { .. }
            | Error::StreamExists { .. }
            | Error::SourceChanged { .. }
            | Error::TimelineLeft { .. }
            | Error::OptionsChanged { .. }
            | Error::TopicGone { .. }
            | Error::TopicReplaced { .. }
            | Error::PositionMoved { .. }
            | Error::LeaseHeld { .. }
            | Error::PositionAhead { .. }
            | Error::PositionBehindSlot { .. }
            | Error::DrainTimedOut { .. }
            | Error::Thread(_)
            | Error::Steps(_)
            | Error::PublisherEnded
            | Error::WorkerEnded
            | Error::SnapshotUnreadable
            | Error::NotCaptured { .. }
            | Error::AskedPattern(_)
            | Error::NotStarted { .. }
            | Error::UnknownRequest { .. }
            | Error::RequestState { .. }
            | Error::NoRequest { .. }
            | Error::StandbyRead
            | Error::Request(_)
            | Error::Patterns(_)
            | Error::Selection(_)
            | Error::Route(_)
            | Error::OutboxUpdated { .. }
            | Error::TopicRouted { .. }
            | Error::SchemaIncompatible { .. }
            | Error::SchemaRecord { .. }
            | Error::SectionMissing(_)
            | Error::File(_) => false,
        }
    }

    /// Whether a lock was waited for in vain, for as long as it may be.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        matches!(self, Error::Postgres(postgres::Error::Server { source, .. })
            if source.code == LOCK_NOT_AVAILABLE)
    }

    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Connection(error) => error.exit_code(),
            Error::Postgres(error) => error.exit_code(),
            Error::File(error) => error.exit_code(),
            Error::Kafka(error) => error.exit_code(),
            Error::Registry(error) => error.exit_code(),
            Error::RowStore(error) => error.exit_code(),
            Error::SplitDiffers { .. }
            | Error::KeyMissing { .. }
            | Error::HistoryLost { .. }
            | Error::PositionMissing { .. } => ExitCode::HistoryLost,
            Error::SourceChanged { .. } | Error::TimelineLeft { .. } => ExitCode::SourceChanged,
            Error::OptionsChanged { .. }
            | Error::Selection(_)
            | Error::Route(_)
            | Error::OutboxUpdated { .. }
            | Error::TopicRouted { .. }
            | Error::NotCaptured { .. }
            | Error::SchemaIncompatible { .. } => ExitCode::SourceTables,
            Error::SchemaRecord { .. } => ExitCode::TopicContent,
            Error::TopicGone { .. } | Error::TopicReplaced { .. } => ExitCode::TopicUnusable,
            Error::PositionMoved { .. } => ExitCode::Fenced,
            Error::LeaseLost { .. } | Error::LeaseHeld { .. } => ExitCode::SlotBusy,
            Error::PositionAhead { .. } => ExitCode::Configuration,
            Error::PositionBehindSlot { .. } => ExitCode::HistoryLost,
            Error::SourceSilent { .. }
            | Error::Heartbeat(_)
            | Error::Catalog(_)
            | Error::Request(_) => ExitCode::SourceUnreachable,
            Error::SectionMissing(_)
            | Error::Patterns(_)
            | Error::StreamExists { .. }
            | Error::AskedPattern(_)
            | Error::NotStarted { .. }
            | Error::UnknownRequest { .. }
            | Error::RequestState { .. }
            | Error::NoRequest { .. }
            | Error::StandbyRead => ExitCode::Configuration,
            Error::Encode { source, .. } => source.exit_code(),
            Error::Malformed { .. }
            | Error::UnknownRelation { .. }
            | Error::OutOfPlace { .. }
            | Error::DrainTimedOut { .. }
            | Error::Thread(_)
            | Error::Steps(_)
            | Error::PublisherEnded
            | Error::WorkerEnded
            | Error::SnapshotUnreadable
            | Error::Interrupted => ExitCode::Failure,
        }
    }
}

//! Exit codes: one per kind of failure, so that a supervisor or a script can tell them apart.

/// What the process tells its parent when it ends. The numbers are a public interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything asked for was done.
    Success = 0,
    /// A failure that no other code names: a bug, or an operating system error.
    Failure = 1,
    /// Wrong command-line arguments, or faults in the configuration.
    Configuration = 2,
    /// `verify` found differences, or `doctor` found an error.
    Findings = 3,
    /// No PostgreSQL source answered at any of the configured addresses.
    SourceUnreachable = 10,
    /// The source refused the user, the password or the certificate.
    SourceAuthentication = 11,
    /// The source user lacks a right: REPLICATION, SELECT, or creating the publication.
    SourceRights = 12,
    /// A setting of the source server forbids replication, `wal_level` for instance.
    SourceSettings = 13,
    /// The slot exists but is not ours to use: another plugin, database or kind.
    SlotUnusable = 14,
    /// The slot is past the position, lost or dropped: changes are missing.
    HistoryLost = 15,
    /// Another replicator holds the slot.
    SlotBusy = 16,
    /// The source is another system, database or timeline than the one recorded.
    SourceChanged = 17,
    /// The publication or a table is not as configured.
    SourceTables = 18,
    /// No Kafka broker answered.
    KafkaUnreachable = 20,
    /// A topic's settings can't carry the stream: message size, partitions, cleanup policy.
    TopicUnusable = 21,
    /// Another process took over the transactional id.
    Fenced = 22,
    /// A row is larger than the topic accepts.
    RecordTooLarge = 23,
    /// Kafka refused: authentication, authorization or a fatal client error.
    KafkaRefused = 24,
    /// The schema registry did not answer.
    RegistryUnreachable = 25,
    /// The schema registry refused: authentication, or a schema that is incompatible or not registered.
    RegistryRefused = 26,
    /// The sink database did not answer.
    SinkUnreachable = 30,
    /// The sink refused the user, or a right is missing.
    SinkRefused = 31,
    /// The sink's schema is newer than this binary, or not tidewater's.
    SinkSchema = 32,
    /// A topic holds what the retail half cannot read, or no longer what it needs.
    TopicContent = 33,
}

impl ExitCode {
    /// Every code with what it means: what `--help` and the documentation go by.
    pub const ALL: &[(ExitCode, &str)] = &[
        (ExitCode::Success, "everything asked for was done"),
        (
            ExitCode::Failure,
            "a failure that no other code names: a bug, or an operating system error",
        ),
        (
            ExitCode::Configuration,
            "wrong command-line arguments, or faults in the configuration",
        ),
        (
            ExitCode::Findings,
            "`verify` found differences, or `doctor` found an error",
        ),
        (
            ExitCode::SourceUnreachable,
            "No PostgreSQL source answered at any of the configured addresses",
        ),
        (
            ExitCode::SourceAuthentication,
            "the source refused the user, the password or the certificate",
        ),
        (
            ExitCode::SourceRights,
            "the source user lacks a right: REPLICATION, SELECT, or creating the publication",
        ),
        (
            ExitCode::SourceSettings,
            "a setting of the source server forbids replication, `wal_level` for instance",
        ),
        (
            ExitCode::SlotUnusable,
            "the slot exists but is not ours to use: another plugin, database or kind",
        ),
        (
            ExitCode::HistoryLost,
            "the slot is past the position, lost or dropped: changes are missing",
        ),
        (ExitCode::SlotBusy, "another replicator holds the slot"),
        (
            ExitCode::SourceChanged,
            "the source is another system, database or timeline than the one recorded",
        ),
        (
            ExitCode::SourceTables,
            "the publication or a table is not as configured",
        ),
        (ExitCode::KafkaUnreachable, "no Kafka broker answered"),
        (
            ExitCode::TopicUnusable,
            "a topic's settings can't carry the stream: message size, partitions, cleanup policy",
        ),
        (
            ExitCode::Fenced,
            "another process took over the transactional id",
        ),
        (
            ExitCode::RecordTooLarge,
            "a row is larger than the topic accepts",
        ),
        (
            ExitCode::KafkaRefused,
            "Kafka refused: authentication, authorization or a fatal client error",
        ),
        (
            ExitCode::RegistryUnreachable,
            "the schema registry did not answer",
        ),
        (
            ExitCode::RegistryRefused,
            "the schema registry refused: authentication, or a schema that is incompatible or not registered",
        ),
        (
            ExitCode::SinkUnreachable,
            "the sink database did not answer",
        ),
        (
            ExitCode::SinkRefused,
            "the sink refused the user, or a right is missing",
        ),
        (
            ExitCode::SinkSchema,
            "the sink's schema is newer than this binary, or not tidewater's",
        ),
        (
            ExitCode::TopicContent,
            "a topic holds what the retail half cannot read, or no longer what it needs",
        ),
    ];
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code as u8)
    }
}

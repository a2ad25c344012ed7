//! Why a row could not be encoded. All are definite: the same row would fail again.

use crate::exit::ExitCode;

/// A row could not be encoded. Names tables and columns, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Row and relation disagree.
    #[error("table {table}: a row has {found} columns where its relation message has {expected}")]
    ColumnCount {
        /// Schema and table.
        table: String,
        /// Columns of the plan.
        expected: usize,
        /// Columns of the row.
        found: usize,
    },
    /// A value's text is not in the form that the session's settings ask for.
    #[error(
        "table {table}: a value of column {column} is not {expected}; if the server is reached \
         through a pooler, connect to it directly, since session settings must be kept"
    )]
    Value {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
        /// What its text has to look like.
        expected: &'static str,
    },
    /// Text that is not UTF-8 comes from a database without an encoding of its own.
    #[error(
        "table {table}: a value of column {column} is not utf-8; \
         move the data to a database whose encoding is not SQL_ASCII"
    )]
    NotUtf8 {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
    /// The key of an old row is not part of the replica identity.
    #[error(
        "table {table}: the server did not send key column {column} of an old row; \
         run alter table {table} replica identity full, or use the identity's columns as key"
    )]
    KeyNotSent {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
    /// A flat row would lack a column.
    #[error(
        "table {table}: an update left column {column} as it was, so the server did not send it, and a flat \
         row would lack it; run alter table {table} replica identity full, or, for a column whose values are \
         strings, set format.unchanged = \"placeholder\""
    )]
    UnchangedNotSent {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
    /// A value that the table's schema has no room for.
    #[error(
        "table {table}: field {field} does not fit the table's schema: it is null or absent where the schema \
         says otherwise. if its column has become not null since the change, set it nullable until the \
         change is published, or set format.encoding = \"json\""
    )]
    SchemaMisfit {
        /// Schema and table.
        table: String,
        /// The innermost field.
        field: String,
    },
    /// A row came before its schema was registered.
    #[error("table {table}: a row came before the registry had given an id to its schema")]
    SchemaUnregistered {
        /// Schema and table.
        table: String,
    },
    /// A row of an outbox that names no topic.
    #[error(
        "table {table}: a row has null in column {column}, which names the topic that it is routed to; declare \
         the column not null, and leave the table out of outbox.tables until the row is passed"
    )]
    Unroutable {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
    /// A row of an outbox came before its topic was known.
    #[error("table {table}: a row came before the topic that it is routed to was known")]
    Unrouted {
        /// Schema and table.
        table: String,
    },
    /// A column of an outbox has no form.
    #[error(
        "table {table}: column {column} is part of an outbox's records, but has a type that format.values = \
         \"debezium\" leaves out; set format.include_unknown_types = true, or give the column another type"
    )]
    Formless {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
    /// A row of an outbox asks for a partition that its topic does not have.
    #[error(
        "table {table}: a row's column {column} asks for partition {partition:?} of a topic that has \
         {partitions}; mend the row's writer, and leave the table out of outbox.tables until the row is passed"
    )]
    NoPartition {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
        /// What it holds.
        partition: String,
        /// What there is.
        partitions: i32,
    },
    /// Key and value together are larger than a record may be.
    #[error(
        "{of}: a change takes {bytes} bytes as a record, more than the {bytes_max} of \
         kafka.message_bytes_max; raise it, and max.message.bytes of the topic, or set \
         source.on_too_large = \"pass-over\""
    )]
    RecordTooLarge {
        /// `table public.orders`, or `messages app.order`.
        of: String,
        /// What the record takes.
        bytes: usize,
        /// What it may take.
        bytes_max: usize,
    },
    /// The server's message is larger than is held of one.
    #[error(
        "{of}: the server sent a change of {bytes} bytes, more than the {bytes_max} that are held of one; \
         raise kafka.message_bytes_max, of which they are the double, leave the large column out of the \
         publication, or set source.on_too_large = \"pass-over\""
    )]
    ChangeTooLarge {
        /// As above.
        of: String,
        /// What the server sent.
        bytes: usize,
        /// What is held.
        bytes_max: usize,
    },
}

/// How large a change was that is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// `record`: its record is; `change`: what the server sent of it already is.
    pub reason: &'static str,
    /// How large it was.
    pub bytes: usize,
    /// How large it may be.
    pub bytes_max: usize,
}

impl TooLarge {
    /// [`TooLarge::reason`] of a message that was not held as a whole.
    const CHANGE: &'static str = "change";

    /// Whether its row is what was kept of one.
    pub(super) fn is_condensed(self) -> bool {
        self.reason == Self::CHANGE
    }
}

impl EncodeError {
    /// How large the change was, if that is what was wrong.
    pub fn too_large(&self) -> Option<TooLarge> {
        let (reason, bytes, bytes_max) = match self {
            EncodeError::RecordTooLarge {
                bytes, bytes_max, ..
            } => ("record", bytes, bytes_max),
            EncodeError::ChangeTooLarge {
                bytes, bytes_max, ..
            } => (TooLarge::CHANGE, bytes, bytes_max),
            EncodeError::ColumnCount { .. }
            | EncodeError::Value { .. }
            | EncodeError::NotUtf8 { .. }
            | EncodeError::KeyNotSent { .. }
            | EncodeError::UnchangedNotSent { .. }
            | EncodeError::SchemaMisfit { .. }
            | EncodeError::Unroutable { .. }
            | EncodeError::Unrouted { .. }
            | EncodeError::NoPartition { .. }
            | EncodeError::Formless { .. }
            | EncodeError::SchemaUnregistered { .. } => return None,
        };
        Some(TooLarge {
            reason,
            bytes: *bytes,
            bytes_max: *bytes_max,
        })
    }

    /// The exit code of a process that ends because of it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            EncodeError::ColumnCount { .. }
            | EncodeError::Unrouted { .. }
            | EncodeError::SchemaUnregistered { .. } => ExitCode::Failure,
            EncodeError::Value { .. } | EncodeError::NotUtf8 { .. } => ExitCode::SourceSettings,
            EncodeError::KeyNotSent { .. }
            | EncodeError::UnchangedNotSent { .. }
            | EncodeError::Unroutable { .. }
            | EncodeError::NoPartition { .. }
            | EncodeError::Formless { .. }
            | EncodeError::SchemaMisfit { .. } => ExitCode::SourceTables,
            EncodeError::RecordTooLarge { .. } | EncodeError::ChangeTooLarge { .. } => {
                ExitCode::RecordTooLarge
            }
        }
    }

    /// Never.
    pub fn is_transient(&self) -> bool {
        false
    }
}

//! A row as the encoder sees it: its columns in order, whoever holds their bytes.
//!
//! The encoder asks for nothing more, so that a pgoutput tuple, a DataRow of a snapshot and
//! a test's slice are encoded by the same code.

/// One column's value, in PostgreSQL's text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column<'a> {
    /// SQL null.
    Null,
    /// A TOAST value that the update left as it was and the server therefore did not send.
    Unchanged,
    /// The value's text, as the type's output function wrote it.
    Text(&'a [u8]),
}

/// The columns of one row in table order; a cheap view, read once for the key and once for the value.
pub trait Row: Copy {
    /// The columns.
    fn columns(&self) -> impl Iterator<Item = Column<'_>>;

    /// Whether the columns that are unchanged are those outside of the replica identity.
    fn is_identity(&self) -> bool {
        false
    }
}

impl Row for &[Column<'_>] {
    fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        self.iter().copied()
    }
}

/// What the server sent of a row before it was updated or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldRow<R> {
    /// The columns of the replica identity; the others are sent as null and mean nothing.
    Key(R),
    /// Every column (`REPLICA IDENTITY FULL`).
    Full(R),
}

/// No old row, where tests do not say what type it would have.
#[cfg(test)]
pub(super) const NOT_SENT: Option<OldRow<&[Column<'static>]>> = None;

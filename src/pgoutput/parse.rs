//! One message, from its tag to its last byte.

use super::cursor::{Cursor, ParseError};
use super::relation::{Relation, UserType};
use super::tuple::{OldTuple, Tuple};
use crate::event::Lsn;

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's clock starts.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A logical replication message. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction starts; its changes follow, up to its commit.
    Begin {
        /// Where its commit record lies: `commit_lsn` of every position in it.
        final_lsn: Lsn,
        /// When it was committed.
        commit_time_us: i64,
        /// Its id, without the epoch.
        xid: u32,
    },
    /// The transaction ends.
    Commit {
        /// The same as its Begin's `final_lsn`.
        commit_lsn: Lsn,
        /// The first byte after the commit record: where to resume.
        end_lsn: Lsn,
        /// When it was committed.
        commit_time_us: i64,
    },
    /// The transaction was replicated to this server from another one.
    Origin {
        /// Its commit there.
        commit_lsn: Lsn,
        /// Name of the origin.
        name: &'a str,
    },
    /// What a table looks like from here on.
    Relation(Relation),
    /// The name of a type used by the next relation.
    Type(UserType),
    /// A row appeared.
    Insert {
        /// Table, by [`Relation::id`].
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row changed.
    Update {
        /// Table, by [`Relation::id`].
        relation: u32,
        /// The row before: the identity's columns when one of them changed, the whole row with
        /// `REPLICA IDENTITY FULL`, otherwise nothing.
        old: Option<OldTuple<'a>>,
        /// The row after.
        new: Tuple<'a>,
    },
    /// A row disappeared.
    Delete {
        /// Table, by [`Relation::id`].
        relation: u32,
        /// What is sent of the row.
        old: OldTuple<'a>,
    },
    /// Tables were emptied, in one statement.
    Truncate {
        /// The tables, each by [`Relation::id`].
        relations: RelationIds<'a>,
        /// With `cascade`.
        cascade: bool,
        /// With `restart identity`.
        restart_identity: bool,
    },
    /// Somebody called `pg_logical_emit_message`.
    Message {
        /// Part of the current transaction; otherwise it stands alone, between or within others.
        transactional: bool,
        /// Where it lies in the log.
        lsn: Lsn,
        /// What kind of message the caller says it is.
        prefix: &'a str,
        /// Any bytes.
        content: &'a [u8],
    },
}

/// The tables of a truncate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationIds<'a> {
    bytes: &'a [u8],
}

impl<'a> RelationIds<'a> {
    /// The ids in the order sent.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        let (ids, _) = self.bytes.as_chunks::<4>();
        ids.iter().map(|id| u32::from_be_bytes(*id))
    }
}

/// Parses one message, which is all of `bytes`.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, ParseError> {
    let mut cursor = Cursor::new(bytes);
    let message = match cursor.u8("message tag")? {
        b'I' => insert(&mut cursor)?,
        b'U' => update(&mut cursor)?,
        b'D' => delete(&mut cursor)?,
        b'B' => begin(&mut cursor)?,
        b'C' => commit(&mut cursor)?,
        b'R' => Message::Relation(Relation::read(&mut cursor)?),
        b'Y' => Message::Type(UserType::read(&mut cursor)?),
        b'T' => truncate(&mut cursor)?,
        b'M' => logical_message(&mut cursor)?,
        b'O' => origin(&mut cursor)?,
        tag => return Err(unknown("message tag", tag, 0)),
    };
    cursor.finish()?;
    Ok(message)
}

fn insert<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    let relation = cursor.u32("relation id")?;
    expect_new(cursor)?;
    Ok(Message::Insert {
        relation,
        new: Tuple::from_pgoutput(cursor)?,
    })
}

fn update<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    let relation = cursor.u32("relation id")?;
    let offset = cursor.offset();
    let old = match cursor.u8("tuple kind")? {
        b'N' => None,
        kind => {
            let old = old_tuple(kind, offset, cursor)?;
            expect_new(cursor)?;
            Some(old)
        }
    };
    Ok(Message::Update {
        relation,
        old,
        new: Tuple::from_pgoutput(cursor)?,
    })
}

fn delete<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    let relation = cursor.u32("relation id")?;
    let offset = cursor.offset();
    let kind = cursor.u8("tuple kind")?;
    Ok(Message::Delete {
        relation,
        old: old_tuple(kind, offset, cursor)?,
    })
}

fn old_tuple<'a>(
    kind: u8,
    offset: usize,
    cursor: &mut Cursor<'a>,
) -> Result<OldTuple<'a>, ParseError> {
    match kind {
        b'K' => Tuple::from_pgoutput(cursor).map(OldTuple::Key),
        b'O' => Tuple::from_pgoutput(cursor).map(OldTuple::Full),
        _ => Err(unknown("tuple kind", kind, offset)),
    }
}

fn expect_new(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    let offset = cursor.offset();
    match cursor.u8("tuple kind")? {
        b'N' => Ok(()),
        kind => Err(unknown("tuple kind", kind, offset)),
    }
}

fn begin<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    Ok(Message::Begin {
        final_lsn: lsn(cursor)?,
        commit_time_us: time_us(cursor)?,
        xid: cursor.u32("transaction id")?,
    })
}

fn commit<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    flags(cursor, "commit flags", 0)?;
    Ok(Message::Commit {
        commit_lsn: lsn(cursor)?,
        end_lsn: lsn(cursor)?,
        commit_time_us: time_us(cursor)?,
    })
}

fn origin<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    Ok(Message::Origin {
        commit_lsn: lsn(cursor)?,
        name: cursor.text("origin name")?,
    })
}

fn truncate<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    let count = cursor.count32("relation count")?;
    let options = flags(cursor, "truncate options", 3)?;
    let bytes = cursor.bytes(count.saturating_mul(4), "relation ids")?;
    Ok(Message::Truncate {
        relations: RelationIds { bytes },
        cascade: options & 1 != 0,
        restart_identity: options & 2 != 0,
    })
}

fn logical_message<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, ParseError> {
    let transactional = flags(cursor, "message flags", 1)? != 0;
    let lsn = lsn(cursor)?;
    let prefix = cursor.text("message prefix")?;
    let length = cursor.count32("message length")?;
    let content = cursor.bytes(length, "message content")?;
    Ok(Message::Message {
        transactional,
        lsn,
        prefix,
        content,
    })
}

fn lsn(cursor: &mut Cursor<'_>) -> Result<Lsn, ParseError> {
    cursor.u64("lsn").map(Lsn)
}

fn time_us(cursor: &mut Cursor<'_>) -> Result<i64, ParseError> {
    let offset = cursor.offset();
    let since_2000 = cursor.i64("commit time")?;
    since_2000
        .checked_add(POSTGRES_EPOCH_US)
        .ok_or(ParseError::Unknown {
            field: "commit time",
            value: since_2000.cast_unsigned(),
            offset,
        })
}

/// One byte of which only the bits of `known` may be set.
fn flags(cursor: &mut Cursor<'_>, field: &'static str, known: u8) -> Result<u8, ParseError> {
    let offset = cursor.offset();
    let flags = cursor.u8(field)?;
    if flags & !known != 0 {
        return Err(unknown(field, flags, offset));
    }
    Ok(flags)
}

fn unknown(field: &'static str, value: u8, offset: usize) -> ParseError {
    ParseError::Unknown {
        field,
        value: value.into(),
        offset,
    }
}

#[cfg(test)]
mod tests;

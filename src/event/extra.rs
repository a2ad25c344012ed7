//! What a flat row or a record's headers may say beside the columns: `__op`, `__position` and others.
//!
//! Names and meanings are those of Debezium's `ExtractNewRecordState`, where it has them.

use std::io::Write;
use std::ops::Range;

use super::change::Change;
use super::encoder::{Encoder, Op, header_index};
use super::json;
use super::plan::Plan;
use super::{Batch, Header, HeaderName};

/// One thing that can be said of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// `op` of the envelope.
    Op,
    /// The replicator's clock, milliseconds since 1970.
    TsMs,
    /// The same in microseconds.
    TsUs,
    /// The source's commit, milliseconds since 1970.
    SourceTsMs,
    /// The same in microseconds.
    SourceTsUs,
    /// `epoch:commit_lsn:ordinal`, which orders changes within a partition.
    Position,
    /// The change's own LSN.
    Lsn,
    /// The transaction's id; null for a row that a snapshot read.
    TxId,
    /// The source's database.
    Database,
    /// The table's schema.
    Schema,
    /// The table.
    Table,
}

impl Extra {
    /// Every one, in the order in which they are written.
    pub const ALL: [Extra; 11] = [
        Extra::Op,
        Extra::TsMs,
        Extra::TsUs,
        Extra::SourceTsMs,
        Extra::SourceTsUs,
        Extra::Position,
        Extra::Lsn,
        Extra::TxId,
        Extra::Database,
        Extra::Schema,
        Extra::Table,
    ];

    /// As the configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Extra::Op => "op",
            Extra::TsMs => "ts_ms",
            Extra::TsUs => "ts_us",
            Extra::SourceTsMs => "source.ts_ms",
            Extra::SourceTsUs => "source.ts_us",
            Extra::Position => "position",
            Extra::Lsn => "lsn",
            Extra::TxId => "txId",
            Extra::Database => "db",
            Extra::Schema => "schema",
            Extra::Table => "table",
        }
    }

    /// Name of its field and of its header.
    pub fn field(self) -> &'static str {
        match self {
            Extra::Op => "__op",
            Extra::TsMs => "__ts_ms",
            Extra::TsUs => "__ts_us",
            Extra::SourceTsMs => "__source_ts_ms",
            Extra::SourceTsUs => "__source_ts_us",
            Extra::Position => "__position",
            Extra::Lsn => "__lsn",
            Extra::TxId => "__txId",
            Extra::Database => "__db",
            Extra::Schema => "__schema",
            Extra::Table => "__table",
        }
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras(u16);

impl Extras {
    /// Nothing.
    pub const NONE: Extras = Extras(0);

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members.
    pub fn iter(self) -> impl Iterator<Item = Extra> {
        Extra::ALL
            .into_iter()
            .filter(move |extra| self.0 & 1 << *extra as u16 != 0)
    }
}

impl FromIterator<Extra> for Extras {
    fn from_iter<I: IntoIterator<Item = Extra>>(extras: I) -> Self {
        let bits = extras.into_iter().map(|extra| 1 << extra as u16);
        Extras(bits.fold(0, |all, bit| all | bit))
    }
}

/// What one of them says of one change.
pub(super) enum ExtraValue<'a> {
    Number(i64),
    Text(&'a str),
    Position { prefix: &'a str, ordinal: u64 },
    Null,
}

impl ExtraValue<'_> {
    /// As a JSON value.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            ExtraValue::Number(number) => json::number(*number, out),
            ExtraValue::Text(text) => {
                // A `str` is UTF-8, which is all that could be wrong with it.
                let _ = json::string(text.as_bytes(), out);
            }
            ExtraValue::Position { .. } => {
                out.push(b'"');
                self.write_text(out);
                out.push(b'"');
            }
            ExtraValue::Null => out.extend_from_slice(b"null"),
        }
    }

    /// As text without quotes; tells whether there is any.
    fn write_text(&self, out: &mut Vec<u8>) -> bool {
        match self {
            ExtraValue::Number(number) => json::number(*number, out),
            ExtraValue::Text(text) => out.extend_from_slice(text.as_bytes()),
            ExtraValue::Position { prefix, ordinal } => {
                // Writing to memory does not fail.
                let _ = write!(out, "{prefix}{ordinal}");
            }
            ExtraValue::Null => return false,
        }
        true
    }
}

impl Encoder {
    /// What an extra says of a change.
    pub(super) fn extra<'a>(
        &'a self,
        extra: Extra,
        op: Op,
        change: Change,
        plan: &'a Plan,
    ) -> ExtraValue<'a> {
        let facts = &self.context.facts;
        match extra {
            Extra::Op => ExtraValue::Text(op.letter()),
            Extra::TsMs => ExtraValue::Number(change.now_us.div_euclid(1000)),
            Extra::TsUs => ExtraValue::Number(change.now_us),
            Extra::SourceTsMs => ExtraValue::Number(facts.commit_time_us.div_euclid(1000)),
            Extra::SourceTsUs => ExtraValue::Number(facts.commit_time_us),
            Extra::Position => ExtraValue::Position {
                prefix: &facts.position,
                ordinal: change.ordinal,
            },
            Extra::Lsn => ExtraValue::Number(change.lsn.0.cast_signed()),
            Extra::TxId => facts
                .xid
                .map_or(ExtraValue::Null, |xid| ExtraValue::Number(i64::from(xid))),
            Extra::Database => ExtraValue::Text(&facts.database),
            Extra::Schema => ExtraValue::Text(&plan.schema),
            Extra::Table => ExtraValue::Text(&plan.table),
        }
    }

    /// Adds the headers that were asked for, behind `named`, whose value lies in the batch already.
    #[inline]
    pub(super) fn headers(
        &self,
        plan: &Plan,
        op: Op,
        change: Change,
        named: Option<(&'static str, &Range<usize>)>,
        out: &mut Batch,
    ) -> Range<u32> {
        let first = header_index(out);
        out.headers.extend(named.map(|(name, value)| Header {
            name: HeaderName::Fixed(name),
            value: value.clone(),
        }));
        if !self.format.headers.is_empty() {
            self.extra_headers(plan, op, change, out);
        }
        first..header_index(out)
    }

    fn extra_headers(&self, plan: &Plan, op: Op, change: Change, out: &mut Batch) {
        for extra in self.format.headers.iter() {
            let start = out.bytes.len();
            let value = self.extra(extra, op, change, plan);
            if value.write_text(&mut out.bytes) {
                out.headers.push(Header {
                    name: HeaderName::Fixed(extra.field()),
                    value: start..out.bytes.len(),
                });
            }
        }
    }
}

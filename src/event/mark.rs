//! Records that are about whole tables: truncates, and the marker at the end of a snapshot.

use super::change::Change;
use super::encoder::{Encoder, Op, header_index};
use super::error::EncodeError;
use super::format::{Encoding, Format, TruncateFormat, ValueFormat};
use super::plan::Plan;
use super::shape::Shape;
use super::{Batch, Header, HeaderName, Position, Record};

/// Header that tells what a record without key and value marks.
pub const MARK_HEADER: &str = "tidewater.mark";
/// [`MARK_HEADER`] of the end of a snapshot.
pub const SNAPSHOT_END: &str = "snapshot-end";
/// Header with a mark's position.
pub const POSITION_HEADER: &str = "tidewater.position";
/// Header with a mark's source time, microseconds since 1970.
pub const TIME_HEADER: &str = "tidewater.ts_us";

impl Encoder {
    /// A table that was emptied, in a topic of so many partitions.
    pub fn truncate(
        &mut self,
        plan: &Plan,
        change: Change,
        partitions: i32,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let (targets, scope): (Vec<Option<i32>>, &[u8]) = match self.format.truncate {
            TruncateFormat::EachPartition => (
                (0..partitions).map(Some).collect(),
                br#","scope":"partition""#,
            ),
            TruncateFormat::Once => (vec![None], b""),
            TruncateFormat::Skip => return Ok(()),
        };
        if self.format.shape != Shape::Envelope || plan.is_routed() {
            return Ok(());
        }
        let start = out.bytes.len();
        plan.frames.value.open(&mut out.bytes);
        out.bytes
            .extend_from_slice(br#"{"before":null,"after":null,"#);
        self.source(change, &plan.source, &mut out.bytes);
        out.bytes.extend_from_slice(scope);
        self.close(Op::Truncate, change, plan.collection, &mut out.bytes);
        out.bytes.push(b'}');
        let value = self.end_value(plan, start, out)?;
        let headers = self.headers(plan, Op::Truncate, change, None, out);
        for partition in targets {
            let (topic, value, headers) = (plan.topic, Some(value.clone()), headers.clone());
            out.records.push(Record {
                topic,
                partition,
                timestamp_ms: None,
                key: None,
                value,
                headers,
            });
        }
        Ok(())
    }

    /// The end of a snapshot at `position`, in every partition of a table's topic: a record without
    /// key and value. Only where events look as the retail half reads them: other consumers may end on a
    /// record without a key, as Debezium's JDBC sink does.
    pub fn snapshot_end(
        &self,
        topic: u32,
        partitions: i32,
        position: Position,
        ts_us: i64,
        out: &mut Batch,
    ) {
        let Format {
            values,
            encoding,
            shape,
            ..
        } = self.format;
        let looks_other =
            (values, encoding, shape) != (ValueFormat::Lossless, Encoding::Json, Shape::Envelope);
        if looks_other || topic == Plan::ROUTED {
            return;
        }
        let first = header_index(out);
        for (name, value) in [
            (MARK_HEADER, SNAPSHOT_END.to_owned()),
            (POSITION_HEADER, position.to_string()),
            (TIME_HEADER, ts_us.to_string()),
        ] {
            let start = out.bytes.len();
            out.bytes.extend_from_slice(value.as_bytes());
            out.headers.push(Header {
                name: HeaderName::Fixed(name),
                value: start..out.bytes.len(),
            });
        }
        let headers = first..header_index(out);
        for partition in 0..partitions {
            let (partition, headers) = (Some(partition), headers.clone());
            out.records.push(Record {
                topic,
                partition,
                timestamp_ms: None,
                key: None,
                value: None,
                headers,
            });
        }
    }
}

//! Encoding alone: decoded rows of the ten-column table into envelopes in a reused batch.

mod capture;
mod support;

use tidewater::event::{
    Batch, Change, Encoder, Epoch, Format, Lsn, SourceName, Transaction, TruncateFormat,
    ValueFormat,
};
use tidewater::pgoutput::{Message, parse};

const EPOCH: Epoch = 1;
/// Cleared past this, as the pipeline closes a batch.
const BATCH_BYTES: usize = 4 << 20;

fn main() -> support::Fallible<()> {
    let messages: Vec<(Lsn, Message<'_>)> = capture::messages()
        .into_iter()
        .map(|(lsn, bytes)| Ok((lsn, parse(bytes)?)))
        .collect::<Result<_, tidewater::pgoutput::ParseError>>()?;
    let source = SourceName {
        prefix: "retail".to_owned(),
        database: "shop".to_owned(),
    };
    let format = Format {
        values: ValueFormat::Lossless,
        truncate: TruncateFormat::EachPartition,
        ..Format::default()
    };
    let mut encoder = Encoder::new(&source, format);
    let relation = messages.iter().find_map(|(_, message)| {
        if let Message::Relation(relation) = message {
            Some(relation)
        } else {
            None
        }
    });
    let relation = relation.ok_or("the capture has no relation message")?;
    let table = relation.table(&relation.identity(), |column| column);
    let plan = encoder.compile(&table, 0);
    let mut out = Batch::with_capacity(BATCH_BYTES + (1 << 20), 16_384);
    let mut change = Change {
        lsn: Lsn::ZERO,
        ordinal: 0,
        now_us: 0,
    };
    capture::measure("encode", || {
        for (lsn, message) in &messages {
            if let Message::Begin {
                final_lsn,
                commit_time_us,
                xid,
            } = message
            {
                encoder.begin(&Transaction {
                    epoch: EPOCH,
                    commit_lsn: *final_lsn,
                    commit_time_us: *commit_time_us,
                    xid: Some(*xid),
                    last_commit_lsn: Some(*final_lsn),
                });
                change.ordinal = 0;
                change.now_us = *commit_time_us + 1_000;
                if out.bytes.len() > BATCH_BYTES {
                    out.clear();
                }
            }
            change.lsn = *lsn;
            change.ordinal += 1;
            let result = if let Message::Insert { new, .. } = message {
                encoder.insert(&plan, change, *new, &mut out)
            } else if let Message::Update { old, new, .. } = message {
                encoder.update(&plan, change, *old, *new, &mut out)
            } else if let Message::Delete { old, .. } = message {
                encoder.delete(&plan, change, *old, &mut out)
            } else {
                Ok(())
            };
            result.expect("a server wrote it");
        }
    })
}

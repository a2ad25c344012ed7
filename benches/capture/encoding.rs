//! Encoding alone: decoded rows into records of a reused batch.

use tidewater::event::{Batch, Change, Encoder, Epoch, Format, Lsn, Plan, SourceName, Transaction};
use tidewater::pgoutput::{Message, parse};

use super::{Capture, Variant};

const EPOCH: Epoch = 1;
/// Cleared past this, as the pipeline closes a batch.
const BATCH_BYTES: usize = 4 << 20;

/// Encodes a capture in that format, again and again.
pub(crate) fn variant(name: &'static str, capture: Capture, format: Format) -> Variant<'static> {
    let messages: Vec<(Lsn, Message<'static>)> = capture
        .messages()
        .into_iter()
        .map(|(lsn, bytes)| (lsn, parse(bytes).expect("a server wrote it")))
        .collect();
    let source = SourceName {
        prefix: "retail".to_owned(),
        database: "shop".to_owned(),
    };
    let mut encoder = Encoder::new(&source, format);
    let plan = plan(&encoder, &messages);
    let mut out = Batch::with_capacity(BATCH_BYTES + (1 << 20), 16_384);
    let pass = move || encode(&mut encoder, &plan, &messages, &mut out);
    (name, Box::new(pass))
}

/// Of the table that the first relation message describes.
fn plan(encoder: &Encoder, messages: &[(Lsn, Message<'_>)]) -> Plan {
    let relation = messages.iter().find_map(|(_, message)| {
        if let Message::Relation(relation) = message {
            Some(relation)
        } else {
            None
        }
    });
    let relation = relation.expect("the capture has a relation message");
    let table = relation.table(&relation.identity(), |column| column);
    let mut plan = encoder.compile(&table, 0);
    // As a registry would number the schemas.
    plan.frames_mut().identify_key(1);
    plan.frames_mut().identify_value(2);
    plan
}

fn encode(encoder: &mut Encoder, plan: &Plan, messages: &[(Lsn, Message<'_>)], out: &mut Batch) {
    let mut change = Change {
        lsn: Lsn::ZERO,
        ordinal: 0,
        now_us: 0,
    };
    for (lsn, message) in messages {
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
            encoder.insert(plan, change, *new, out)
        } else if let Message::Update { old, new, .. } = message {
            encoder.update(plan, change, *old, *new, out)
        } else if let Message::Delete { old, .. } = message {
            encoder.delete(plan, change, *old, out)
        } else {
            Ok(())
        };
        result.expect("a server wrote it");
    }
}

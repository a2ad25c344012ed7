//! What the window is told of changes while a chunk is read.

use super::*;
use crate::event::{ColumnFacts, ColumnShape, Format, ReplicaIdentity, SourceName, Table};
use crate::postgres::RowBody;
use crate::replicate::ad_hoc::{Chunk, Rows, Visibility, Watched, write_key};

const TABLE: u32 = 7;
const XID: u32 = 9;

fn column(name: &str) -> ColumnShape {
    ColumnShape {
        name: name.to_owned(),
        type_oid: 25,
        type_modifier: -1,
        resolved: None,
        facts: ColumnFacts::default(),
    }
}

/// In a transaction that changes `(id, big)` while a chunk of it is read.
fn capture() -> Capture {
    let source = SourceName {
        prefix: "p".to_owned(),
        database: "d".to_owned(),
    };
    let encoder = Encoder::new(&source, Format::default());
    let table = Table {
        schema: "public".to_owned(),
        name: "t".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: ["id", "big"].map(column).to_vec(),
        key: vec![0],
    };
    let plan = encoder.compile(&table, 1);
    let partitions = 1;
    let every = Operations::INSERT.with(Operations::UPDATE);
    let mut capture = Capture::new(encoder, 1, 0, Point::from(Lsn(100))).skipping(every);
    capture.describe(TABLE, CapturedTable { plan, partitions });
    capture.watch(Watched {
        relation: TABLE,
        key: vec!["id".to_owned()],
    });
    let [commit, time] = [1000, 0].map(u64::to_be_bytes);
    let begin = [b"B", &commit[..], &time, &XID.to_be_bytes()].concat();
    apply(&mut capture, 600, &begin, None);
    capture
}

fn apply(capture: &mut Capture, lsn: u64, data: &[u8], excess: Option<Excess>) {
    let arrival = Arrival {
        lsn: Lsn(lsn),
        data,
        excess,
    };
    assert!(capture.apply(arrival, Instant::now(), 0).unwrap().is_none());
}

/// `(id, big)` as the stream sends it.
fn tuple(id: &str, big: Option<&str>) -> Vec<u8> {
    let text = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [b"t", &length[..], text.as_bytes()].concat()
    };
    let big = big.map_or(b"u".to_vec(), text);
    [&2_u16.to_be_bytes()[..], &text(id), &big].concat()
}

fn message(kind: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    [kind, &TABLE.to_be_bytes(), &parts.concat()].concat()
}

/// What becomes of the row `a` of a chunk that does not see the change: how often it is left, and taken out as an older
/// form of the same row.
fn read(mut capture: Capture) -> (usize, usize) {
    let (mut rows, mut key) = (Rows::default(), Vec::new());
    let row = [crate::event::Column::Text(b"a")];
    assert!(write_key(&[0], Some(row.as_slice()), None, &mut key));
    rows.push(&key, RowBody::Whole(b"row"));
    let chunk = Chunk {
        rows,
        visible: Visibility::parse("9:9:").unwrap(),
        waiting: Vec::new(),
        noted: Lsn(500),
    };
    capture.window().arrived(chunk).unwrap();
    let rows = capture.window().held().unwrap();
    (rows.left().count(), rows.taken_out().count())
}

#[test]
fn a_row_is_filled_from_what_was_read_of_it_and_of_no_other() {
    let excess = Some(Excess {
        bytes: 9,
        bytes_max: 8,
    });
    let unsent = tuple("a", None);
    let old = tuple("b", None);
    let key_of = |other: &str| tuple(other, None);
    let update = message(b"U", &[b"N", &unsent]);
    let moved = message(b"U", &[b"K", &old, b"N", &unsent]);
    let insert = message(b"I", &[b"N", &unsent]);
    let other = message(b"U", &[b"N", &key_of("c")]);
    for (name, data, excess, expected) in [
        ("an update", &update, None, (0, 1)),
        ("one of another row", &other, None, (1, 0)),
        ("one that was too large", &update, excess, (0, 0)),
        ("one with another key", &moved, None, (0, 0)),
        ("an insert", &insert, None, (0, 0)),
    ] {
        let mut capture = capture();
        apply(&mut capture, 601, data, excess);
        assert_eq!(read(capture), expected, "{name}");
    }
}

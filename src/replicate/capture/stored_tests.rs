//! A start within a transaction that was published in part, with a row store that is behind.

use super::*;
use crate::event::{Format, SourceName};
use crate::replicate::row_store::{Joining, StoreFile, example};
use crate::step::Steps;

const TABLE: u32 = 7;
const BEGIN_LSN: u64 = 600;
const COMMIT_LSN: u64 = 1000;

/// Published is a transaction's second change, and stored what came before the transaction.
fn capture(directory: &std::path::Path) -> Capture {
    let settings = example::settings(directory, 1 << 30);
    let file = StoreFile::create(&settings).unwrap();
    let stored = example::recorded(100);
    let rows = RowStore::new(
        file,
        stored,
        &settings,
        Joining::default(),
        Steps::default(),
    )
    .unwrap();
    let source = SourceName {
        prefix: "retail".to_owned(),
        database: "shop".to_owned(),
    };
    let published = Point {
        resume: Lsn(100),
        commit_lsn: Lsn(COMMIT_LSN),
        ordinal: 2,
        last_change_lsn: Lsn(BEGIN_LSN + 2),
    };
    let encoder = Encoder::new(&source, Format::default());
    let mut capture = Capture::new(encoder, 1, 0, published).storing(Some(rows));
    // Changes that are counted, and of interest to nobody.
    capture.ignore(TABLE);
    capture
}

fn apply(capture: &mut Capture, lsn: u64, data: &[u8]) {
    let arrival = Arrival {
        lsn: Lsn(lsn),
        data,
        excess: None,
    };
    let described = capture.apply(arrival, Instant::now(), 0).unwrap();
    assert!(described.is_none());
}

fn begin(capture: &mut Capture) {
    let [commit, time] = [COMMIT_LSN, 0].map(u64::to_be_bytes);
    let begin = [b"B", &commit[..], &time, &9_u32.to_be_bytes()].concat();
    apply(capture, BEGIN_LSN, &begin);
}

fn insert(capture: &mut Capture, ordinal: u64) {
    let insert = [b"I", &TABLE.to_be_bytes()[..], b"N", &0_u16.to_be_bytes()].concat();
    apply(capture, BEGIN_LSN + ordinal, &insert);
}

/// An idle record is published, and committed. Whether the file would now be written.
fn is_behind_after_a_record(capture: &mut Capture) -> bool {
    let closed = capture.close(false, Batch::default(), Vec::new());
    assert_eq!(closed.point.ordinal, 2);
    let rows = capture.rows().unwrap();
    rows.committed(closed.point);
    rows.is_behind()
}

#[test]
fn a_keepalive_before_the_transaction_does_not_move_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut capture = capture(directory.path());
    capture.advance(Lsn(500));
    assert!(!is_behind_after_a_record(&mut capture));
    begin(&mut capture);
    insert(&mut capture, 1);
    assert!(!is_behind_after_a_record(&mut capture));
}

#[test]
fn a_record_behind_what_was_published_does_not_move_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut capture = capture(directory.path());
    begin(&mut capture);
    for ordinal in 1..=3 {
        insert(&mut capture, ordinal);
    }
    assert!(!is_behind_after_a_record(&mut capture));
    let commit = [
        &b"C\0"[..],
        &[0; 8],
        &(COMMIT_LSN + 8).to_be_bytes(),
        &[0; 8],
    ]
    .concat();
    apply(&mut capture, COMMIT_LSN, &commit);
    let closed = capture.close(false, Batch::default(), Vec::new());
    assert_eq!(closed.point.resume, Lsn(COMMIT_LSN + 8));
    let rows = capture.rows().unwrap();
    rows.committed(closed.point);
    assert!(rows.is_behind(), "the transaction is over");
}

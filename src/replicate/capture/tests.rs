//! Messages between transactions.

use std::sync::Arc;

use super::*;
use crate::event::selection::{Messages, Selection};
use crate::event::{Format, SourceName};

const HEARTBEATS: u32 = 1;
const MESSAGES: u32 = 2;

fn capture(patterns: &[&str]) -> Capture {
    let source = SourceName {
        prefix: "p".to_owned(),
        database: "d".to_owned(),
    };
    let encoder = Encoder::new(&source, Format::default());
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let selection = Selection {
        messages: Messages::new(&patterns).unwrap(),
        ..Selection::default()
    };
    let start = Point {
        resume: Lsn(100),
        ..Point::default()
    };
    Capture::new(encoder, 1, HEARTBEATS, start).telling(MessageTopic {
        outline: Some(Outline::bare(MESSAGES)),
        selection: Arc::new(selection),
    })
}

/// As the server sends it, outside of any transaction.
fn lone(lsn: u64, prefix: &str) -> Vec<u8> {
    let lsn = lsn.to_be_bytes();
    let content = 1_i32.to_be_bytes();
    [b"M\0", &lsn[..], prefix.as_bytes(), b"\0", &content, b"x"].concat()
}

fn arrival(lsn: u64, data: &[u8]) -> Arrival<'_> {
    Arrival {
        lsn: Lsn(lsn),
        data,
        excess: None,
    }
}

#[test]
fn streaming_resumes_behind_a_published_message() {
    let mut capture = capture(&["app.*"]);
    let now = Instant::now();
    let apply = |capture: &mut Capture, lsn: u64, prefix: &str| {
        let described = capture.apply(arrival(lsn - 8, &lone(lsn, prefix)), now, 0);
        assert!(described.unwrap().is_none());
    };
    apply(&mut capture, 200, "app.a");
    apply(&mut capture, 300, "other");
    assert_eq!(capture.fill().whole_records, 1);
    let closed = capture.close(false, Batch::default(), Vec::new());
    assert_eq!(closed.point.resume, Lsn(200));
    assert_eq!(closed.batch.records.len(), 1);
    assert_eq!(closed.batch.records[0].topic, MESSAGES);
    assert!(!closed.point.is_split());
}

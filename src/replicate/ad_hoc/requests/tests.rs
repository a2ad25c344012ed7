//! Requests as they come, go on and end.

use super::*;
use crate::event::Lsn;
use crate::postgres::{PublishedTable, TableName};

fn start(id: &str) -> Command {
    Command::Start {
        id: id.to_owned(),
        tables: Vec::new(),
    }
}

fn found(oid: u32, topic: &str) -> Found {
    Found {
        published: PublishedTable {
            id: oid,
            table: TableName {
                schema: "public".to_owned(),
                name: format!("t{oid}"),
            },
            partitioned: false,
            columns: Vec::new(),
            row_filter: None,
            through: Vec::new(),
            rows_estimate: 100,
            bytes: 8192,
        },
        topic: topic.to_owned(),
        whole_topic: true,
        void: false,
    }
}

fn table(next: Option<Next>) -> Option<(String, u32)> {
    match next? {
        Next::Table { request, oid, .. } => Some((request, oid)),
        Next::LookUp { .. } => None,
    }
}

fn at(lsn: u64) -> Position {
    Position::new(1, Lsn(lsn), 0)
}

fn state(requests: &Requests, id: &str) -> RequestState {
    requests.records.request(id).unwrap().state
}

/// What would be read back after a crash.
fn reopened(requests: &mut Requests, recorded: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> AdHocRecords {
    for entry in requests.take_entries() {
        match entry.value {
            Some(value) => recorded.insert(entry.key, value),
            None => recorded.remove(&entry.key),
        };
    }
    assert!(!requests.has_entries());
    AdHocRecords::read(recorded.clone())
}

#[test]
fn tables_are_read_one_after_the_other_and_all_of_it_is_recorded() {
    let mut recorded = BTreeMap::new();
    let mut requests = Requests::new(AdHocRecords::default());
    requests.take_up(start("a"), 1);
    requests.take_up(start("a"), 2);
    requests.take_up(start("b"), 3);
    assert_eq!(
        requests.next(4),
        Some(Next::LookUp {
            request: "a".to_owned(),
            patterns: Vec::new()
        })
    );
    requests.looked_up("a", vec![found(7, "x"), found(5, "y"), found(6, "x")], 4);
    assert_eq!(table(requests.next(5)), Some(("a".to_owned(), 7)));
    requests.chunk_published("a", 7, at(10), Left::From(vec!["k".to_owned()]), 50, 5);
    assert_eq!(requests.reached("a", 7), Some(vec!["k".to_owned()]));
    let records = reopened(&mut requests, &mut recorded);
    assert_eq!(records, requests.records);

    requests.chunk_published("a", 7, at(10), Left::Listed, 20, 6);
    assert_eq!(requests.reached("a", 7), None);
    let records = reopened(&mut requests, &mut recorded);
    assert!(Requests::new(records).has_passed("a", 7));
    requests.chunk_published("a", 7, at(10), Left::Nothing, 10, 6);
    assert!(!requests.has_passed("a", 7));
    assert_eq!(
        requests.table_finished("a", 7, 6),
        None,
        "its topic has another table"
    );
    assert!(!requests.is_wanted("a", 7) && requests.is_wanted("a", 5));
    requests.chunk_published("a", 5, at(20), Left::Nothing, 3, 7);
    assert_eq!(requests.table_finished("a", 5, 7), Some(at(20)));
    requests.chunk_published("a", 6, at(8), Left::Nothing, 3, 8);
    assert_eq!(
        requests.table_finished("a", 6, 8),
        Some(at(8)),
        "the lowest of both"
    );
    assert_eq!(state(&requests, "a"), RequestState::Finished);
    let request = requests.records.request("a").unwrap();
    assert_eq!((request.rows, request.tables_finished), (86, 3));
    assert!(matches!(requests.next(9), Some(Next::LookUp { request, .. }) if request == "b"));
    let records = reopened(&mut requests, &mut recorded);
    assert_eq!(records, requests.records);
    assert!(records.tables.is_empty());
}

#[test]
fn a_request_is_paused_resumed_and_cancelled_at_any_time() {
    let id = || "a".to_owned();
    let mut requests = Requests::new(AdHocRecords::default());
    requests.take_up(Command::Pause { id: id() }, 1);
    assert!(!requests.has_entries(), "there is none");
    requests.take_up(start("a"), 1);
    requests.take_up(Command::Pause { id: id() }, 1);
    assert_eq!(requests.next(1), None);
    requests.looked_up("a", vec![found(7, "x")], 1);
    requests.take_up(Command::Resume { id: id() }, 1);
    assert_eq!(
        state(&requests, "a"),
        RequestState::TakenUp,
        "its tables are not known"
    );
    requests.looked_up("a", vec![found(7, "x")], 1);
    requests.take_up(Command::Pause { id: id() }, 1);
    assert!(!requests.is_wanted("a", 7));
    requests.take_up(Command::Resume { id: id() }, 1);
    assert!(requests.is_wanted("a", 7));
    requests.take_up(Command::Cancel { id: id() }, 1);
    requests.take_up(Command::Resume { id: id() }, 1);
    assert_eq!(state(&requests, "a"), RequestState::Cancelled);
    assert_eq!(requests.next(1), None);
}

#[test]
fn a_table_is_left_when_no_request_has_begun_with_it() {
    let left = |id: &str| Command::Cancel { id: id.to_owned() };
    let mut requests = Requests::new(AdHocRecords::default());
    for id in ["a", "b"] {
        requests.take_up(start(id), 1);
        requests.looked_up(id, vec![found(7, "x"), found(8, "y")], 1);
        requests.chunk_published(id, 7, at(10), Left::Listed, 3, 1);
    }
    requests.take_up(left("a"), 2);
    assert_eq!(requests.take_unread(), [8], "b reads the other one still");
    requests.chunk_published("b", 7, at(10), Left::Nothing, 3, 3);
    requests.table_finished("b", 7, 3);
    assert_eq!(requests.take_unread(), [7]);
    requests.take_up(left("b"), 4);
    assert_eq!(requests.take_unread(), [7, 8]);
}

#[test]
fn what_is_recorded_is_bounded() {
    let mut recorded = BTreeMap::new();
    let mut requests = Requests::new(AdHocRecords::default());
    for number in 0..OPEN_MAX + 100 {
        requests.take_up(start(&number.to_string()), 1);
    }
    let refused = requests.records.requests.last().unwrap();
    assert_eq!(refused.state, RequestState::Failed);
    assert_eq!(requests.records.requests.len(), OPEN_MAX + ENDED_KEPT);
    for number in 0..OPEN_MAX {
        requests.fail(&number.to_string(), "no".to_owned(), 2);
    }
    let records = reopened(&mut requests, &mut recorded);
    assert_eq!(records.requests.len(), ENDED_KEPT);
}

#[test]
fn a_request_of_nothing_fails() {
    let mut requests = Requests::new(AdHocRecords::default());
    requests.take_up(start("a"), 1);
    requests.looked_up("a", Vec::new(), 2);
    assert_eq!(state(&requests, "a"), RequestState::Failed);
    assert_eq!(requests.next(3), None);
}

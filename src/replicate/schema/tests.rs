//! Histories of one table.

use super::*;
use crate::event::selection::{Pattern, Policy};
use crate::event::{Lsn, Position};

/// A position of the first epoch.
fn at(commit_lsn: u64, ordinal: u64) -> Position {
    Position::new(1, Lsn(commit_lsn), ordinal)
}

fn version(position: Position, columns: &[(&str, u32)]) -> SchemaVersion {
    let columns = columns.iter().map(|(name, type_oid)| VersionColumn {
        name: (*name).to_owned(),
        type_name: format!("type {type_oid}"),
        type_oid: *type_oid,
        type_modifier: -1,
        nullable: false,
        default: None,
    });
    SchemaVersion {
        schema: "public".to_owned(),
        table: "t".to_owned(),
        version: 0,
        position,
        topic: "p.public.t".to_owned(),
        replica_identity: "default".to_owned(),
        key: vec!["id".to_owned()],
        columns: columns.collect(),
    }
}

const ONE: &[(&str, u32)] = &[("id", 20)];
const TWO: &[(&str, u32)] = &[("id", 20), ("note", 25)];

/// The number written, if any.
fn admit(history: &mut SchemaHistory, version: SchemaVersion) -> Option<u64> {
    let written = history.admit(version, true, &Selection::default()).unwrap();
    written.map(|written| written.version)
}

#[test]
fn only_what_differs_is_written() {
    let mut history = SchemaHistory::default();
    let mut admitted = |position, columns| admit(&mut history, version(position, columns));
    assert_eq!(admitted(at(10, 0), ONE), Some(1));
    assert_eq!(admitted(at(20, 1), ONE), None);
    assert_eq!(admitted(at(30, 2), TWO), Some(2));
    assert_eq!(admitted(at(30, 9), ONE), Some(3));
    assert_eq!(admitted(at(40, 1), ONE), None);
}

#[test]
fn what_is_streamed_again_is_not_written_again() {
    let mut history = SchemaHistory::default();
    for (position, columns) in [(at(10, 0), ONE), (at(30, 2), TWO), (at(50, 1), ONE)] {
        admit(&mut history, version(position, columns));
    }
    // From before all of it, at other changes than the first time.
    for (position, columns) in [
        (at(25, 7), ONE),
        (at(30, 2), TWO),
        (at(40, 1), TWO),
        (at(50, 1), ONE),
        (at(60, 1), ONE),
    ] {
        assert_eq!(
            admit(&mut history, version(position, columns)),
            None,
            "{position}"
        );
    }
}

#[test]
fn the_catalog_s_word_counts_only_where_nothing_later_is_known() {
    let mut history = SchemaHistory::default();
    admit(&mut history, version(at(10, 0), ONE));
    admit(&mut history, version(at(30, 1), TWO));
    let nullable = |position, columns| {
        let mut version = version(position, columns);
        version.columns[0].nullable = true;
        version
    };
    assert_eq!(admit(&mut history, nullable(at(20, 1), ONE)), None);
    assert_eq!(admit(&mut history, nullable(at(40, 1), TWO)), Some(3));
}

#[test]
fn a_catalog_that_shows_another_table_says_nothing_of_this_one() {
    let mut history = SchemaHistory::default();
    admit(&mut history, version(at(10, 0), ONE));
    let unknown = |position, columns| {
        let mut version = version(position, columns);
        for column in &mut version.columns {
            column.nullable = true;
        }
        version
    };
    let mut admitted = |version| {
        history
            .admit(version, false, &Selection::default())
            .unwrap()
    };
    assert_eq!(admitted(unknown(at(20, 1), ONE)), None);
    let two = admitted(unknown(at(30, 1), TWO)).unwrap();
    let nullable: Vec<bool> = two.columns.iter().map(|column| column.nullable).collect();
    assert_eq!(nullable, [false, true]);
}

#[test]
fn a_table_of_another_epoch_or_name_begins_anew() {
    let mut history = SchemaHistory::default();
    admit(&mut history, version(at(30, 1), TWO));
    let mut renamed = version(at(40, 1), TWO);
    renamed.table = "u".to_owned();
    assert_eq!(admit(&mut history, renamed), Some(1));
    let position = Position::new(2, Lsn(5), 0);
    assert_eq!(admit(&mut history, version(position, ONE)), Some(2));
}

#[test]
fn an_incompatible_change_is_refused_where_the_policy_says_so() {
    let stopping = Selection {
        policies: vec![Policy {
            tables: vec![Pattern::new("public.t", 2).unwrap()],
            stop: true,
        }],
        ..Selection::default()
    };
    for (columns, expected) in [
        (&[("id", 20), ("note", 25), ("more", 25)][..], None),
        (ONE, Some("column note (type 25) was dropped or renamed")),
        (
            &[("id", 20), ("note", 23)],
            Some("column note was type 25 and is type 23"),
        ),
    ] {
        let mut history = SchemaHistory::default();
        admit(&mut history, version(at(10, 0), TWO));
        let result = history.admit(version(at(20, 1), columns), true, &stopping);
        let told = result.err().map(|error| error.to_string());
        match expected {
            None => assert_eq!(told, None),
            Some(words) => assert!(told.clone().unwrap().contains(words), "{told:?}"),
        }
    }
    let mut rekeyed = version(at(20, 1), TWO);
    rekeyed.key = vec!["note".to_owned()];
    let mut history = SchemaHistory::default();
    admit(&mut history, version(at(10, 0), TWO));
    let told = history
        .admit(rekeyed, true, &stopping)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("its record key was (id) and is (note)"),
        "{told}"
    );
}

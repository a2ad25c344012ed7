//! Updates that show no change, and those that look like it.

use super::super::super::selection::{Columns, Pattern, TransformRule};
use super::*;

type Values = [Column<'static>; 4];

fn skipping(selection: Selection) -> Encoder {
    let mut encoder = encoder(TruncateFormat::EachPartition).selecting(Arc::new(selection));
    encoder.format.skip_unchanged = true;
    encoder
}

/// How many records an update becomes.
fn records_of(encoder: &mut Encoder, old: OldRow<&[Column<'_>]>, new: &[Column<'_>]) -> usize {
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    batch.bytes.extend_from_slice(b"what is there");
    encoder
        .update(&plan, CHANGE, Some(old), new, &mut batch)
        .unwrap();
    if batch.records.is_empty() {
        assert_eq!(batch.bytes, b"what is there");
    }
    batch.records.len()
}

#[test]
fn an_update_that_shows_no_change_is_left_out() {
    const ROW: Values = [Text(b"7"), Text(b"1.50"), Null, Text(b"placed")];
    let with = |index: usize, value| {
        let mut row = ROW;
        row[index] = value;
        row
    };
    for (old, new, expected) in [
        (ROW, ROW, 0),
        (ROW, with(3, Unchanged), 0),
        (ROW, with(3, Text(b"paid")), 1),
        (ROW, with(3, Null), 1),
        (ROW, with(2, Text(b"2026-11-23 08:00:00+00")), 1),
        // A reader sees other digits.
        (ROW, with(1, Text(b"1.5")), 1),
        // The old value is not known.
        (with(3, Unchanged), ROW, 1),
        (with(3, Unchanged), with(3, Null), 1),
        // It is not known either, but it is the same.
        (with(3, Unchanged), with(3, Unchanged), 0),
        (ROW, with(0, Text(b"8")), 3),
    ] {
        let mut encoder = skipping(Selection::default());
        let count = records_of(&mut encoder, OldRow::Full(&old), &new);
        assert_eq!(count, expected, "{old:?} to {new:?}");
        encoder.format.skip_unchanged = false;
        assert!(records_of(&mut encoder, OldRow::Full(&old), &new) > 0);
    }
}

#[test]
fn without_a_whole_old_row_nothing_is_left_out() {
    let mut encoder = skipping(Selection::default());
    assert_eq!(records_of(&mut encoder, OldRow::Key(ORDER), ORDER), 1);
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    encoder
        .update(&plan, CHANGE, NOT_SENT, ORDER, &mut batch)
        .unwrap();
    assert_eq!(batch.records.len(), 1);
}

#[test]
fn a_value_counts_as_it_is_shown() {
    let rule = |column: &str, transform| TransformRule {
        columns: vec![Pattern::new(column, 3).unwrap()],
        transform,
    };
    let mut encoder = skipping(Selection {
        columns: Columns::new(&["!*.*.placed_at".to_owned()]).unwrap(),
        transforms: vec![
            rule("*.*.unit_price", Transform::Mask("***".into())),
            rule("*.*.status", Transform::Truncate(3)),
        ],
        ..Selection::default()
    });
    let row: Values = [Text(b"7"), Text(b"1"), Text(b"?"), Text(b"placed")];
    for (new, expected) in [
        ([Text(b"7"), Text(b"2"), Null, Text(b"plain")], 0),
        ([Text(b"7"), Null, Text(b"?"), Text(b"placed")], 1),
        ([Text(b"7"), Text(b"1"), Text(b"?"), Text(b"paid")], 1),
    ] {
        let count = records_of(&mut encoder, OldRow::Full(&row), &new);
        assert_eq!(count, expected, "{new:?}");
    }
}

#[test]
fn a_row_that_cannot_be_written_is_not_left_out() {
    let mut encoder = skipping(Selection::default());
    let plan = encoder.compile(&orders(), 0);
    let short = &ORDER[..3];
    let long = [ORDER, &[Null]].concat();
    for row in [short, &long] {
        let mut batch = Batch::default();
        let old = Some(OldRow::Full(row));
        let error = encoder.update(&plan, CHANGE, old, row, &mut batch);
        assert!(matches!(error, Err(EncodeError::ColumnCount { .. })));
    }
}

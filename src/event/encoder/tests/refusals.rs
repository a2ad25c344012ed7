//! What can't be encoded is refused by name, and leaves the batch as it was.

use super::*;

/// Attempts something after one good record; the batch must come out with that record alone.
fn refused(
    bytes_max: usize,
    attempt: impl FnOnce(&mut Encoder, &Plan, &mut Batch) -> Result<(), EncodeError>,
) -> EncodeError {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    encoder.format.record_bytes_max = bytes_max;
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    encoder.insert(&plan, CHANGE, ORDER, &mut batch).unwrap();
    let before = (records(&batch), batch.bytes.clone());

    let error = attempt(&mut encoder, &plan, &mut batch).unwrap_err();

    assert_eq!((records(&batch), batch.bytes), before, "{error}");
    assert!(batch.headers.is_empty(), "{error}");
    error
}

fn insert(row: &[Column<'_>]) -> EncodeError {
    refused(1_000_000, |encoder, plan, out| {
        encoder.insert(plan, CHANGE, row, out)
    })
}

fn orders_name() -> String {
    "public.orders".to_owned()
}

#[test]
fn a_row_of_another_shape() {
    let count = |found| EncodeError::ColumnCount {
        table: orders_name(),
        expected: 4,
        found,
    };
    assert_eq!(insert(&ORDER[..3]), count(3));
    assert_eq!(insert(&[ORDER, ORDER].concat()), count(8));
    assert_eq!(insert(&[]), count(0));
}

#[test]
fn text_in_another_form() {
    let row = [Text(b"7"), Null, Text(b"23/11/2026 08:00:00"), Null];
    let expected = EncodeError::Value {
        table: orders_name(),
        column: "placed_at".to_owned(),
        expected: "a timestamp in ISO form",
    };
    assert_eq!(insert(&row), expected);

    let row = [Text(b"7"), Null, Null, Text(b"\xFF")];
    let expected = EncodeError::NotUtf8 {
        table: orders_name(),
        column: "status".to_owned(),
    };
    assert_eq!(insert(&row), expected);
}

#[test]
fn an_old_row_without_its_key() {
    // The identity is an index over status alone.
    let old = OldRow::Key(&[Null, Null, Null, Text(b"x")][..]);
    let expected = EncodeError::KeyNotSent {
        table: orders_name(),
        column: "order_id".to_owned(),
    };
    let delete = refused(1_000_000, |encoder, plan, out| {
        encoder.delete(plan, CHANGE, old, out)
    });
    assert_eq!(delete, expected);
    let update = refused(1_000_000, |encoder, plan, out| {
        encoder.update(plan, CHANGE, Some(old), ORDER, out)
    });
    assert_eq!(update, expected);
}

#[test]
fn a_record_beyond_the_limit() {
    // The delete half of a key change fits, the create half does not.
    let text = "x".repeat(700);
    let new = &[Text(b"7"), Null, Null, Text(text.as_bytes())][..];
    let error = refused(700, |encoder, plan, out| {
        encoder.update(plan, CHANGE, Some(OldRow::Key(OLD_KEY)), new, out)
    });
    let EncodeError::RecordTooLarge {
        of,
        bytes,
        bytes_max,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((of.as_str(), bytes_max), ("table public.orders", 700));
    assert!(bytes > 1200, "{bytes}");
}

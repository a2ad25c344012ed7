//! Values that become others on the way, and keys that name their table.

use super::super::super::selection::{Columns, Pattern, Route, TransformRule};
use super::*;

fn rule(column: &str, transform: Transform) -> TransformRule {
    let columns = vec![Pattern::new(column, 3).unwrap()];
    TransformRule { columns, transform }
}

fn selecting(selection: Selection) -> Encoder {
    encoder(TruncateFormat::EachPartition).selecting(Arc::new(selection))
}

/// Of the key, a number and a text.
fn shaped() -> Encoder {
    selecting(Selection {
        columns: Columns::new(&["!*.*.placed_at".to_owned()]).unwrap(),
        transforms: vec![
            rule("*.*.unit_price", Transform::Mask("\"secret\"".into())),
            rule("*.*.status", Transform::Truncate(3)),
            rule("*.*.order_id", Transform::Hash("pepper".into())),
        ],
        ..Selection::default()
    })
}

/// Of "pepper7".
const HASH: &str = r#""1b44481921a511e3b17e3200b40be11bd079c687d6209960a30c19e45b192723""#;

#[test]
fn keys_values_and_old_rows_are_shaped_alike() {
    let mut encoder = shaped();
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    encoder
        .delete(&plan, CHANGE, OldRow::Full(ORDER), &mut batch)
        .unwrap();
    let key = format!(r#"{{"order_id":{HASH}}}"#);
    let row = format!(r#"{{"order_id":{HASH},"unit_price":"\"secret\"","status":"pla"}}"#);
    assert_eq!(
        records(&batch),
        [
            expected(Some(&key), Some(&envelope(&row, "null", "", "d")), &[]),
            expected(Some(&key), None, &[]),
        ]
    );
}

#[test]
fn headers_of_a_changed_key_are_shaped_too() {
    let mut encoder = shaped();
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    let old: &[Column<'_>] = &[Text(b"8"), Null, Null, Null];
    encoder
        .update(&plan, CHANGE, Some(OldRow::Key(old)), ORDER, &mut batch)
        .unwrap();
    let key = format!(r#"{{"order_id":{HASH}}}"#);
    let header = format!("{NEW_KEY_HEADER}={key}");
    assert_eq!(records(&batch)[0].2, [header]);
    assert_eq!(records(&batch)[2].0, Some(key));
}

#[test]
fn null_stays_null_and_what_was_not_sent_is_not_invented() {
    let mut encoder = shaped();
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    let nulls: &[Column<'_>] = &[Text(b"7"), Null, Null, Null];
    encoder.insert(&plan, CHANGE, nulls, &mut batch).unwrap();
    // An excluded column is not named either, and a mask is known without the value.
    let unsent: &[Column<'_>] = &[Text(b"7"), Unchanged, Unchanged, Unchanged];
    encoder
        .update(&plan, CHANGE, NOT_SENT, unsent, &mut batch)
        .unwrap();
    let null = format!(r#"{{"order_id":{HASH},"unit_price":null,"status":null}}"#);
    let masked = format!(r#"{{"order_id":{HASH},"unit_price":"\"secret\""}}"#);
    let values: Vec<Option<String>> = records(&batch).into_iter().map(|record| record.1).collect();
    assert_eq!(
        values,
        [
            Some(envelope("null", &null, "", "c")),
            Some(envelope("null", &masked, r#","unchanged":["status"]"#, "u")),
        ]
    );
}

#[test]
fn the_same_in_debezium_s_values() {
    let mut encoder = shaped();
    encoder.format.values = ValueFormat::Debezium;
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    let unsent: &[Column<'_>] = &[Text(b"7"), Text(b"1.50"), Text(b"x"), Unchanged];
    encoder
        .update(&plan, CHANGE, NOT_SENT, unsent, &mut batch)
        .unwrap();
    let value = records(&batch)[0].1.clone().unwrap();
    let after = format!(
        r#""after":{{"order_id":{HASH},"unit_price":"\"secret\"","status":"__debezium_unavailable_value"}}"#
    );
    assert!(value.contains(&after), "{value}");
}

#[test]
fn keys_of_a_shared_topic_name_their_table() {
    let mut encoder = selecting(Selection {
        routes: vec![Route {
            tables: vec![Pattern::new("public.*", 2).unwrap()],
            topic: Some("all".to_owned()),
            partitions: None,
            key: Vec::new(),
            table_in_key: true,
        }],
        ..Selection::default()
    });
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    encoder.insert(&plan, CHANGE, ORDER, &mut batch).unwrap();
    assert_eq!(
        records(&batch)[0].0.as_deref(),
        Some(r#"{"order_id":7,"__dbz__physicalTableIdentifier":"retail.public.orders"}"#)
    );
}

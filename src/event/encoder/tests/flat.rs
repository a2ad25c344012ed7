//! Flat rows, tombstones, and headers on request.

use super::super::super::extra::{Extra, Extras};
use super::super::super::shape::{Flat, UnchangedFormat};
use super::*;

const FLAT: Flat = Flat {
    deletes: FlatDeletes::Tombstone,
    unchanged: UnchangedFormat::Refuse,
    fields: EMPTY,
};
const EMPTY: Extras = Extras::NONE;
const KEY: &str = r#"{"order_id":7}"#;
const OLD: &str = r#"{"order_id":6}"#;

fn of(format: Format) -> Encoder {
    let mut encoder = encoder(format.truncate);
    encoder.format = format;
    encoder
}

fn flat(flat: Flat) -> Encoder {
    of(Format {
        shape: Shape::Flat(flat),
        ..Format::default()
    })
}

/// An insert, an update, a change of the key, a delete and a truncate.
fn history(encoder: &mut Encoder) -> Vec<Rendered> {
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    encoder.insert(&plan, CHANGE, ORDER, &mut batch).unwrap();
    encoder
        .update(&plan, CHANGE, NOT_SENT, ORDER, &mut batch)
        .unwrap();
    let old = Some(OldRow::Key(OLD_KEY));
    encoder
        .update(&plan, CHANGE, old, ORDER, &mut batch)
        .unwrap();
    encoder
        .delete(&plan, CHANGE, OldRow::Key(OLD_KEY), &mut batch)
        .unwrap();
    encoder.truncate(&plan, CHANGE, 2, &mut batch).unwrap();
    records(&batch)
}

#[test]
fn a_flat_row_is_the_row_alone_and_a_delete_a_tombstone() {
    let row = || expected(Some(KEY), Some(ORDER_JSON), &[]);
    let gone = || expected(Some(OLD), None, &[]);
    assert_eq!(
        history(&mut flat(FLAT)),
        [row(), row(), gone(), row(), gone()]
    );
    let skip = Flat {
        deletes: FlatDeletes::Skip,
        ..FLAT
    };
    assert_eq!(history(&mut flat(skip)), [row(), row(), row()]);
}

#[test]
fn a_rewritten_delete_is_a_row_with_a_marker() {
    let rewrite = Flat {
        deletes: FlatDeletes::Rewrite,
        ..FLAT
    };
    let alive = ORDER_JSON.replace("placed\"}", "placed\",\"__deleted\":\"false\"}");
    let dead =
        r#"{"order_id":6,"unit_price":null,"placed_at":null,"status":null,"__deleted":"true"}"#;
    let row = || expected(Some(KEY), Some(&alive), &[]);
    let deleted = || expected(Some(OLD), Some(dead), &[]);
    let gone = || expected(Some(OLD), None, &[]);
    assert_eq!(
        history(&mut flat(rewrite)),
        [row(), row(), deleted(), gone(), row(), deleted(), gone()]
    );
    let mut without_tombstones = of(Format {
        shape: Shape::Flat(rewrite),
        tombstones: false,
        ..Format::default()
    });
    assert_eq!(
        history(&mut without_tombstones),
        [row(), row(), deleted(), row(), deleted()]
    );
}

#[test]
fn every_extra_as_field_and_as_header() {
    let all: Extras = Extra::ALL.into_iter().collect();
    let mut encoder = of(Format {
        shape: Shape::Flat(Flat {
            fields: all,
            ..FLAT
        }),
        headers: all,
        ..Format::default()
    });
    let plan = encoder.compile(&table(&[("order_id", INT8)], &[0]), 0);
    let mut batch = Batch::default();
    encoder
        .insert(&plan, CHANGE, &ORDER[..1], &mut batch)
        .unwrap();
    encoder
        .delete(&plan, CHANGE, OldRow::Key(&ORDER[..1]), &mut batch)
        .unwrap();
    let value = concat!(
        r#"{"order_id":7,"__op":"c","__ts_ms":1763884800130,"__ts_us":1763884800130456,"#,
        r#""__source_ts_ms":1763884800123,"__source_ts_us":1763884800123456,"#,
        r#""__position":"1:0/16E9058:1","__lsn":24023128,"__txId":755,"__db":"shop","#,
        r#""__schema":"public","__table":"orders"}"#
    );
    let headers = |op: &str| {
        let rest = "__ts_ms=1763884800130 __ts_us=1763884800130456 __source_ts_ms=1763884800123 \
                    __source_ts_us=1763884800123456 __position=1:0/16E9058:1 __lsn=24023128 \
                    __txId=755 __db=shop __schema=public __table=orders";
        let rest = rest.split_whitespace().map(str::to_owned);
        [format!("__op={op}")].into_iter().chain(rest).collect()
    };
    assert_eq!(
        records(&batch),
        [
            (Some(KEY.to_owned()), Some(value.to_owned()), headers("c")),
            (Some(KEY.to_owned()), None, headers("d")),
        ]
    );
}

#[test]
fn a_flat_row_is_never_without_a_column() {
    let new = &[Text(b"7"), Unchanged, Null, Unchanged][..];
    let update = |unchanged| {
        let mut encoder = flat(Flat { unchanged, ..FLAT });
        let plan = encoder.compile(&orders(), 0);
        let mut batch = Batch::default();
        let updated = encoder.update(&plan, CHANGE, NOT_SENT, new, &mut batch);
        updated.map(|()| records(&batch))
    };
    let refused = update(UnchangedFormat::Refuse).unwrap_err();
    assert_eq!(
        refused,
        EncodeError::UnchangedNotSent {
            table: "public.orders".to_owned(),
            column: "unit_price".to_owned()
        }
    );
    let row = concat!(
        r#"{"order_id":7,"unit_price":"__debezium_unavailable_value","placed_at":null,"#,
        r#""status":"__debezium_unavailable_value"}"#
    );
    assert_eq!(
        update(UnchangedFormat::Placeholder).unwrap(),
        [expected(Some(KEY), Some(row), &[])]
    );
}

#[test]
fn a_column_whose_form_is_no_string_has_no_placeholder() {
    let mut encoder = flat(Flat {
        unchanged: UnchangedFormat::Placeholder,
        ..FLAT
    });
    let text_array = 1009;
    let plan = encoder.compile(&table(&[("id", INT8), ("tags", text_array)], &[0]), 0);
    let mut batch = Batch::default();
    let new = &[Text(b"7"), Unchanged][..];
    let refused = encoder.update(&plan, CHANGE, NOT_SENT, new, &mut batch);
    assert_eq!(
        refused.unwrap_err(),
        EncodeError::UnchangedNotSent {
            table: "public.orders".to_owned(),
            column: "tags".to_owned()
        }
    );
    assert!(batch.is_empty() && batch.bytes.is_empty());
}

#[test]
fn envelopes_without_tombstones() {
    let mut encoder = of(Format {
        tombstones: false,
        ..Format::default()
    });
    assert!(
        history(&mut encoder)
            .iter()
            .all(|(_, value, _)| value.is_some())
    );
}

//! Selections of a table of customers.

use super::super::table::ColumnFacts;
use super::*;

fn column(name: &str, type_oid: u32) -> ColumnShape {
    ColumnShape {
        name: name.to_owned(),
        type_oid,
        type_modifier: -1,
        resolved: None,
        facts: ColumnFacts::default(),
    }
}

/// `id` is the key.
fn customers(replica_identity: ReplicaIdentity) -> Table {
    Table {
        schema: "public".to_owned(),
        name: "customers".to_owned(),
        replica_identity,
        columns: vec![column("id", 20), column("email", 25), column("age", 23)],
        key: vec![0],
    }
}

fn rule(pattern: &str, transform: Transform) -> TransformRule {
    TransformRule {
        columns: vec![Pattern::new(pattern, 3).unwrap()],
        transform,
    }
}

fn keyed(key: &[&str]) -> Selection {
    Selection {
        routes: vec![Route {
            tables: vec![Pattern::new("public.*", 2).unwrap()],
            topic: None,
            partitions: None,
            key: key.iter().map(ToString::to_string).collect(),
            table_in_key: true,
        }],
        ..Selection::default()
    }
}

fn transformed(rules: Vec<TransformRule>) -> Selection {
    Selection {
        transforms: rules,
        ..Selection::default()
    }
}

#[test]
fn the_first_rule_that_matches_holds() {
    let selection = transformed(vec![
        rule("public.customers.email", Transform::Truncate(3)),
        rule("*.*./email|age/", Transform::Mask("*".into())),
    ]);
    assert_eq!(
        selection.transforms(&customers(ReplicaIdentity::Default)),
        [
            None,
            Some(Transform::Truncate(3)),
            Some(Transform::Mask("*".into()))
        ]
    );
}

#[test]
fn an_excluded_column_is_not_there_whatever_else_is_said() {
    let selection = Selection {
        columns: Columns::new(&["!*.*.email".to_owned()]).unwrap(),
        transforms: vec![rule("*.*.email", Transform::Truncate(3))],
        ..Selection::default()
    };
    let transforms = selection.transforms(&customers(ReplicaIdentity::Default));
    assert_eq!(transforms, [None, Some(Transform::Excluded), None]);
}

#[test]
fn a_table_without_rules_has_no_transforms() {
    let selection = transformed(vec![rule("public.orders.*", Transform::Truncate(3))]);
    assert!(
        selection
            .transforms(&customers(ReplicaIdentity::Default))
            .is_empty()
    );
}

#[test]
fn a_key_must_tell_rows_apart() {
    for (transform, how) in [
        (Transform::Mask("*".into()), Some("masked")),
        (Transform::Truncate(2), Some("truncated")),
        (Transform::Hash("salt".into()), None),
    ] {
        let selection = transformed(vec![rule("*.*.id", transform)]);
        let result = selection.select(customers(ReplicaIdentity::Default), &[0]);
        assert_eq!(
            result.err(),
            how.map(|how| SelectionError::KeyTransformed {
                table: "public.customers".to_owned(),
                column: "id".to_owned(),
                how
            })
        );
    }
}

#[test]
fn only_text_is_truncated() {
    let selection = transformed(vec![rule("*.*./email|age/", Transform::Truncate(2))]);
    assert_eq!(
        selection.select(customers(ReplicaIdentity::Default), &[0]),
        Err(SelectionError::NotText {
            table: "public.customers".to_owned(),
            column: "age".to_owned()
        })
    );
}

#[test]
fn a_chosen_key_is_one_that_old_rows_have() {
    use ReplicaIdentity::{Default, Full, Index, Nothing};
    let names = || ("public.customers".to_owned(), "email".to_owned());
    for (identity, sent, expected) in [
        (Full, &[0, 1, 2][..], true),
        (Index, &[1], true),
        (Index, &[0], false),
        (Default, &[0], false),
        (Nothing, &[], true),
    ] {
        let selected = keyed(&["email"]).select(customers(identity), sent);
        let (table, column) = names();
        let expected = if expected {
            Ok(vec![1])
        } else {
            Err(SelectionError::KeyNotSent { table, column })
        };
        assert_eq!(selected.map(|table| table.key), expected, "{identity:?}");
    }
    assert_eq!(
        keyed(&["mail"]).select(customers(Full), &[0, 1, 2]),
        Err(SelectionError::KeyMissing {
            table: "public.customers".to_owned(),
            column: "mail".to_owned()
        })
    );
}

#[test]
fn keys_in_a_shared_topic_say_whose_they_are() {
    for (topic, table_in_key, expected) in [
        (Some("orders"), true, true),
        (Some("{prefix}.{table}"), true, true),
        (Some("{schema}.{table}"), true, false),
        (Some("orders"), false, false),
        (None, true, false),
    ] {
        let mut selection = keyed(&[]);
        selection.routes[0].topic = topic.map(str::to_owned);
        selection.routes[0].table_in_key = table_in_key;
        let field = selection.key_field("p", "public", "order_1");
        let value = expected.then(|| (TABLE_FIELD, "p.public.order_1".to_owned()));
        assert_eq!(field, value, "{topic:?}");
    }
}

#[test]
fn two_columns_do_not_become_one_field() {
    let named = |names| Selection {
        names,
        ..Selection::default()
    };
    let columns = ["id", "first name", "first-name"].map(|name| column(name, 25));
    let table = Table {
        columns: columns.to_vec(),
        ..customers(ReplicaIdentity::Full)
    };
    for names in [NameAdjustment::None, NameAdjustment::AvroUnicode] {
        assert_eq!(named(names).select(table.clone(), &[0]), Ok(table.clone()));
    }
    let refused = named(NameAdjustment::Avro).select(table.clone(), &[0]);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "table public.customers: columns first name and first-name would both be the field first_name: leave \
         one of them out with source.columns, or choose another format.name_adjustment"
    );
    let left_out = Selection {
        transforms: vec![rule("public.customers.first-name", Transform::Excluded)],
        ..named(NameAdjustment::Avro)
    };
    assert!(left_out.select(table, &[0]).is_ok());
}

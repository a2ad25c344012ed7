//! Every message from annotated bytes, and every way to damage it.

use proptest::prelude::*;

use super::super::RelationColumn;
use super::*;
use crate::event::Column::{Null, Text, Unchanged};
use crate::event::{Column, ReplicaIdentity};

/// 2026-11-23 08:00:00.123456 UTC, microseconds since 2000 and since 1970.
const SINCE_2000: i64 = 848_736_000_123_456;
const SINCE_1970: i64 = 1_795_420_800_123_456;

/// A message is its parts back to back.
fn message(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn begin_bytes() -> Vec<u8> {
    message(&[
        b"B",
        &0x16_B374_D848_u64.to_be_bytes(), // final lsn
        &SINCE_2000.to_be_bytes(),         // commit time
        &755_u32.to_be_bytes(),            // xid
    ])
}

fn commit_bytes() -> Vec<u8> {
    message(&[
        b"C",
        &[0],                              // flags, unused
        &0x16_B374_D848_u64.to_be_bytes(), // commit lsn
        &0x16_B374_D878_u64.to_be_bytes(), // end lsn
        &SINCE_2000.to_be_bytes(),         // commit time
    ])
}

fn origin_bytes() -> Vec<u8> {
    message(&[b"O", &7_u64.to_be_bytes(), b"upstream\0"])
}

fn relation_bytes() -> Vec<u8> {
    message(&[
        b"R",
        &16_385_u32.to_be_bytes(),  // relation id
        b"public\0",                // schema
        b"orders\0",                // table
        b"d",                       // replica identity default
        &2_u16.to_be_bytes(),       // columns
        &[1],                       // part of the identity
        b"order_id\0",              // name
        &20_u32.to_be_bytes(),      // int8
        &(-1_i32).to_be_bytes(),    // no modifier
        &[0],                       // not part of the identity
        "größe\0".as_bytes(),       // name
        &1700_u32.to_be_bytes(),    // numeric
        &786_438_i32.to_be_bytes(), // (12,2)
    ])
}

fn type_bytes() -> Vec<u8> {
    message(&[b"Y", &16_400_u32.to_be_bytes(), b"public\0", b"mood\0"])
}

/// (7, null, unchanged) as a tuple.
const TUPLE: &[u8] = &[
    0, 3, // three columns
    b't', 0, 0, 0, 1, b'7', // text "7"
    b'n', // null
    b'u', // unchanged
];
const COLUMNS: [Column<'static>; 3] = [Text(b"7"), Null, Unchanged];

/// (6, null, null) as the key of an old row.
const KEY: &[u8] = &[0, 3, b't', 0, 0, 0, 1, b'6', b'n', b'n'];
const KEY_COLUMNS: [Column<'static>; 3] = [Text(b"6"), Null, Null];

const RELATION: [u8; 4] = 16_385_u32.to_be_bytes();

fn insert_bytes() -> Vec<u8> {
    message(&[b"I", &RELATION, b"N", TUPLE])
}

fn update_bytes(old: &[&[u8]]) -> Vec<u8> {
    message(&[b"U", &RELATION, &old.concat(), b"N", TUPLE])
}

fn delete_bytes(kind: &[u8]) -> Vec<u8> {
    message(&[b"D", &RELATION, kind, KEY])
}

fn truncate_bytes() -> Vec<u8> {
    message(&[
        b"T",
        &2_u32.to_be_bytes(), // two tables
        &[3],                 // cascade, restart identity
        &RELATION,
        &16_390_u32.to_be_bytes(),
    ])
}

fn logical_message_bytes() -> Vec<u8> {
    message(&[
        b"M",
        &[1],                              // transactional
        &0x16_B374_D800_u64.to_be_bytes(), // lsn
        b"tidewater.heartbeat\0",          // prefix
        &3_u32.to_be_bytes(),              // length
        &[0, 1, 0xFF],                     // content
    ])
}

fn every_message() -> Vec<Vec<u8>> {
    vec![
        begin_bytes(),
        commit_bytes(),
        origin_bytes(),
        relation_bytes(),
        type_bytes(),
        insert_bytes(),
        update_bytes(&[]),
        update_bytes(&[b"K", KEY]),
        update_bytes(&[b"O", KEY]),
        delete_bytes(b"K"),
        delete_bytes(b"O"),
        truncate_bytes(),
        logical_message_bytes(),
    ]
}

fn columns<'a>(tuple: &Tuple<'a>) -> Vec<Column<'a>> {
    tuple.columns().collect()
}

#[test]
fn transactions() {
    let lsn = Lsn(0x16_B374_D848);
    assert_eq!(
        parse(&begin_bytes()),
        Ok(Message::Begin {
            final_lsn: lsn,
            commit_time_us: SINCE_1970,
            xid: 755
        })
    );
    let end_lsn = Lsn(0x16_B374_D878);
    assert_eq!(
        parse(&commit_bytes()),
        Ok(Message::Commit {
            commit_lsn: lsn,
            end_lsn,
            commit_time_us: SINCE_1970
        })
    );
    assert_eq!(
        parse(&origin_bytes()),
        Ok(Message::Origin {
            commit_lsn: Lsn(7),
            name: "upstream"
        })
    );
}

#[test]
fn definitions() {
    let column = |name: &str, identity, type_oid, type_modifier| RelationColumn {
        name: name.to_owned(),
        identity,
        type_oid,
        type_modifier,
    };
    let relation = Relation {
        id: 16_385,
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: vec![
            column("order_id", true, 20, -1),
            column("größe", false, 1700, 786_438),
        ],
    };
    assert_eq!(relation.identity(), [0]);
    assert_eq!(
        relation.indexes_of(["größe", "dropped", "order_id"]),
        [1, 0]
    );
    assert_eq!(relation.table(&[0], |column| column).key, [0]);
    assert_eq!(parse(&relation_bytes()), Ok(Message::Relation(relation)));

    let user_type = UserType {
        id: 16_400,
        schema: "public".to_owned(),
        name: "mood".to_owned(),
    };
    assert_eq!(parse(&type_bytes()), Ok(Message::Type(user_type)));
}

#[test]
fn the_empty_schema_is_pg_catalog() {
    let bytes = message(&[b"Y", &1_u32.to_be_bytes(), b"\0", b"bool\0"]);
    let Ok(Message::Type(user_type)) = parse(&bytes) else {
        panic!("{bytes:?}")
    };
    assert_eq!(user_type.schema, "pg_catalog");
}

#[test]
fn rows() {
    let bytes = insert_bytes();
    let Ok(Message::Insert {
        relation: 16_385,
        new,
    }) = parse(&bytes)
    else {
        panic!("{bytes:?}");
    };
    assert_eq!(columns(&new), COLUMNS);

    let bytes = update_bytes(&[]);
    let Ok(Message::Update {
        relation: 16_385,
        old: None,
        new,
    }) = parse(&bytes)
    else {
        panic!("{bytes:?}");
    };
    assert_eq!(columns(&new), COLUMNS);

    let bytes = update_bytes(&[b"K", KEY]);
    let Ok(Message::Update {
        old: Some(OldTuple::Key(old)),
        new,
        ..
    }) = parse(&bytes)
    else {
        panic!("{bytes:?}");
    };
    assert_eq!(
        (columns(&old), columns(&new)),
        (KEY_COLUMNS.into(), COLUMNS.into())
    );

    let bytes = update_bytes(&[b"O", KEY]);
    let Ok(Message::Update {
        old: Some(OldTuple::Full(old)),
        ..
    }) = parse(&bytes)
    else {
        panic!("{bytes:?}");
    };
    assert_eq!(columns(&old), KEY_COLUMNS);

    let bytes = delete_bytes(b"K");
    let Ok(Message::Delete {
        relation: 16_385,
        old: OldTuple::Key(old),
    }) = parse(&bytes)
    else {
        panic!("{bytes:?}");
    };
    assert_eq!(columns(&old), KEY_COLUMNS);
    assert!(matches!(
        parse(&delete_bytes(b"O")),
        Ok(Message::Delete {
            old: OldTuple::Full(_),
            ..
        })
    ));
}

#[test]
fn truncates_and_messages() {
    let bytes = truncate_bytes();
    let Ok(Message::Truncate {
        relations,
        cascade: true,
        restart_identity: true,
    }) = parse(&bytes)
    else {
        panic!("{bytes:?}");
    };
    assert_eq!(relations.iter().collect::<Vec<u32>>(), [16_385, 16_390]);

    assert_eq!(
        parse(&logical_message_bytes()),
        Ok(Message::Message {
            transactional: true,
            lsn: Lsn(0x16_B374_D800),
            prefix: "tidewater.heartbeat",
            content: &[0, 1, 0xFF],
        })
    );
}

/// What a real server wrote: 8 bytes of LSN, 4 of length, the message, and so on.
#[test]
fn a_captured_stream_has_the_messages_that_were_asked_for() {
    let mut rest = &include_bytes!("../../../benches/capture/orders.bin")[..];
    let mut counts = std::collections::BTreeMap::new();
    while let [_, _, _, _, _, _, _, _, a, b, c, d, after @ ..] = rest {
        let (message, after) = after.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        let parsed = parse(message).unwrap();
        if let Message::Insert { new, .. } = parsed {
            assert_eq!(new.columns().count(), 10);
        }
        *counts.entry(char::from(message[0])).or_insert(0) += 1;
        rest = after;
    }
    assert!(rest.is_empty());
    let expected = [
        ('B', 12),
        ('C', 12),
        ('D', 50),
        ('I', 1000),
        ('R', 1),
        ('U', 100),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn every_cut_is_malformed() {
    for bytes in every_message() {
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            let result = parse(cut);
            assert!(
                matches!(result, Err(ParseError::Short { offset, .. }) if offset <= length),
                "{cut:?} gave {result:?}"
            );
        }
    }
}

#[test]
fn a_leftover_byte_is_malformed() {
    for mut bytes in every_message() {
        let offset = bytes.len();
        bytes.push(0);
        assert_eq!(
            parse(&bytes),
            Err(ParseError::Leftover { count: 1, offset }),
            "{bytes:?}"
        );
    }
}

#[test]
fn unknown_values_name_their_place() {
    let unknown = |field, value: u8, offset| ParseError::Unknown {
        field,
        value: u64::from(value),
        offset,
    };
    for (bytes, expected) in [
        (vec![b'S', 0], unknown("message tag", b'S', 0)),
        (
            message(&[b"I", &RELATION, b"K", TUPLE]),
            unknown("tuple kind", b'K', 5),
        ),
        (
            message(&[b"U", &RELATION, b"X", TUPLE]),
            unknown("tuple kind", b'X', 5),
        ),
        (
            message(&[b"D", &RELATION, b"N", TUPLE]),
            unknown("tuple kind", b'N', 5),
        ),
        (
            message(&[b"I", &RELATION, b"N", &[0, 1, b'b']]),
            unknown("column kind", b'b', 8),
        ),
        (message(&[b"C", &[1]]), unknown("commit flags", 1, 1)),
        (
            message(&[b"T", &[0, 0, 0, 0], &[4]]),
            unknown("truncate options", 4, 5),
        ),
        (message(&[b"M", &[2]]), unknown("message flags", 2, 1)),
        (
            message(&[b"R", &RELATION, b"s\0t\0x"]),
            unknown("replica identity", b'x', 9),
        ),
        (
            message(&[b"R", &RELATION, b"s\0t\0d", &[0, 1, 8]]),
            unknown("column flags", 8, 12),
        ),
    ] {
        assert_eq!(parse(&bytes), Err(expected), "{bytes:?}");
    }
}

#[test]
fn lengths_are_not_trusted() {
    let huge = &[0x7F, 0xFF, 0xFF, 0xFF][..];
    for (bytes, offset) in [
        (message(&[b"T", huge, &[0]]), 6),
        (message(&[b"M", &[0], &[0; 8], b"\0", huge]), 15),
        (message(&[b"I", &RELATION, b"N", &[0, 1, b't'], huge]), 13),
    ] {
        let result = parse(&bytes);
        assert!(
            matches!(result, Err(ParseError::Short { offset: at, .. }) if at == offset),
            "{bytes:?} gave {result:?}"
        );
    }
    let negative = message(&[b"I", &RELATION, b"N", &[0xFF, 0xFF]]);
    assert!(matches!(
        parse(&negative),
        Err(ParseError::Unknown {
            field: "column count",
            ..
        })
    ));
}

#[test]
fn names_are_utf8_and_times_representable() {
    let bytes = message(&[b"O", &[0; 8], &[0xFF, 0]]);
    assert_eq!(
        parse(&bytes),
        Err(ParseError::NotUtf8 {
            field: "origin name",
            offset: 9
        })
    );
    let bytes = message(&[b"B", &[0; 8], &i64::MAX.to_be_bytes(), &[0; 4]]);
    assert!(matches!(
        parse(&bytes),
        Err(ParseError::Unknown {
            field: "commit time",
            ..
        })
    ));
}

proptest! {
    /// Whatever the bytes, the answer is a message or an error, and a tuple yields what it promises.
    #[test]
    fn no_bytes_panic(
        which in 0..13_usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        tail in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut bytes = every_message().swap_remove(which);
        *at.get_mut(&mut bytes) = byte;
        bytes.extend(tail);
        if let Ok(Message::Insert { new, .. } | Message::Update { new, .. }) = parse(&bytes) {
            prop_assert_eq!(new.columns().count(), new.len());
        }
    }
}

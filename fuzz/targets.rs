//! What the fuzzer feeds with arbitrary bytes: one function for each parser of bytes that come from
//! outside. None may panic, and each asserts what must hold whatever it is given.
//!
//! `cargo fuzz run NAME` looks for a failure; the test `corpora` replays what it has collected.

use std::path::Path;
use std::sync::LazyLock;

use tidewater::event::{
    Batch, Change, ColumnFacts, ColumnShape, Encoder, Encoding, Extras, Format, Handling, Lsn,
    Position, ReplicaIdentity, Shape, SourceName, Table, Transaction, TruncateFormat, TypeShape,
    ValueFormat,
};
use tidewater::pgoutput::{self, Message, OldTuple, Tuple};
use tidewater::postgres::{Buffer, Frame};
use tidewater::replicate::recording::Reader;
use tidewater::retail;

/// Takes any bytes and fails by panicking.
pub(crate) type Target = fn(&[u8]);

/// Every target by its name, which is that of its corpus too.
pub(crate) const TARGETS: [(&str, Target); 13] = [
    ("array", array),
    ("bytea", bytea),
    ("capture", capture),
    ("composite", composite),
    ("frame", frame),
    ("hstore", hstore),
    ("interval", interval),
    ("message", message),
    ("numeric", numeric),
    ("range", range),
    ("record", record),
    ("temporal", temporal),
    ("tuple", tuple),
];

/// The inputs of a corpus file: one a line, bytes as `escape_ascii` writes them.
pub(crate) fn inputs(lines: &str) -> impl Iterator<Item = Vec<u8>> {
    lines.lines().map(unescape)
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, byte == b'\\') {
            (_, false) => byte,
            (_, true) => match rest.next() {
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b'x') => {
                    let digits: Vec<u8> = rest.by_ref().take(2).collect();
                    let digits = std::str::from_utf8(&digits).expect("two digits");
                    u8::from_str_radix(digits, 16).expect("hexadecimal")
                }
                Some(quote) => quote,
                None => panic!("a line ends inside an escape: {line}"),
            },
        });
    }
    bytes
}

/// Bound of the buffer: small, so that it is met.
const MESSAGE_BYTES_MAX: usize = 1 << 10;
/// What a row of the fuzzed table may take as a record.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// The wire's messages and the frames in them. However the bytes are cut on their way, the same
/// messages come out; the first byte says how they are cut.
pub(crate) fn frame(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else {
        return;
    };
    let whole = messages(data, data.len().max(1));
    let cut = messages(data, usize::from(*piece).max(1));
    assert_eq!(whole, cut, "the same bytes in other pieces");
    for (tag, body) in whole {
        if tag == b'd' {
            let _ = Frame::parse(&body);
        }
    }
}

/// Messages up to the first that is refused.
fn messages(data: &[u8], piece: usize) -> Vec<(u8, Vec<u8>)> {
    let mut buffer = Buffer::new(MESSAGE_BYTES_MAX);
    let mut found = Vec::new();
    for part in data.chunks(piece) {
        let room = buffer.room();
        let count = part.len().min(room.len());
        room[..count].copy_from_slice(&part[..count]);
        buffer.filled(count);
        loop {
            match buffer.take() {
                Ok(Some(span)) => found.push((span.tag, buffer.body(span).to_vec())),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// A message of pgoutput, and the columns of its rows.
pub(crate) fn message(data: &[u8]) {
    let Ok(message) = pgoutput::parse(data) else {
        return;
    };
    match message {
        Message::Insert { new, .. } => visit(new),
        Message::Update { old, new, .. } => {
            if let Some(OldTuple::Key(old) | OldTuple::Full(old)) = old {
                visit(old);
            }
            visit(new);
        }
        Message::Delete { old, .. } => {
            let (OldTuple::Key(old) | OldTuple::Full(old)) = old;
            visit(old);
        }
        Message::Truncate { relations, .. } => {
            let _ = relations.iter().count();
        }
        Message::Relation(relation) => {
            // What a server describes can be compiled, and rows of it be refused or encoded.
            let table = relation.table(&relation.identity(), |column| column);
            let _ = encoder(ValueFormat::Lossless).compile(&table, 0);
            let _ = encoder(ValueFormat::Debezium).compile(&table, 0);
        }
        Message::Begin { .. }
        | Message::Commit { .. }
        | Message::Type(_)
        | Message::Origin { .. }
        | Message::Message { .. } => {}
    }
}

/// A capture file.
pub(crate) fn capture(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data, Path::new("fuzzed")) else {
        return;
    };
    while let Ok(Some(frame)) = reader.next_frame() {
        std::hint::black_box(frame);
    }
}

/// The body of a DataRow.
pub(crate) fn tuple(data: &[u8]) {
    if let Ok(tuple) = Tuple::from_data_row(data) {
        visit(tuple);
    }
}

fn visit(tuple: Tuple<'_>) {
    assert_eq!(tuple.columns().count(), tuple.len());
}

/// Arrays: of numbers, of text, with the delimiter of boxes, and of arrays' own kinds of element.
pub(crate) fn array(data: &[u8]) {
    let of = |element| TypeShape::Array {
        element: Box::new(element),
        delimiter: b',',
    };
    for builtin in [1007, 1009, 1020, 1231, 1001, 1185, 1187, 2951, 1022] {
        value(TypeShape::Builtin(builtin), data);
    }
    value(of(TypeShape::Enum(Vec::new())), data);
    value(of(pair()), data);
}

/// Composites, one inside another.
pub(crate) fn composite(data: &[u8]) {
    value(pair(), data);
    let fields = vec![
        ("pair".to_owned(), pair()),
        ("numbers".to_owned(), TypeShape::Builtin(1007)),
        ("bytes".to_owned(), TypeShape::Builtin(17)),
    ];
    value(TypeShape::Composite(fields), data);
}

fn pair() -> TypeShape {
    TypeShape::Composite(vec![
        ("n".to_owned(), TypeShape::Builtin(20)),
        ("words".to_owned(), TypeShape::Builtin(1009)),
        ("at".to_owned(), TypeShape::Builtin(1184)),
    ])
}

/// Ranges and multiranges.
pub(crate) fn range(data: &[u8]) {
    for builtin in [3904, 3906, 3908, 3910, 3912, 3926, 4451, 4532, 4534] {
        value(TypeShape::Builtin(builtin), data);
    }
    let text = || Box::new(TypeShape::Builtin(25));
    value(TypeShape::Range(text()), data);
    value(TypeShape::Multirange(text()), data);
    value(TypeShape::Range(Box::new(pair())), data);
}

/// Numbers of any scale, money, and what the shop reads as prices.
pub(crate) fn numeric(data: &[u8]) {
    // No modifier, (12,2), (5,-2) and (38,38).
    for modifier in [-1, 786_438, 329_730 + 2044, 2_490_410] {
        column(TypeShape::Builtin(1700), modifier, data);
    }
    for builtin in [790, 20, 21, 23, 26, 700, 701] {
        value(TypeShape::Builtin(builtin), data);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = retail::money::Price::parse(text);
    }
}

/// Intervals.
pub(crate) fn interval(data: &[u8]) {
    value(TypeShape::Builtin(1186), data);
}

/// Dates and times, with precision and without.
pub(crate) fn temporal(data: &[u8]) {
    for builtin in [1082, 1083, 1114, 1184, 1266] {
        for precision in [-1, 0, 3, 6] {
            column(TypeShape::Builtin(builtin), precision, data);
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = retail::time::Moment::parse(text);
    }
}

/// hstore.
pub(crate) fn hstore(data: &[u8]) {
    value(TypeShape::Extension("hstore".to_owned()), data);
}

/// Bytes, bits, and text that needs escapes.
pub(crate) fn bytea(data: &[u8]) {
    for builtin in [17, 25, 114, 1560, 1562, 2950, 600, 16] {
        value(TypeShape::Builtin(builtin), data);
    }
}

/// Reads the tables of the demo shop.
static DECODER: LazyLock<retail::change::Decoder> = LazyLock::new(|| {
    let settings = tidewater::config::parse("", []);
    let settings = settings.expect("every key has a default");
    retail::change::Decoder::new(&settings.retail.mapping)
});

/// What the retail half and `verify` read from topics: a key and a value, cut at the first line end.
pub(crate) fn record(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == b'\n');
    let (key, value) = data.split_at(cut.unwrap_or(0));
    let value = value.strip_prefix(b"\n").unwrap_or(value);
    let record = retail::change::Record {
        partition: 0,
        key: Some(key),
        value: Some(value),
        mark: None,
    };
    for table in retail::change::Table::ALL {
        let _ = DECODER.read(table, &record);
    }
    let read = tidewater::verify::record::Record {
        partition: 0,
        offset: 0,
        key: Some(key),
        value: Some(value),
        mark: None,
    };
    let _ = tidewater::verify::record::Content::decode(&read);
    if let Ok(text) = std::str::from_utf8(key) {
        if let Ok(position) = text.parse::<Position>() {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        if let Ok(lsn) = text.parse::<Lsn>() {
            assert_eq!(lsn.to_string().parse(), Ok(lsn));
        }
    }
}

fn value(shape: TypeShape, text: &[u8]) {
    column(shape, -1, text);
}

/// Encodes a row with one such value, both as the key and beside it. What comes out is JSON; what is
/// refused leaves nothing behind.
fn column(shape: TypeShape, type_modifier: i32, text: &[u8]) {
    let type_oid = match &shape {
        TypeShape::Builtin(oid) => *oid,
        _ => 16384,
    };
    let table = Table {
        schema: "public".to_owned(),
        name: "fuzzed".to_owned(),
        replica_identity: ReplicaIdentity::Full,
        columns: vec![ColumnShape {
            name: "value".to_owned(),
            type_oid,
            type_modifier,
            resolved: (type_oid == 16384).then_some(shape),
            facts: ColumnFacts::default(),
        }],
        key: vec![0],
    };
    for values in [ValueFormat::Lossless, ValueFormat::Debezium] {
        let mut encoder = encoder(values);
        let plan = encoder.compile(&table, 0);
        encoder.begin(&Transaction {
            epoch: 1,
            commit_lsn: Lsn(1),
            commit_time_us: 0,
            xid: Some(1),
            last_commit_lsn: None,
        });
        let change = Change {
            lsn: Lsn(1),
            ordinal: 1,
            now_us: 0,
        };
        let row: &[_] = &[tidewater::event::Column::Text(text)];
        let mut batch = Batch::default();
        if encoder.insert(&plan, change, row, &mut batch).is_err() {
            assert_eq!((batch.bytes.len(), batch.records.len()), (0, 0));
            continue;
        }
        assert_eq!(batch.records.len(), 1);
        for record in &batch.records {
            for part in [&record.key, &record.value].into_iter().flatten() {
                let json = std::str::from_utf8(batch.slice(part)).expect("utf-8");
                serde_json::from_str::<serde::de::IgnoredAny>(json).expect("json");
            }
        }
    }
}

fn encoder(values: ValueFormat) -> Encoder {
    let source = SourceName {
        prefix: "fuzz".to_owned(),
        database: "shop".to_owned(),
    };
    let format = Format {
        values,
        truncate: TruncateFormat::EachPartition,
        tombstones: true,
        skip_unchanged: false,
        shape: Shape::Envelope,
        headers: Extras::NONE,
        handling: Handling::default(),
        encoding: Encoding::Json,
        record_bytes_max: RECORD_BYTES_MAX,
    };
    Encoder::new(&source, format)
}

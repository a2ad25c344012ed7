//! The columns, and random values for them as SQL: ordinary ones, extremes, and what needs escaping.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::literal::quoted;
use super::{Column, Form};

const SCALARS: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "oid",
    "real",
    "float8",
    "numeric",
    "numeric(12,2)",
    "numeric(40,20)",
    "money",
    "text",
    "varchar(40)",
    "char(9)",
    "name",
    "\"char\"",
    "citext",
    "uuid",
    "bytea",
    "date",
    "time",
    "time(2)",
    "timetz",
    "timestamp",
    "timestamp(3)",
    "timestamptz",
    "timestamptz(0)",
    "interval",
    "json",
    "jsonb",
    "xml",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "bit(5)",
    "varbit",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "pg_lsn",
    "tsvector",
    "tsquery",
    "xid",
    "jsonpath",
    "ltree",
    "mood",
    "price",
    "fee",
    "int2vector",
];
const ARRAYS: &[&str] = &[
    "boolean",
    "smallint",
    "bigint",
    "real",
    "float8",
    "numeric",
    "text",
    "varchar(40)",
    "uuid",
    "bytea",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "jsonb",
    "inet",
    "point",
    "box",
    "mood",
    "price",
    "citext",
    "money",
    "bit(5)",
];
const RANGES: &[(&str, &str)] = &[
    ("int4range", "integer"),
    ("int8range", "bigint"),
    ("numrange", "numeric"),
    ("tsrange", "timestamp"),
    ("tstzrange", "timestamptz"),
    ("daterange", "date"),
    ("text_range", "text"),
];
const MULTIRANGES: &[(&str, &str)] = &[
    ("int4multirange", "integer"),
    ("int8multirange", "bigint"),
    ("nummultirange", "numeric"),
    ("tsmultirange", "timestamp"),
    ("tstzmultirange", "timestamptz"),
    ("datemultirange", "date"),
    ("text_multirange", "text"),
];

/// One of each.
pub(super) fn columns() -> Vec<Column> {
    let column = |name: &str, form| Column {
        name: name.to_owned().leak(),
        form,
    };
    let array = |element: Form, of: &str| {
        let name: &'static str = format!("{of}[]").leak();
        column(name, Form::Array(Box::new(element), name))
    };
    let mut columns: Vec<Column> = SCALARS
        .iter()
        .map(|name| column(name, Form::Scalar(name)))
        .collect();
    columns.extend(ARRAYS.iter().map(|of| array(Form::Scalar(of), of)));
    for (name, subtype) in RANGES {
        columns.push(column(name, Form::Range(name, subtype)));
        columns.push(array(Form::Range(name, subtype), name));
    }
    for (name, subtype) in MULTIRANGES {
        columns.push(column(name, Form::Multirange(name, subtype)));
        columns.push(array(Form::Multirange(name, subtype), name));
    }
    columns.push(column("inner_pair", inner()));
    columns.push(column("outer_pair", outer()));
    columns.push(array(outer(), "outer_pair"));
    columns.push(column("hstore", Form::Hstore));
    columns.push(array(Form::Hstore, "hstore"));
    columns
}

fn inner() -> Form {
    let words = Form::Array(Box::new(Form::Scalar("text")), "text[]");
    Form::Composite(vec![("n", Form::Scalar("bigint")), ("words", words)].leak())
}

fn outer() -> Form {
    Form::Composite(
        vec![
            ("name", Form::Scalar("text")),
            ("pair", inner()),
            ("span", Form::Range("int8range", "bigint")),
            ("mood", Form::Scalar("mood")),
            ("bytes", Form::Scalar("bytea")),
        ]
        .leak(),
    )
}

/// SQL for a random value of that form; every seventh is null.
pub(super) fn value(form: &Form, rng: &mut ChaCha8Rng) -> String {
    if rng.random_ratio(1, 7) {
        return "null".to_owned();
    }
    match form {
        Form::Scalar(name) => scalar(name, rng),
        Form::Array(element, name) => array(element, name, rng),
        Form::Composite(fields) => {
            let fields: Vec<String> = fields.iter().map(|(_, form)| value(form, rng)).collect();
            format!("row({})", fields.join(", "))
        }
        Form::Range(name, subtype) => range(name, subtype, rng),
        Form::Multirange(name, subtype) => {
            let of = name.replace("multirange", "range");
            let ranges: Vec<String> = (0..rng.random_range(0..4))
                .map(|_| range(&of, subtype, rng))
                .collect();
            format!("{name}({})", ranges.join(", "))
        }
        Form::Hstore => {
            let pairs: Vec<String> = (0..rng.random_range(0..4))
                .map(|at| {
                    let key = quoted(&format!("{at}{}", text(rng)));
                    format!("hstore({key}, {})", value(&Form::Scalar("text"), rng))
                })
                .collect();
            [vec!["''::hstore".to_owned()], pairs].concat().join(" || ")
        }
    }
}

fn array(element: &Form, name: &str, rng: &mut ChaCha8Rng) -> String {
    let run = |rng: &mut ChaCha8Rng, length: usize| {
        let elements: Vec<String> = (0..length).map(|_| value(element, rng)).collect();
        format!("array[{}]", elements.join(", "))
    };
    let length = rng.random_range(0..4);
    if length > 0 && rng.random_ratio(1, 3) {
        let rows: Vec<String> = (0..2)
            .map(|_| format!("{}::{name}", run(rng, length)))
            .collect();
        return format!("array[{}]::{name}", rows.join(", "));
    }
    format!("{}::{name}", run(rng, length))
}

fn range(name: &str, subtype: &str, rng: &mut ChaCha8Rng) -> String {
    if rng.random_ratio(1, 8) {
        return format!("'empty'::{name}");
    }
    let bound = |rng: &mut ChaCha8Rng| match rng.random_range(0..5) {
        0 => format!("null::{subtype}"),
        // The largest integers and dates have no successor, which a closed bound would need.
        _ => match subtype {
            "integer" | "bigint" => format!("{}::{subtype}", rng.random_range(-1000..1000)),
            "date" => format!(
                "'2026-01-01'::date + {}",
                rng.random_range(-900_000..900_000)
            ),
            "numeric" => format!("{}.50", rng.random_range(-1000..1000)),
            _ => scalar(subtype, rng),
        },
    };
    let (one, other) = (bound(rng), bound(rng));
    let bounds = ["[]", "[)", "(]", "()"].choose(rng).unwrap();
    // Null is unbounded, on whichever side it stands.
    format!(
        "case when {one} > {other} then {name}({other}, {one}, '{bounds}') \
         else {name}({one}, {other}, '{bounds}') end"
    )
}

/// Words with whatever one of the text forms has to escape.
fn text(rng: &mut ChaCha8Rng) -> String {
    const PIECES: &[&str] = &[
        "a",
        "Z",
        " ",
        "\"",
        "\\",
        "'",
        ",",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "=>",
        "NULL",
        "null",
        "\n",
        "\t",
        "\u{1}",
        "\u{e9}",
        "\u{1f30a}",
        "\u{2028}",
        "%",
        "$",
        ";",
        "0",
    ];
    let pieces = rng.random_range(0..7);
    (0..pieces).map(|_| *PIECES.choose(rng).unwrap()).collect()
}

fn scalar(name: &str, rng: &mut ChaCha8Rng) -> String {
    let (plain, _) = name.split_once('(').unwrap_or((name, ""));
    let text = match plain {
        "text" | "citext" | "varchar" => text(rng),
        "char" => text(rng).chars().take(9).collect(),
        "name" => text(rng).chars().take(15).collect(),
        "real" => real(rng),
        "float8" => float(rng),
        "bytea" => {
            let bytes: Vec<u8> = (0..rng.random_range(0..9)).map(|_| rng.random()).collect();
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\x{}", hex.concat())
        }
        "uuid" => uuid::Uuid::from_u128(rng.random()).to_string(),
        "bigint" => any(
            rng,
            &["9223372036854775807", "-9223372036854775808"],
            |rng| rng.random::<i64>().to_string(),
        ),
        "integer" => rng.random::<i32>().to_string(),
        "smallint" => rng.random::<i16>().to_string(),
        "oid" | "xid" => rng.random::<u32>().to_string(),
        "numeric" if name == "numeric" => any(
            rng,
            &["NaN", "Infinity", "-Infinity", "1e-30", "1e40"],
            decimal,
        ),
        "numeric" | "price" | "fee" | "money" => {
            format!(
                "{}.{:02}",
                rng.random_range(-90_000_000..90_000_000),
                rng.random_range(0..100)
            )
        }
        "date" => any(
            rng,
            &["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"],
            day,
        ),
        "timestamp" | "timestamptz" => any(
            rng,
            &[
                "infinity",
                "-infinity",
                "4713-01-02 00:00:00 BC",
                "294276-12-31 00:00:00.000001",
            ],
            |rng| {
                let day = day(rng);
                let clock = clock(rng);
                match day.strip_suffix(" BC") {
                    Some(past) => format!("{past} {clock} BC"),
                    None => format!("{day} {clock}"),
                }
            },
        ),
        "time" => any(rng, &["24:00:00", "00:00:00"], clock),
        "timetz" => format!(
            "{}{}",
            clock(rng),
            ["+00", "-07:30", "+15:59:59", "+01"].choose(rng).unwrap()
        ),
        _ => return quoted(fixed(plain).choose(rng).unwrap()) + "::" + name,
    };
    format!("{}::{name}", quoted(&text))
}

fn any(
    rng: &mut ChaCha8Rng,
    extremes: &[&str],
    ordinary: impl Fn(&mut ChaCha8Rng) -> String,
) -> String {
    if rng.random_ratio(1, 6) {
        return (*extremes.choose(rng).unwrap()).to_owned();
    }
    ordinary(rng)
}

fn decimal(rng: &mut ChaCha8Rng) -> String {
    let digits = |rng: &mut ChaCha8Rng, longest| -> String {
        (0..rng.random_range(1..longest))
            .map(|_| char::from(b'0' + rng.random_range(0..10_u8)))
            .collect()
    };
    let sign = if rng.random() { "-" } else { "" };
    format!("{sign}{}.{}", digits(rng, 30), digits(rng, 30))
}

fn real(rng: &mut ChaCha8Rng) -> String {
    any(
        rng,
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "1e-45",
            "3.4028235e38",
        ],
        |rng| {
            let number = f32::from_bits(rng.random());
            if number.is_finite() {
                format!("{number:e}")
            } else {
                "0.1".to_owned()
            }
        },
    )
}

fn float(rng: &mut ChaCha8Rng) -> String {
    any(
        rng,
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "5e-324",
            "1.7976931348623157e308",
        ],
        |rng| {
            let number = f64::from_bits(rng.random());
            if number.is_finite() {
                format!("{number:e}")
            } else {
                "0.1".to_owned()
            }
        },
    )
}

fn day(rng: &mut ChaCha8Rng) -> String {
    let (month, day) = (rng.random_range(1..=12), rng.random_range(1..=28));
    match rng.random_range(0..6) {
        0 => format!("{:04}-{month:02}-{day:02} BC", rng.random_range(1..4000)),
        1 => format!("{}-{month:02}-{day:02}", rng.random_range(10_000..290_000)),
        2 => format!("{:04}-{month:02}-{day:02}", rng.random_range(1..1000)),
        _ => format!("{}-{month:02}-{day:02}", rng.random_range(1900..2100)),
    }
}

fn clock(rng: &mut ChaCha8Rng) -> String {
    let (hour, minute, second) = (
        rng.random_range(0..24),
        rng.random_range(0..60),
        rng.random_range(0..60),
    );
    match rng.random_range(0..3) {
        0 => format!("{hour:02}:{minute:02}:{second:02}"),
        1 => format!(
            "{hour:02}:{minute:02}:{second:02}.{:02}",
            rng.random_range(0..100)
        ),
        _ => format!(
            "{hour:02}:{minute:02}:{second:02}.{:06}",
            rng.random_range(0..1_000_000)
        ),
    }
}

/// Types whose texts are taken from a list.
fn fixed(name: &str) -> &'static [&'static str] {
    match name {
        "boolean" => &["t", "f"],
        "\"char\"" => &["a", "\"", "", "'"],
        "interval" => &[
            "1 year 2 mons -3 days 04:05:06.5",
            "-1 year",
            "0",
            "00:00:00.000001",
            "178000000 years",
            "-178000000 years",
            "1 day -23:59:59",
            "-00:00:01",
            "2147483647 days",
        ],
        "json" => &[
            "{\"a\": 1, \"a\": [1.0, 1e400]}",
            " null ",
            "\"\\u00e9 \\\\\"",
            "[]",
        ],
        "jsonb" => &[
            "{\"a\": [1.00, {\"b\": null}]}",
            "null",
            "\"\\\"\"",
            "123456789012345678901234567890.5",
        ],
        "xml" => &["<a b=\"c\">d &amp; e</a>", "text"],
        "inet" => &["10.0.0.1/8", "::1", "192.168.0.1"],
        "cidr" => &["10.0.0.0/8", "2001:db8::/32"],
        "macaddr" => &["08:00:2b:01:02:03"],
        "macaddr8" => &["08:00:2b:01:02:03:04:05"],
        "bit" => &["10101", "00000"],
        "varbit" => &["", "1", "1010101010101010101"],
        "point" => &["(1.5,-2)", "(1e300,NaN)"],
        "line" => &["{1,-1,0}"],
        "lseg" => &["[(0,0),(1,1.5)]"],
        "box" => &["(1,1),(0,0)", "(2.5,3),(-1,-2)"],
        "path" => &["((0,0),(1,1))", "[(0,0),(1,1)]"],
        "polygon" => &["((0,0),(1,1),(2,0))"],
        "circle" => &["<(1,2),3.25>"],
        "pg_lsn" => &["16/B374D848", "0/0"],
        "tsvector" => &["'a' 'b':1A,2 'it''s'", ""],
        "tsquery" => &["'a' & !('b' | 'c':*)"],
        "jsonpath" => &["$.\"a\"[*]?(@ > 1)"],
        "ltree" => &["Top.Science", ""],
        "mood" => &["sad", "it's \"fine\"", "happy"],
        "int2vector" => &["1 2 3", ""],
        other => panic!("no values for {other}"),
    }
}

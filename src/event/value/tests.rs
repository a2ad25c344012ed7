//! Every type: PostgreSQL's text in, JSON out.

use super::super::Format;
use super::super::table::{ColumnFacts, ColumnShape, TypeShape};
use super::*;

fn column(type_oid: u32, resolved: Option<TypeShape>) -> ColumnShape {
    ColumnShape {
        name: "c".to_owned(),
        type_oid,
        type_modifier: -1,
        resolved,
        facts: ColumnFacts::default(),
    }
}

fn written(column: &ColumnShape, text: &[u8]) -> Result<String, Unexpected> {
    let mut out = Vec::new();
    write(
        &Kind::of(column, &Format::default()),
        text,
        &mut Vec::new(),
        &mut out,
    )?;
    let json = String::from_utf8(out).unwrap();
    assert!(
        serde_json::from_str::<serde_json::Value>(&json).is_ok(),
        "not json: {json}"
    );
    Ok(json)
}

#[track_caller]
fn check(type_oid: u32, text: &str, expected: &str) {
    let json = written(&column(type_oid, None), text.as_bytes());
    assert_eq!(
        json.as_deref(),
        Ok(expected),
        "type {type_oid}, text {text}"
    );
}

#[track_caller]
fn check_resolved(shape: &TypeShape, text: &str, expected: &str) {
    let json = written(&column(16_400, Some(shape.clone())), text.as_bytes());
    assert_eq!(json.as_deref(), Ok(expected), "{shape:?}, text {text}");
}

#[track_caller]
fn refuse(type_oid: u32, text: &[u8]) {
    let json = written(&column(type_oid, None), text);
    assert_eq!(
        json,
        Err(Unexpected),
        "type {type_oid}, text {}",
        text.escape_ascii()
    );
}

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const CHAR: u32 = 18;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const OID: u32 = 26;
const JSON: u32 = 114;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const MONEY: u32 = 790;
const BPCHAR: u32 = 1042;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const INTERVAL: u32 = 1186;
const TIMETZ: u32 = 1266;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;
const POINT: u32 = 600;

#[test]
fn booleans_and_integers() {
    check(BOOL, "t", "true");
    check(BOOL, "f", "false");
    check(INT2, "-32768", "-32768");
    check(INT4, "0", "0");
    check(INT8, "9223372036854775807", "9223372036854775807");
    check(INT8, "-9223372036854775808", "-9223372036854775808");
    check(OID, "4294967295", "4294967295");
    refuse(BOOL, b"true");
    for text in ["", "-", "1.0", "1e3", "0x1", "01", " 1"] {
        refuse(INT8, text.as_bytes());
    }
}

#[test]
fn decimals_keep_their_digits() {
    check(NUMERIC, "12.50", r#""12.50""#);
    check(
        NUMERIC,
        "-0.000000000000000000001",
        r#""-0.000000000000000000001""#,
    );
    check(NUMERIC, "NaN", r#""NaN""#);
    check(NUMERIC, "-Infinity", r#""-Infinity""#);
    check(MONEY, "-$1,234.50", r#""-$1,234.50""#);
}

#[test]
fn floats_are_numbers_except_three() {
    check(FLOAT8, "0.1", "0.1");
    check(FLOAT8, "-0", "-0");
    check(FLOAT8, "1e+16", "1e+16");
    check(FLOAT8, "1.7976931348623157e+308", "1.7976931348623157e+308");
    check(FLOAT8, "5e-324", "5e-324");
    check(FLOAT4, "3.4028235e+38", "3.4028235e+38");
    check(FLOAT4, "1e-07", "1e-07");
    check(FLOAT4, "NaN", r#""NaN""#);
    check(FLOAT8, "Infinity", r#""Infinity""#);
    check(FLOAT8, "-Infinity", r#""-Infinity""#);
    refuse(FLOAT8, b"inf");
    refuse(FLOAT8, b"1,5");
}

#[test]
fn text_of_any_kind() {
    check(TEXT, "", r#""""#);
    check(TEXT, "Grüße, 世界 🌊", "\"Grüße, 世界 🌊\"");
    check(TEXT, "a\"b\\c\nd\u{1}e", "\"a\\\"b\\\\c\\nd\\u0001e\"");
    check(BPCHAR, "ab   ", r#""ab   ""#);
    check(CHAR, "", r#""""#);
    check(
        UUID,
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#,
    );
    check(JSON, r#"{"b": 1, "b": 1.0}"#, r#""{\"b\": 1, \"b\": 1.0}""#);
    check(JSONB, r#"{"a": null}"#, r#""{\"a\": null}""#);
    check(INTERVAL, "P1Y2M-3DT4H5M6.7S", r#""P1Y2M-3DT4H5M6.7S""#);
    check(POINT, "(1,2)", r#""(1,2)""#);
    check(99_999, "whatever {", r#""whatever {""#);
    refuse(TEXT, b"\xFF");
}

#[test]
fn bytes_become_base64() {
    use base64::Engine;
    for length in 0..70_u8 {
        let bytes: Vec<u8> = (0..length)
            .map(|i| i.wrapping_mul(37).wrapping_add(200))
            .collect();
        let hex = bytes
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
        check(BYTEA, &format!("\\x{hex}"), &format!("\"{base64}\""));
    }
    for text in ["", "abc", "\\x0", "\\x0g", "\\\\001"] {
        refuse(BYTEA, text.as_bytes());
    }
}

#[test]
fn dates_and_times() {
    check(DATE, "2026-11-23", r#""2026-11-23""#);
    check(TIME, "08:00:00.5", r#""08:00:00.5""#);
    check(TIMETZ, "08:00:00+00", r#""08:00:00Z""#);
    check(
        TIMESTAMP,
        "2026-11-23 08:00:00",
        r#""2026-11-23T08:00:00.000000""#,
    );
    check(
        TIMESTAMPTZ,
        "2026-11-23 08:00:00.1+00",
        r#""2026-11-23T08:00:00.100000Z""#,
    );
    check(TIMESTAMPTZ, "infinity", r#""infinity""#);
    check(
        TIMESTAMPTZ,
        "0044-03-15 00:00:00+00 BC",
        r#""-0043-03-15T00:00:00.000000Z""#,
    );
}

#[test]
fn arrays_nest_and_quote() {
    const INT4_ARRAY: u32 = 1007;
    const TEXT_ARRAY: u32 = 1009;
    check(INT4_ARRAY, "{}", "[]");
    check(INT4_ARRAY, "{1,NULL,-3}", "[1,null,-3]");
    check(INT4_ARRAY, "{{1,2},{3,4}}", "[[1,2],[3,4]]");
    check(INT4_ARRAY, "[0:1][-1:0]={{1,2},{3,4}}", "[[1,2],[3,4]]");
    check(INT4_ARRAY, "{{{{{{1}}}}}}", "[[[[[[1]]]]]]");
    check(
        TEXT_ARRAY,
        r#"{a,"",NULL,"NULL","a,b","{c}"}"#,
        r#"["a","",null,"NULL","a,b","{c}"]"#,
    );
    check(
        TEXT_ARRAY,
        r#"{"a \"b\" \\ c","\\\""}"#,
        r#"["a \"b\" \\ c","\\\""]"#,
    );
    check(
        TEXT_ARRAY,
        "{\"line\nbreak\",ü}",
        "[\"line\\nbreak\",\"ü\"]",
    );
    check(1000, "{t,f,NULL}", "[true,false,null]");
    check(1001, r#"{"\\x00ff","\\x"}"#, r#"["AP8=",""]"#);
    check(1231, "{12.50,NaN}", r#"["12.50","NaN"]"#);
    check(1022, "{1e+16,NaN}", r#"[1e+16,"NaN"]"#);
    check(
        1182,
        "{2026-11-23,infinity}",
        r#"["2026-11-23","infinity"]"#,
    );
    check(
        1185,
        r#"{"2026-11-23 08:00:00+00"}"#,
        r#"["2026-11-23T08:00:00.000000Z"]"#,
    );
    check(3807, r#"{"{\"a\": [1, 2]}"}"#, r#"["{\"a\": [1, 2]}"]"#);
}

#[test]
fn damaged_arrays_are_refused() {
    for text in [
        "",
        "1",
        "{",
        "}",
        "{1",
        "{1,",
        "{1,}",
        "{,1}",
        "{1}}",
        "{{1}",
        "{1}x",
        "{1 }",
        "[0:1]",
        "{\"1",
        "{{{{{{{1}}}}}}}",
        "{}{}",
        "{1,{}",
        "{\"1\\",
    ] {
        refuse(1007, text.as_bytes());
    }
}

#[test]
fn types_that_somebody_created() {
    let array = |element| TypeShape::Array {
        element: Box::new(element),
        delimiter: b',',
    };
    check_resolved(&TypeShape::Enum(Vec::new()), "shipped", r#""shipped""#);
    check_resolved(&TypeShape::Builtin(INT4), "7", "7"); // a domain over integer
    check_resolved(&TypeShape::Extension("citext".to_owned()), "Ab", r#""Ab""#);
    check_resolved(&TypeShape::Opaque, "(1,\"a b\")", r#""(1,\"a b\")""#);
    check_resolved(
        &array(TypeShape::Enum(Vec::new())),
        "{placed,NULL}",
        r#"["placed",null]"#,
    );
    check_resolved(
        &array(TypeShape::Builtin(TIMESTAMP)),
        "{infinity}",
        r#"["infinity"]"#,
    );
    let boxes = TypeShape::Array {
        element: Box::new(TypeShape::Opaque),
        delimiter: b';',
    };
    check_resolved(
        &boxes,
        "{(1,1),(0,0);(2,2),(1,1)}",
        r#"["(1,1),(0,0)","(2,2),(1,1)"]"#,
    );
    // A domain over an array, in an array.
    check_resolved(
        &array(array(TypeShape::Builtin(TEXT))),
        r#"{"{a,\"b\\\\\\\"\"}"}"#,
        r#"[["a","b\\\""]]"#,
    );
}

#[test]
fn composites_are_objects() {
    let pair = TypeShape::Composite(vec![
        ("n".to_owned(), TypeShape::Builtin(INT8)),
        ("a \"b\"".to_owned(), TypeShape::Builtin(TEXT)),
    ]);
    check_resolved(&pair, "(1,x)", r#"{"n":1,"a \"b\"":"x"}"#);
    check_resolved(&pair, "(,)", r#"{"n":null,"a \"b\"":null}"#);
    check_resolved(&pair, r#"(-7,"")"#, r#"{"n":-7,"a \"b\"":""}"#);
    check_resolved(
        &pair,
        r#"(1,"(""x\\y"",)")"#,
        r#"{"n":1,"a \"b\"":"(\"x\\y\",)"}"#,
    );
    let nested = TypeShape::Composite(vec![
        ("pair".to_owned(), pair.clone()),
        ("ns".to_owned(), TypeShape::Builtin(1016)),
    ]);
    check_resolved(
        &nested,
        r#"("(1,""a b"")","{1,NULL}")"#,
        r#"{"pair":{"n":1,"a \"b\"":"a b"},"ns":[1,null]}"#,
    );
    check_resolved(&TypeShape::Composite(Vec::new()), "()", "{}");
    for text in [
        "",
        "(1)",
        "(1,x",
        "1,x",
        "(1,x,y)",
        "(1,x)y",
        "(x,1)",
        r#"(1,"x)"#,
    ] {
        let json = written(&column(16_400, Some(pair.clone())), text.as_bytes());
        assert_eq!(json, Err(Unexpected), "{text}");
    }
}

#[test]
fn ranges_are_objects_and_multiranges_arrays_of_them() {
    const INT4RANGE: u32 = 3904;
    const TSTZRANGE: u32 = 3910;
    const DATEMULTIRANGE: u32 = 4535;
    check(
        INT4RANGE,
        "[1,5)",
        r#"{"lower":1,"upper":5,"bounds":"[)","empty":false}"#,
    );
    check(
        INT4RANGE,
        "(,)",
        r#"{"lower":null,"upper":null,"bounds":"()","empty":false}"#,
    );
    check(
        INT4RANGE,
        "empty",
        r#"{"lower":null,"upper":null,"bounds":null,"empty":true}"#,
    );
    check(
        TSTZRANGE,
        r#"["2026-01-01 00:00:00+00",infinity]"#,
        r#"{"lower":"2026-01-01T00:00:00.000000Z","upper":"infinity","bounds":"[]","empty":false}"#,
    );
    check(DATEMULTIRANGE, "{}", "[]");
    check(
        DATEMULTIRANGE,
        "{[2026-01-01,2026-01-03),[2026-02-01,)}",
        r#"[{"lower":"2026-01-01","upper":"2026-01-03","bounds":"[)","empty":false},{"lower":"2026-02-01","upper":null,"bounds":"[)","empty":false}]"#,
    );
    check_resolved(
        &TypeShape::Range(Box::new(TypeShape::Builtin(TEXT))),
        r#"["a ""b""",c)"#,
        r#"{"lower":"a \"b\"","upper":"c","bounds":"[)","empty":false}"#,
    );
    for text in [
        "", "[", "[1", "[1,5", "1,5)", "[1,5)x", "[a,b)", "Empty", "[1;5)",
    ] {
        refuse(INT4RANGE, text.as_bytes());
    }
    for text in [
        "",
        "{",
        "{[2026-01-01,)",
        "{[2026-01-01,),}",
        "{}x",
        "[2026-01-01,)",
    ] {
        refuse(DATEMULTIRANGE, text.as_bytes());
    }
}

#[test]
fn hstores_are_objects_of_strings() {
    let hstore = TypeShape::Extension("hstore".to_owned());
    check_resolved(&hstore, "", "{}");
    check_resolved(
        &hstore,
        r#""a"=>"1", "b \"c\""=>NULL, ""=>"x\\y""#,
        r#"{"a":"1","b \"c\"":null,"":"x\\y"}"#,
    );
    for text in [
        "a=>1",
        r#""a"=>1"#,
        r#""a""#,
        r#""a"=>"1","#,
        r#""a"=>"1", "#,
        r#""a"=>NULLx"#,
    ] {
        let json = written(&column(16_400, Some(hstore.clone())), text.as_bytes());
        assert_eq!(json, Err(Unexpected), "{text}");
    }
}

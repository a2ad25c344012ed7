//! Values that Debezium 3.6.1 on Java 25 gave on real servers.

use super::super::table::{ColumnFacts, ColumnShape, TypeShape};
use super::super::{Format, ValueFormat};
use super::*;

fn column(type_oid: u32, type_modifier: i32, resolved: Option<TypeShape>) -> ColumnShape {
    ColumnShape {
        name: "c".to_owned(),
        type_oid,
        type_modifier,
        resolved,
        facts: ColumnFacts::default(),
    }
}

fn written(column: &ColumnShape, text: &str) -> Result<String, Unexpected> {
    written_with(Handling::default(), column, text)
}

fn written_with(
    handling: Handling,
    column: &ColumnShape,
    text: &str,
) -> Result<String, Unexpected> {
    let format = Format {
        values: ValueFormat::Debezium,
        handling,
        ..Format::default()
    };
    let kind = Kind::of(column, &format);
    let mut out = Vec::new();
    value::write(&kind, text.as_bytes(), &mut Vec::new(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[track_caller]
fn check_all(type_oid: u32, type_modifier: i32, values: &[(&str, &str)]) {
    for (text, expected) in values {
        let json = written(&column(type_oid, type_modifier, None), text);
        assert_eq!(json.as_deref(), Ok(*expected), "{text}");
    }
}

fn numeric(precision: i32, scale: i32) -> i32 {
    (precision << 16 | scale) + 4
}

#[test]
fn floats_are_in_java_s_text() {
    check_all(
        700,
        -1,
        &[
            ("1.5", "1.5"),
            ("3.4028235e+38", "3.4028235E38"),
            // Two numbers are equally close, and the even one is taken.
            ("2.2851562", "2.2851562"),
            ("4.1445312", "4.1445312"),
            ("8388608.5", "8388608.0"),
            ("1e-45", "1.4E-45"),
            ("3e-45", "2.8E-45"),
            ("1e-44", "9.8E-45"),
            ("9.5e-44", "9.5E-44"),
            ("1.1754944e-38", "1.1754944E-38"),
            ("NaN", "\"NaN\""),
            ("-Infinity", "\"-Infinity\""),
            ("0.001", "0.001"),
            ("0.0009999", "9.999E-4"),
            ("0.00012345", "1.2345E-4"),
            ("-0", "-0.0"),
            ("1e+07", "1.0E7"),
            ("9.999999e+06", "9999999.0"),
            ("1.2345678e+07", "1.2345678E7"),
            ("1.2345679e+06", "1234567.9"),
            ("3.3e+10", "3.3E10"),
            ("2e+23", "2.0E23"),
        ],
    );
    check_all(
        701,
        -1,
        &[
            ("1e+16", "1.0E16"),
            ("5e-324", "4.9E-324"),
            ("1e-323", "9.9E-324"),
            ("1.5e-323", "1.5E-323"),
            ("2.5e-323", "2.5E-323"),
            ("4.4501477170144023e-308", "4.4501477170144023E-308"),
            ("1.7976931348623157e+308", "1.7976931348623157E308"),
            ("123456.789", "123456.789"),
            ("12345678.9", "1.23456789E7"),
            ("8.41e+21", "8.41E21"),
            ("9007199254740992", "9.007199254740992E15"),
            ("9.5367431640625e-07", "9.5367431640625E-7"),
            ("100", "100.0"),
            ("0.002", "0.002"),
        ],
    );
}

#[test]
fn decimals_are_bytes() {
    check_all(
        1700,
        numeric(12, 2),
        &[
            ("12.50", "\"BOI=\""),
            ("-12.50", "\"+x4=\""),
            ("0.00", "\"AA==\""),
            ("-0.01", "\"/w==\""),
            ("9999999999.99", "\"AOjUpQ//\""),
            ("1.28", "\"AIA=\""),
            ("2.55", "\"AP8=\""),
            ("2.56", "\"AQA=\""),
            ("NaN", "null"),
        ],
    );
    check_all(
        1700,
        numeric(5, 0),
        &[
            ("99999", "\"AYaf\""),
            ("-128", "\"gA==\""),
            ("-129", "\"/38=\""),
            ("127", "\"fw==\""),
            ("-7", "\"+Q==\""),
            ("-32769", "\"/3//\""),
            ("32768", "\"AIAA\""),
        ],
    );
    check_all(
        1700,
        numeric(38, 20),
        &[
            ("1.50000000000000000000", "\"CCGrDUQUmAAA\""),
            ("-0.00000000000000000001", "\"/w==\""),
            (
                "12345678901234567.12345678901234567890",
                "\"AO3E5X5mnrEFQ9cx2I8K0g==\"",
            ),
            ("-1.00000000000000000000", "\"+pQ4odKc8AAA\""),
        ],
    );
    check_all(
        1700,
        -1,
        &[
            ("123.4500", r#"{"scale":2,"value":"MDk="}"#),
            ("Infinity", "null"),
            ("0.00", r#"{"scale":0,"value":"AA=="}"#),
            ("100", r#"{"scale":0,"value":"ZA=="}"#),
            (
                "100000000000000000000",
                r#"{"scale":0,"value":"BWvHXi1jEAAA"}"#,
            ),
            ("0.00000000000000000001", r#"{"scale":20,"value":"AQ=="}"#),
            (
                "-12345678901234567890.5",
                r#"{"scale":1,"value":"+U6xYH7QyZPH"}"#,
            ),
            (
                "123456789012345678901234567890.123456789",
                r#"{"scale":9,"value":"XODppWAV/sWq36MorjmBFQ=="}"#,
            ),
            ("-32768", r#"{"scale":0,"value":"gAA="}"#),
            ("-0.5", r#"{"scale":1,"value":"+w=="}"#),
        ],
    );
}

#[test]
fn money_is_cents() {
    check_all(
        790,
        -1,
        &[
            ("$1,234.56", "\"AeJA\""),
            ("-$0.01", "\"/w==\""),
            ("-$92,233,720,368,547,758.08", "\"gAAAAAAAAAA=\""),
            ("$92,233,720,368,547,758.07", "\"f/////////8=\""),
            ("$0.00", "\"AA==\""),
            ("$1,234,567.89", "\"B1vNFQ==\""),
        ],
    );
}

#[test]
fn dates_and_times_are_counted() {
    check_all(
        1082,
        -1,
        &[
            ("2026-02-03", "20487"),
            ("0044-03-15 BC", "-735160"),
            ("5874897-12-31", "2145042905"),
            ("1582-10-10", "-141432"),
            ("1969-12-31", "-1"),
            ("4713-01-01 BC", "-2440550"),
            ("0001-01-01", "-719162"),
            ("infinity", "-2147472692"),
            ("-infinity", "-2147472691"),
        ],
    );
    check_all(
        1083,
        -1,
        &[
            ("04:05:06.000007", "14706000007"),
            ("24:00:00", "86400000000"),
        ],
    );
    check_all(
        1083,
        3,
        &[("04:05:06.123", "14706123"), ("23:59:59.999", "86399999")],
    );
    check_all(
        1114,
        -1,
        &[
            ("2026-02-03 04:05:06.000007", "1770091506000007"),
            ("0044-03-15 12:00:00 BC", "-63517780800000000"),
            ("infinity", "9223372036825200000"),
            ("-infinity", "-9223372036832400000"),
            ("294276-12-31 23:59:59.999999", "-9223372036853775810"),
            ("4713-11-24 00:00:00 BC", "-210835180800000000"),
        ],
    );
    check_all(1114, 4, &[("1969-12-31 23:59:59.9999", "-100")]);
    check_all(
        1114,
        3,
        &[
            ("2026-02-03 04:05:06.123", "1770091506123"),
            ("1969-12-31 23:59:59.999", "-1"),
            ("infinity", "9223372036825200"),
            ("-infinity", "-9223372036832400"),
            ("12345-01-01 00:00:00", "327403382400000"),
        ],
    );
}

#[test]
fn zoned_times_are_text() {
    check_all(
        1184,
        -1,
        &[
            (
                "2026-02-03 04:05:06.000007+00",
                "\"2026-02-03T04:05:06.000007Z\"",
            ),
            (
                "2026-02-03 04:05:06.5+00",
                "\"2026-02-03T04:05:06.500000Z\"",
            ),
            (
                "0044-03-15 12:00:00+00 BC",
                "\"-0043-03-15T12:00:00.000000Z\"",
            ),
            ("infinity", "\"infinity\""),
        ],
    );
    check_all(
        1184,
        0,
        &[("12345-01-01 00:00:00+00", "\"+12345-01-01T00:00:00Z\"")],
    );
    check_all(
        1184,
        3,
        &[
            ("2026-02-03 02:05:06.12+00", "\"2026-02-03T02:05:06.120Z\""),
            ("-infinity", "\"-infinity\""),
        ],
    );
    check_all(
        1266,
        -1,
        &[
            ("04:05:06.000007+02", "\"02:05:06.000007Z\""),
            ("23:59:59-03:30", "\"03:29:59Z\""),
            ("24:00:00+00", "\"00:00:00Z\""),
            ("24:00:00+02", "\"22:00:00Z\""),
            ("01:00:00.12+14", "\"11:00:00.12Z\""),
            ("00:00:00.0001-02", "\"02:00:00.0001Z\""),
            ("00:00:00+15:59", "\"08:01:00Z\""),
            ("23:59:59.999999-15:59", "\"15:58:59.999999Z\""),
        ],
    );
}

#[test]
fn intervals_are_microseconds_with_debezium_s_rounding() {
    check_all(
        1186,
        -1,
        &[
            ("P1Y2M-3DT4H5M6.5S", "36572706500000"),
            ("P-1M", "-2629800000000"),
            ("PT0.000001S", "1"),
            ("P178000000Y", "9223372036854775807"),
            ("P-178000000Y", "-9223372036854775808"),
            ("PT-1.000001S", "-1000000"),
            ("PT123456H12.123457S", "444441612123457"),
            ("P10Y5M-40DT-23H-59M-59.999999S", "325182600000001"),
            ("P99Y11MT0.1S", "3153130200100000"),
            ("P-99YT-0.000001S", "-3124202400000001"),
            ("P290Y3DT0.000007S", "9151963200000008"),
            ("P1MT-59.1S", "2629740900000"),
            ("PT256204778H54.775807S", "922337200854775808"),
            ("P1DT-0.000001S", "86399999999"),
            ("PT0S", "0"),
        ],
    );
}

#[test]
fn bytes_and_bits() {
    check_all(17, -1, &[("\\x00ff10", "\"AP8Q\""), ("\\x", "\"\"")]);
    check_all(1560, 1, &[("1", "true"), ("0", "false")]);
    check_all(
        1560,
        12,
        &[
            ("100000000001", "\"AQg=\""),
            ("011111111111", "\"/wc=\""),
            ("000000000000", "\"\""),
            ("000010000000", "\"gA==\""),
        ],
    );
    check_all(
        1562,
        -1,
        &[
            ("0000000100000000000000000", "\"AAAC\""),
            ("", "\"\""),
            ("1", "\"AQ==\""),
        ],
    );
}

#[test]
fn text_is_escaped_as_jackson_does() {
    check_all(
        25,
        -1,
        &[
            (
                "a \"q\", \\ / \u{e9} \u{1F600} \t\n\u{1} \u{7f}",
                "\"a \\\"q\\\", \\\\ / \u{e9} \\uD83D\\uDE00 \\t\\n\\u0001 \u{7f}\"",
            ),
            (
                "\u{1f}\u{b}\u{80}\u{2028}\u{ffff}",
                "\"\\u001F\\u000B\u{80}\u{2028}\u{ffff}\"",
            ),
        ],
    );
    check_all(3904, -1, &[("[1,5)", "\"[1,5)\""), ("empty", "\"empty\"")]);
    check_all(
        2950,
        -1,
        &[(
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"",
        )],
    );
}

#[test]
fn points_have_well_known_binary() {
    check_all(
        600,
        -1,
        &[
            (
                "(1.5,-2)",
                r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#,
            ),
            (
                "(1e+300,NaN)",
                r#"{"x":1.0E300,"y":"NaN","wkb":"AQEAAACcdQCIPOQ3fgAAAAAAAPh/","srid":null}"#,
            ),
            (
                "(Infinity,-Infinity)",
                r#"{"x":"Infinity","y":"-Infinity","wkb":"AQEAAAAAAAAAAADwfwAAAAAAAPD/","srid":null}"#,
            ),
        ],
    );
}

#[test]
fn arrays_have_one_dimension() {
    check_all(
        1007,
        -1,
        &[
            ("{1,NULL}", "[1,null]"),
            ("{}", "[]"),
            ("[0:1]={7,8}", "[7,8]"),
            ("{{1,2},{3,4}}", "[null,null]"),
            ("{{{1,2},{3,4}}}", "[null]"),
        ],
    );
    check_all(
        1231,
        numeric(12, 2),
        &[
            ("{1.50,NULL,-2.00}", "[\"AJY=\",null,\"/zg=\"]"),
            ("{NaN,1.00}", "null"),
        ],
    );
    check_all(
        1231,
        -1,
        &[("{1.50,NULL}", r#"[{"scale":1,"value":"Dw=="},null]"#)],
    );
    check_all(
        1009,
        -1,
        &[(r#"{x,NULL,"y,z","q\"\\"}"#, r#"["x",null,"y,z","q\"\\"]"#)],
    );
    check_all(1001, -1, &[(r#"{"\\x00ff",NULL}"#, "[\"AP8=\",null]")]);
    check_all(1182, -1, &[("{2026-02-03,NULL}", "[20487,null]")]);
    check_all(
        1115,
        3,
        &[("{\"2026-02-03 04:05:06.123\",NULL}", "[1770091506123,null]")],
    );
    check_all(
        1185,
        3,
        &[(
            "{\"2026-01-01 00:00:00.12+00\"}",
            "[\"2026-01-01T00:00:00.120Z\"]",
        )],
    );
    check_all(
        1270,
        -1,
        &[(
            "{24:00:00+00,23:59:59-15:59}",
            "[\"00:00:00Z\",\"15:58:59Z\"]",
        )],
    );
    check_all(1561, 8, &[("{00000001,NULL}", "null"), ("{}", "null")]);
}

#[test]
fn created_types() {
    let extension = |name: &str| TypeShape::Extension(name.to_owned());
    let array = |element| TypeShape::Array {
        element: Box::new(element),
        delimiter: b',',
    };
    for (shape, text, expected) in [
        (TypeShape::Enum(Vec::new()), "happy", "\"happy\""),
        (array(TypeShape::Enum(Vec::new())), "{happy,NULL}", "null"),
        (
            array(TypeShape::Enum(Vec::new())),
            "{happy,n}",
            r#"["happy","n"]"#,
        ),
        (array(TypeShape::Enum(Vec::new())), "{}", "[]"),
        (extension("citext"), "Ab", "\"Ab\""),
        (extension("hstore"), r#""a"=>"1""#, r#""{\"a\":\"1\"}""#),
        (
            array(extension("hstore")),
            r#"{"\"a\"=>\"1\"",NULL}"#,
            r#"["{\"a\":\"1\"}",null]"#,
        ),
        (array(extension("ltree")), "{a.b,NULL}", "null"),
        (array(extension("ltree")), "{}", "[]"),
        (TypeShape::Builtin(1082), "1969-12-31", "-1"),
        (TypeShape::Composite(Vec::new()), "()", ""),
    ] {
        let json = written(&column(20_000, -1, Some(shape)), text);
        assert_eq!(json.as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_was_not_sent_has_a_placeholder() {
    for (type_oid, expected) in [
        (25, "\"__debezium_unavailable_value\""),
        (17, "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\""),
        (1009, "[\"__debezium_unavailable_value\"]"),
        (
            1007,
            "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,\
             118,97,108,117,101]",
        ),
        (1700, "null"),
        (1000, "null"),
        (5069, ""),
    ] {
        let mut out = Vec::new();
        let handling = Handling::default();
        Form::of(&column(type_oid, -1, None), &handling).unavailable(type_oid, &handling, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{type_oid}");
    }
}

#[test]
fn text_of_another_shape_is_refused() {
    for (type_oid, modifier, text) in [
        (1700, numeric(4, 1), "1.25"),
        (1700, -1, "1e5"),
        (700, -1, "1e39"),
        (701, -1, "-1e400"),
        (1700, -1, ""),
        (790, -1, "1.234,56 \u{20ac}"),
        (790, -1, "$1"),
        (1082, -1, "23/11/2026"),
        (1083, -1, "08:00:00+00"),
        (1114, -1, "2026-01-01"),
        (1114, -1, "20277777770-02-28 23:59:59.9"),
        (1266, -1, "08:00:00"),
        (1266, -1, "12:00:00-133333333333:00"),
        (1186, -1, "1 day"),
        (1560, 8, "0000000x"),
        (600, -1, "1,2"),
        (700, -1, "x"),
    ] {
        let json = written(&column(type_oid, modifier, None), text);
        assert_eq!(json, Err(Unexpected), "{text}");
    }
}

#[test]
fn each_handling_has_its_form() {
    let with = |change: fn(&mut Handling)| {
        let mut handling = Handling::default();
        change(&mut handling);
        handling
    };
    let double = with(|handling| handling.decimal = DecimalHandling::Double);
    let string = with(|handling| handling.decimal = DecimalHandling::String);
    let nanoseconds = with(|handling| handling.time = TimeHandling::Nanoseconds);
    let iso = with(|handling| handling.time = TimeHandling::IsoString);
    let parts = with(|handling| handling.interval = IntervalHandling::String);
    let unknown = with(|handling| handling.include_unknown = true);
    for (handling, type_oid, modifier, text, expected) in [
        (double, 1700, numeric(5, 2), "12.50", "12.5"),
        (double, 1700, -1, "NaN", "\"NaN\""),
        (double, 790, -1, "-$1,234.56", "-1234.56"),
        (string, 1700, numeric(5, 2), "12.50", "\"12.50\""),
        (string, 1700, -1, "-Infinity", "\"NEGATIVE_INFINITY\""),
        (nanoseconds, 1083, 0, "04:05:06", "14706000000000"),
        (nanoseconds, 1114, -1, "1970-01-01 00:00:01.5", "1500000000"),
        (nanoseconds, 1114, -1, "2262-04-12 00:00:00", "null"),
        (nanoseconds, 1114, -1, "-infinity", "-9223372036854775808"),
        (iso, 1082, -1, "0044-03-15 BC", "\"-0043-03-15Z\""),
        (iso, 1083, -1, "24:00:00", "\"00:00:00Z\""),
        (
            iso,
            1114,
            -1,
            "2026-02-03 04:05:06.12",
            "\"2026-02-03T04:05:06.12Z\"",
        ),
        (
            iso,
            1114,
            -1,
            "2026-02-03 00:00:00",
            "\"2026-02-03T00:00:00Z\"",
        ),
        (parts, 1186, -1, "P1Y-3DT-0.5S", "\"P1Y0M-3DT0H0M-0.5S\""),
        (
            unknown,
            603,
            -1,
            "(1,1),(0,0)",
            "\"KDEuMCwxLjApLCgwLjAsMC4wKQ==\"",
        ),
        (unknown, 3220, -1, "0/16", "\"MC8xNg==\""),
        (unknown, 3221, -1, "{0/16,NULL}", "null"),
        (unknown, 1003, -1, "{a}", ""),
    ] {
        let json = written_with(handling, &column(type_oid, modifier, None), text);
        assert_eq!(json.as_deref(), Ok(expected), "{text}");
    }
}

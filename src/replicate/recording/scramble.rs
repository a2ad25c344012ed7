//! Row values replaced by others of the same look, so that a capture can be given away.
//!
//! A value keeps its length, its punctuation and what a parser goes by: keywords, escapes, the digits of
//! a date that others depend on. Letters become other letters, digits other digits. Equal values become
//! equal values and different ones different, so keys still tell rows apart: each character is put
//! through a permutation that the key and the characters before it decide. The key is never written.
//!
//! It is no encryption. What stays readable: names of tables and columns, booleans, enumerations, nulls,
//! lengths, which values begin alike, the year and month of dates, and when and how often rows changed.

use std::collections::HashMap;

use rand::seq::SliceRandom;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::event::{Column, HEARTBEAT_PREFIX, Table, TypeShape};
use crate::pgoutput::{self, Message, OldTuple, Tuple};

/// Words that mean something to a parser.
const KEYWORDS: [&[u8]; 14] = [
    b"null",
    b"NULL",
    b"true",
    b"false",
    b"t",
    b"f",
    b"infinity",
    b"Infinity",
    b"NaN",
    b"empty",
    b"BC",
    b"P",
    b"PT",
    b"T",
];

/// Scrambles messages under one key.
#[derive(Debug)]
pub(super) struct Scrambler {
    key: [u8; 32],
}

const DIGITS: &[u8] = b"0123456789";
const HEXADECIMAL: &[u8] = b"0123456789abcdef";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// How a column's values look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Not scrambled: a boolean or a label.
    Plain,
    /// Zeros and ones.
    Bits,
    /// Hexadecimal digits.
    Hexadecimal,
    /// Anything else.
    Text,
}

impl Look {
    fn of(table: &Table, column: usize) -> Look {
        let Some(column) = table.columns.get(column) else {
            return Look::Text;
        };
        let builtin = match &column.resolved {
            None => column.type_oid,
            Some(TypeShape::Builtin(oid)) => *oid,
            Some(TypeShape::Enum(_)) => return Look::Plain,
            Some(_) => return Look::Text,
        };
        match builtin {
            16 => Look::Plain,
            1560 | 1562 => Look::Bits,
            17 | 2950 => Look::Hexadecimal,
            _ => Look::Text,
        }
    }
}

impl Scrambler {
    /// With a key of its own.
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Scrambler { key }
    }

    /// Scrambles the row values of one message in place.
    pub(super) fn scramble(&self, data: &mut [u8], tables: &HashMap<u32, Table>) {
        for (place, look) in places(data, tables) {
            if let Some(value) = data.get_mut(place) {
                self.value(look, value);
            }
        }
    }

    fn value(&self, look: Look, value: &mut [u8]) {
        let mut shuffle = Shuffle {
            before: Sha256::new_with_prefix(self.key),
        };
        match look {
            Look::Plain => {}
            Look::Bits => shuffle.each(value, b"01"),
            Look::Hexadecimal => {
                let digits = value.strip_prefix(b"\\x").map_or(0, |_| 2);
                shuffle.each(value.get_mut(digits..).unwrap_or_default(), HEXADECIMAL);
            }
            Look::Text => text(value, &mut shuffle),
        }
    }
}

/// The permutations of one value.
struct Shuffle {
    /// The key and the characters before.
    before: Sha256,
}

impl Shuffle {
    /// What becomes of a character among those of `alphabet`; of any other, itself.
    fn next(&mut self, byte: u8, alphabet: &[u8]) -> u8 {
        let Some(place) = alphabet.iter().position(|one| *one == byte) else {
            self.before.update([byte]);
            return byte;
        };
        let mut permuted = alphabet.to_vec();
        permuted.shuffle(&mut self.random());
        self.before.update([byte]);
        permuted.get(place).copied().unwrap_or(byte)
    }

    fn each(&mut self, bytes: &mut [u8], alphabet: &[u8]) {
        for byte in bytes {
            *byte = self.next(*byte, alphabet);
        }
    }

    fn random(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.before.clone().finalize().into())
    }
}

/// Where values lie in a message, and how they look.
fn places(data: &[u8], tables: &HashMap<u32, Table>) -> Vec<(std::ops::Range<usize>, Look)> {
    let mut found = Vec::new();
    let mut row = |relation: u32, tuple: Tuple<'_>| {
        for (index, column) in tuple.columns().enumerate() {
            if let Column::Text(text) = column {
                let look = tables.get(&relation);
                let look = look.map_or(Look::Text, |table| Look::of(table, index));
                found.push((place(data, text), look));
            }
        }
    };
    // What cannot be parsed was refused before.
    let Ok(message) = pgoutput::parse(data) else {
        return found;
    };
    match message {
        Message::Insert { relation, new } => row(relation, new),
        Message::Update { relation, old, new } => {
            if let Some(OldTuple::Key(old) | OldTuple::Full(old)) = old {
                row(relation, old);
            }
            row(relation, new);
        }
        Message::Delete { relation, old } => {
            let (OldTuple::Key(old) | OldTuple::Full(old)) = old;
            row(relation, old);
        }
        Message::Message {
            prefix, content, ..
        } if prefix != HEARTBEAT_PREFIX => found.push((place(data, content), Look::Text)),
        Message::Message { .. }
        | Message::Begin { .. }
        | Message::Commit { .. }
        | Message::Relation(_)
        | Message::Type(_)
        | Message::Origin { .. }
        | Message::Truncate { .. } => {}
    }
    found
}

/// Where a part lies in the whole that it was borrowed from.
fn place(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// Text of any type, token by token.
fn text(value: &mut [u8], shuffle: &mut Shuffle) {
    let mut at = 0;
    while let Some(rest) = value.get_mut(at..).filter(|rest| !rest.is_empty()) {
        at += token(rest, shuffle);
    }
}

/// Scrambles the token that `rest` begins with; its length.
fn token(rest: &mut [u8], shuffle: &mut Shuffle) -> usize {
    if let Some(length) = moment(rest, shuffle) {
        return length;
    }
    match rest {
        [b'\\', ..] => escape(rest, shuffle),
        [b'0'..=b'9', ..] => number(rest, shuffle),
        [byte, ..] if byte.is_ascii_alphabetic() => word(rest, shuffle),
        [byte, ..] if !byte.is_ascii() => foreign(rest, shuffle),
        [byte, ..] => {
            shuffle.next(*byte, b"");
            1
        }
        [] => 0,
    }
}

/// `\x00ff`, `\u00e9`, `\n`, each behind one backslash or, inside an array, two.
fn escape(rest: &mut [u8], shuffle: &mut Shuffle) -> usize {
    let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
    match rest.get_mut(slashes..) {
        Some([b'x', digits @ ..]) => {
            let length = run(digits, u8::is_ascii_hexdigit);
            shuffle.each(digits.get_mut(..length).unwrap_or_default(), HEXADECIMAL);
            slashes + 1 + length
        }
        Some([b'u', ..]) => (slashes + 5).min(rest.len()),
        Some([byte, ..]) if byte.is_ascii() => slashes + 1,
        _ => slashes,
    }
}

/// Digits, a point, an exponent; no leading zero that was not there.
fn number(rest: &mut [u8], shuffle: &mut Shuffle) -> usize {
    let length = run(rest, |byte| byte.is_ascii_digit() || *byte == b'.');
    let exponent = match rest.get(length..) {
        Some([b'e' | b'E', b'+' | b'-', b'0'..=b'9', ..]) => 2,
        Some([b'e' | b'E', b'0'..=b'9', ..]) => 1,
        _ => 0,
    };
    let mut leading = true;
    for byte in rest.iter_mut().take(length) {
        let alphabet = DIGITS.get(usize::from(leading)..).unwrap_or_default();
        leading &= *byte == b'0';
        *byte = shuffle.next(*byte, alphabet);
    }
    if exponent == 0 {
        return length;
    }
    let power = rest.get(length + exponent..).unwrap_or_default();
    length + exponent + run(power, u8::is_ascii_digit)
}

fn word(rest: &mut [u8], shuffle: &mut Shuffle) -> usize {
    let length = run(rest, u8::is_ascii_alphabetic);
    let word = rest.get_mut(..length).unwrap_or_default();
    // `P1Y2M3DT4H` is an interval, not four words.
    let designator = length <= 2 && word.iter().all(|byte| b"YMWDTHSP".contains(byte));
    if !designator && !KEYWORDS.contains(&&*word) {
        for byte in word {
            let alphabet = if byte.is_ascii_lowercase() {
                LOWER
            } else {
                UPPER
            };
            *byte = shuffle.next(*byte, alphabet);
        }
    }
    length
}

/// A character beyond ASCII becomes one that takes as many bytes.
fn foreign(rest: &mut [u8], shuffle: &mut Shuffle) -> usize {
    let length = match rest {
        [0xc0..=0xdf, ..] => 2,
        [0xe0..=0xef, ..] => 3,
        [0xf0..=0xff, ..] => 4,
        _ => 1,
    };
    let Some(place) = rest.get_mut(..length) else {
        return 1;
    };
    shuffle.before.update(&*place);
    let random = shuffle.random().next_u32();
    // Small Greek letters, ideographs, and pictures.
    let (first, count) = match length {
        2 => (0x3b1, 25),
        3 => (0x4e00, 20_000),
        4 => (0x1f600, 64),
        _ => return 1,
    };
    if let Some(other) = char::from_u32(first + random % count) {
        place.copy_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
    }
    length
}

/// `2020-02-29` and `23:59:59.5`: only digits that are valid whatever the others are.
fn moment(rest: &mut [u8], shuffle: &mut Shuffle) -> Option<usize> {
    let digits = run(rest, u8::is_ascii_digit);
    match rest.get_mut(digits..)? {
        [b'-', b'0' | b'1', b'0'..=b'9', b'-', ten, one, ..]
            if digits >= 4 && ten.is_ascii_digit() && one.is_ascii_digit() =>
        {
            let days: &[u8] = match *ten {
                b'0' => b"123456789",
                b'1' => DIGITS,
                b'2' => b"012345678",
                _ => b"",
            };
            *one = shuffle.next(*one, days);
            Some(digits + 6)
        }
        [
            b':',
            minutes @ b'0'..=b'5',
            minute,
            b':',
            seconds @ b'0'..=b'5',
            second,
            ..,
        ] if digits == 2 && minute.is_ascii_digit() && second.is_ascii_digit() => {
            for tens in [minutes, seconds] {
                *tens = shuffle.next(*tens, b"012345");
            }
            for ones in [minute, second] {
                *ones = shuffle.next(*ones, DIGITS);
            }
            let clock = digits + 6;
            let end = clock + fraction(rest.get_mut(clock..)?, shuffle);
            Some(end + zone(rest.get(end..)?))
        }
        _ => None,
    }
}

/// `.123`: its last digit is no zero, which PostgreSQL would leave out.
fn fraction(rest: &mut [u8], shuffle: &mut Shuffle) -> usize {
    let [b'.', digits @ ..] = rest else { return 0 };
    let length = run(digits, u8::is_ascii_digit);
    for (place, digit) in digits.iter_mut().take(length).enumerate() {
        let alphabet = DIGITS.get(usize::from(place + 1 == length)..);
        *digit = shuffle.next(*digit, alphabet.unwrap_or_default());
    }
    1 + length
}

fn run(bytes: &[u8], of: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| of(byte)).count()
}

/// `+05:30`, kept as it is.
fn zone(rest: &[u8]) -> usize {
    let [b'+' | b'-', zone @ ..] = rest else {
        return 0;
    };
    let part = |byte: &&u8| byte.is_ascii_digit() || **byte == b':';
    1 + zone.iter().take_while(part).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn scrambled(value: &str) -> String {
        let scrambler = Scrambler { key: [7; 32] };
        let mut bytes = value.as_bytes().to_vec();
        scrambler.value(Look::Text, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn look_and_length_stay() {
        for value in [
            "Ada Lovelace",
            "ada@example.org",
            "1234567890",
            "-12.50",
            "1.5e+100",
            "naïve 語 🙂",
            r#"{"name":"Ada","tags":[true,null,1.5e3],"text":"a\nb\u00e9\"c"}"#,
            r#"{"(1,\"a b\",2020-02-29)",NULL}"#,
            r#""a"=>"1", "b"=>NULL"#,
        ] {
            let other = scrambled(value);
            assert_eq!(other.len(), value.len(), "{other}");
            assert_ne!(other, value, "a key for which nothing changes is unlikely");
            let shape = |text: &str| {
                let kind = |c: char| match c {
                    'a'..='z' => 'a',
                    'A'..='Z' => 'A',
                    '0'..='9' => '0',
                    c if !c.is_ascii() => 'é',
                    c => c,
                };
                text.chars().map(kind).collect::<String>()
            };
            assert_eq!(shape(&other), shape(value));
        }
    }

    #[test]
    fn what_a_parser_goes_by_stays() {
        for value in ["infinity", "NaN", "t", "empty", "P", "\\N"] {
            assert_eq!(scrambled(value), value);
        }
        let json = r#"{"name":"Ada","tags":[true,null,1.5e3],"text":"a\nb\u00e9\"c"}"#;
        let parsed: serde_json::Value = serde_json::from_str(&scrambled(json)).unwrap();
        let tags = parsed
            .as_object()
            .unwrap()
            .values()
            .find(|value| value.is_array());
        assert_eq!(tags.unwrap()[0], true);
    }

    #[test]
    fn dates_and_times_stay_valid() {
        for value in [
            "2020-02-29",
            "2020-02-29 23:59:59.999999+00",
            "0044-12-31 23:59:59 BC",
            "24:00:00",
            "12:00:00.5-05:30",
        ] {
            for key in 0..50 {
                let scrambler = Scrambler { key: [key; 32] };
                let mut bytes = value.as_bytes().to_vec();
                scrambler.value(Look::Text, &mut bytes);
                let text = String::from_utf8(bytes).unwrap();
                assert!(valid(&text), "{value} became {text}");
            }
        }
    }

    fn valid(text: &str) -> bool {
        let (date, time) = match text.split_once(' ') {
            Some((date, time)) if time != "BC" => (Some(date), Some(time)),
            _ if text.contains(':') => (None, Some(text)),
            _ => (Some(text), None),
        };
        let date = date.is_none_or(|date| date.parse::<jiff::civil::Date>().is_ok());
        let clock = time.map(|time| &time[..8]);
        date && clock.is_none_or(|clock| {
            clock.starts_with("24") || clock.parse::<jiff::civil::Time>().is_ok()
        })
    }

    #[test]
    fn different_values_stay_different_and_equal_ones_equal() {
        let numbers = (0..2_000).map(|number| number.to_string());
        let words = (0..2_000).map(|number| format!("customer {number} of {}", number / 7));
        let values: Vec<String> = numbers.chain(words).collect();
        let others: BTreeSet<String> = values.iter().map(|value| scrambled(value)).collect();
        assert_eq!(others.len(), values.len());
        assert_eq!(scrambled("customer 17"), scrambled("customer 17"));
    }

    #[test]
    fn bits_and_bytes_stay_what_they_are() {
        let scrambler = Scrambler { key: [1; 32] };
        let other = |look, value: &str| {
            let mut bytes = value.as_bytes().to_vec();
            scrambler.value(look, &mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        let bits = other(Look::Bits, "1011001110001111");
        assert!(bits.bytes().all(|bit| b"01".contains(&bit)));
        let bytes = other(Look::Hexadecimal, "\\x00ff00ff00ff");
        assert!(
            bytes.starts_with("\\x") && bytes != "\\x00ff00ff00ff",
            "{bytes}"
        );
        assert_eq!(other(Look::Plain, "happy"), "happy");
    }
}

//! Reading decimal digits out of ASCII text, for timestamps and prices.

/// The number that `text` spells, if it is `least` to `most` digits and nothing else.
pub(super) fn number(text: &str, least: usize, most: usize) -> Option<i64> {
    let plain =
        (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// What is left to read.
pub(super) struct Digits<'a>(&'a [u8]);

impl<'a> Digits<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Digits(text.as_bytes())
    }

    /// Two digits between the bounds.
    pub(super) fn two(&mut self, least: i64, most: i64) -> Option<i64> {
        let &[tens @ b'0'..=b'9', units @ b'0'..=b'9', ref rest @ ..] = self.0 else {
            return None;
        };
        self.0 = rest;
        let value = i64::from(tens - b'0') * 10 + i64::from(units - b'0');
        (least..=most).contains(&value).then_some(value)
    }

    /// Exactly this byte.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == byte).then_some(())
    }

    /// A point and up to six digits, as millionths; zero when there is no point.
    pub(super) fn fraction_of_micros(&mut self) -> Option<i64> {
        let Some((b'.', digits)) = self.0.split_first() else {
            return Some(0);
        };
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(1..=6).contains(&length) {
            return None;
        }
        let (digits, rest) = digits.split_at(length);
        self.0 = rest;
        let value = digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        (length..6).try_fold(value, |value, _| Some(value * 10))
    }

    /// Nothing is left.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

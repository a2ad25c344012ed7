//! `Money`: an exact amount in millionths, as wide as the sink's numeric(38,6).

use std::fmt;

/// One more than the largest amount in millionths: 38 digits.
const LIMIT: i128 = 10_i128.pow(38);
const FRACTION_DIGITS: usize = 6;
const MILLION: u128 = 1_000_000;

/// An amount in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// A source's price as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// An amount that the aggregates can hold.
    Finite(Money),
    /// NaN, an infinity, more than six decimals, or more than 38 digits in all.
    NonFinite,
}

/// The text is no PostgreSQL numeric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedPrice;

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// `self × units`, unless it is too large.
    pub fn times(self, units: i32) -> Option<Money> {
        let product = self.0.checked_mul(i128::from(units))?;
        (-LIMIT < product && product < LIMIT).then_some(Money(product))
    }

    /// The sum; an amount past what i128 holds stays at its bound, which the sink refuses.
    #[must_use]
    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// The amount with the other sign.
    #[must_use]
    pub fn negated(self) -> Money {
        Money(self.0.saturating_neg())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", size / MILLION, size % MILLION)
    }
}

impl Price {
    /// Reads PostgreSQL's own digits: `12.50`, `-3`, `NaN`, `Infinity`, `-Infinity`.
    pub fn parse(text: &str) -> Result<Price, MalformedPrice> {
        if matches!(text, "NaN" | "Infinity" | "-Infinity") {
            return Ok(Price::NonFinite);
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(MalformedPrice);
        }
        let amount = millionths(whole, fraction);
        Ok(amount.map_or(Price::NonFinite, |amount| {
            Price::Finite(Money(if negative { -amount } else { amount }))
        }))
    }
}

fn millionths(whole: &str, fraction: &str) -> Option<i128> {
    if fraction.len() > FRACTION_DIGITS {
        return None;
    }
    let padding = FRACTION_DIGITS - fraction.len();
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', padding));
    digits
        .map(|digit| i128::from(digit - b'0'))
        .try_fold(0_i128, |sum, digit| {
            let sum = sum.checked_mul(10)?.checked_add(digit)?;
            (sum < LIMIT).then_some(sum)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact() {
        for (text, expected) in [
            ("12.50", "12.500000"),
            ("-3", "-3.000000"),
            ("0.000001", "0.000001"),
            ("-0.01", "-0.010000"),
            ("00012.5", "12.500000"),
            (
                "99999999999999999999999999999999.999999",
                "99999999999999999999999999999999.999999",
            ),
        ] {
            let Ok(Price::Finite(money)) = Price::parse(text) else {
                panic!("{text}")
            };
            assert_eq!(money.to_string(), expected);
        }
    }

    #[test]
    fn what_the_aggregates_cannot_hold_is_not_finite() {
        let wide = "1".repeat(33);
        for text in [
            "NaN",
            "Infinity",
            "-Infinity",
            "1.0000001",
            "1.0000000",
            wide.as_str(),
        ] {
            assert_eq!(Price::parse(text), Ok(Price::NonFinite), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1e3", "BNI=", "+1", "1,5", "nan"] {
            assert_eq!(Price::parse(text), Err(MalformedPrice), "{text:?}");
        }
    }

    #[test]
    fn a_product_too_large_for_the_sink_is_none() {
        let Ok(Price::Finite(money)) = Price::parse(&"9".repeat(32)) else {
            panic!()
        };
        assert_eq!(money.times(2), None);
        assert_eq!(
            money.times(-1).map(|money| money.to_string().len()),
            Some(40)
        );
    }
}

//! How shoppers respond to promotion codes: the model that simulated ones live by, and no measurement.
//!
//! A code of a larger discount is used by more of them. Their interest in the product fades: of those who will use
//! the code, half have done so within the half-life, three quarters within two of them, and so on. So of codes
//! that came `t` later, `2^(−t / half-life)` as many would be used: what `tidewater compare` reckons with.

use std::time::Duration;

/// Part of the shoppers, 0 to 1, who use a code of this discount if they may take their time: one in five at
/// 15 %, as `tidewater compare` assumes unless it is told otherwise, in proportion for others.
pub(super) fn share(discount_percent: i32) -> f64 {
    const AT_FIFTEEN: f64 = 0.2;
    const MOST: f64 = 0.9;
    (f64::from(discount_percent) / 15.0 * AT_FIFTEEN).clamp(0.0, MOST)
}

/// How long a shopper takes of whom `left`, above 0 and up to 1, take longer. An even draw of it makes an
/// exponential delay.
pub(super) fn delay(left: f64, half_life: Duration) -> Duration {
    let half_lives = -left.log2();
    Duration::try_from_secs_f64(half_lives * half_life.as_secs_f64()).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_discount_wins_more_shoppers() {
        for (discount, expected) in [(0, 0.0), (15, 0.2), (30, 0.4), (60, 0.8), (100, 0.9)] {
            assert!((share(discount) - expected).abs() < 1e-9, "{discount}");
        }
    }

    #[test]
    fn half_of_them_are_left_after_each_half_life() {
        const HOUR: Duration = Duration::from_hours(1);
        for (left, hours) in [(1.0, 0), (0.5, 1), (0.25, 2), (0.0625, 4)] {
            assert_eq!(delay(left, HOUR), HOUR * hours);
        }
        assert_eq!(delay(0.0, HOUR), Duration::MAX);
    }
}

//! Which transactions a snapshot of the server sees. Pure.

/// A snapshot, as `pg_current_snapshot()` shows it: `xmin:xmax:running,running,…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visibility {
    /// Everything below has ended.
    xmin: u64,
    /// Nothing from here on had ended.
    xmax: u64,
    /// What between the two had not, in order.
    running: Vec<u64>,
}

impl Visibility {
    /// Reads the server's text; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Visibility> {
        let mut parts = text.split(':');
        let (xmin, xmax) = (number(parts.next()?)?, number(parts.next()?)?);
        let list = parts.next()?;
        if parts.next().is_some() || xmin > xmax {
            return None;
        }
        let mut running = Vec::new();
        if !list.is_empty() {
            for text in list.split(',') {
                running.push(number(text).filter(|xid| (xmin..xmax).contains(xid))?);
            }
        }
        running.sort_unstable();
        Some(Visibility {
            xmin,
            xmax,
            running,
        })
    }

    /// Whether what a committed transaction wrote can be seen.
    pub(crate) fn sees(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.running.binary_search(&xid).is_err())
    }

    /// The first id that had not been given out to any transaction that had ended.
    pub(crate) fn next(&self) -> u64 {
        self.xmax
    }
}

/// Digits alone: a sign would be read, too.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The id whose low half the stream has sent: of all that have it, the one nearest to another id of about
/// the same time. Two ids in use are never 2³¹ apart, since the server itself compares them so.
pub(crate) fn widen(low: u32, near: u64) -> u64 {
    // The low half is what is meant.
    #[expect(clippy::cast_possible_truncation, reason = "the low half of an id")]
    let distance = low.wrapping_sub(near as u32).cast_signed();
    near.checked_add_signed(distance.into())
        .unwrap_or_else(|| low.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_snapshot_sees_what_had_ended() {
        let snapshot = Visibility::parse("10:20:12,15").unwrap();
        let seen: Vec<u64> = (8..22).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
        let quiet = Visibility::parse("4294967297:4294967297:").unwrap();
        assert!(quiet.sees(4_294_967_296) && !quiet.sees(4_294_967_297));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "1", "1:2", "2:1:", "1:2:3", "5:9:4", "1:5:2,", "1:5:+2", "1:5:2:", "a:5:2",
        ] {
            assert_eq!(Visibility::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_are_widened_over_the_turn_of_their_low_half() {
        let check = |low, near, wide| assert_eq!(widen(low, near), wide, "{low} near {near}");
        check(700, 750, 700);
        check(800, 750, 800);
        check(u32::MAX, 1 << 32, (1 << 32) - 1);
        check(3, (1 << 32) - 1, (1 << 32) + 3);
        check(7, (5 << 32) + 9, (5 << 32) + 7);
        check(u32::MAX, 3, u32::MAX.into());
    }

    proptest! {
        #[test]
        fn an_id_is_found_again_by_its_low_half(near in 1_u64 << 33..1 << 60, distance in -(1_i64 << 31) + 1..1 << 31) {
            let wide = near.checked_add_signed(distance).unwrap();
            prop_assert_eq!(widen(u32::try_from(wide & 0xFFFF_FFFF).unwrap(), near), wide);
        }

        #[test]
        fn what_the_server_shows_is_read(xmin in 3_u64..1000, more in 0_u64..20, bits in 0_u32..1 << 20) {
            let xmax = xmin + more;
            let running: Vec<u64> = (xmin..xmax).filter(|xid| bits >> (xid - xmin) & 1 == 1).collect();
            let texts: Vec<String> = running.iter().map(u64::to_string).collect();
            let snapshot = Visibility::parse(&format!("{xmin}:{xmax}:{}", texts.join(","))).unwrap();
            for xid in xmin - 3..xmax + 3 {
                let expected = xid < xmin || (xid < xmax && !running.contains(&xid));
                prop_assert_eq!(snapshot.sees(xid), expected);
            }
        }
    }
}

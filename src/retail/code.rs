//! Promotion ids and codes.
//!
//! ```text
//! [rule,customer,store,product,cycle] ──UUIDv5 under the sink's namespace──▶ promotion id
//! promotion id ──HMAC-SHA-256 under the secret──▶ first 50 bits ──▶ ten characters, and a check one
//! ```
//!
//! Both follow from what they stand for, so that a replay finds its own row. A code that is taken by
//! another id is made again from the id and a counter. The code in the ledger is the one that counts:
//! a changed secret changes none that exists.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Crockford's base 32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The five further symbols that his check character may be: it counts modulo 37, which is what makes
/// it catch every single wrong character and every swap of two.
const CHECK_ALPHABET: &[u8; 37] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";
/// Characters before the check character.
const CHARACTERS: u32 = 10;
const BITS: u32 = 5 * CHARACTERS;

/// The id of one cycle of a tuple.
pub fn promotion_id(
    namespace: &Uuid,
    [rule, customer, store, product]: [i64; 4],
    cycle: i32,
) -> Uuid {
    let name = format!("[{rule},{customer},{store},{product},{cycle}]");
    Uuid::new_v5(namespace, name.as_bytes())
}

/// Makes codes under one secret.
#[derive(Clone)]
pub struct Codes {
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codes")
    }
}

impl Codes {
    /// Codes under this secret.
    pub fn new(secret: &str) -> Codes {
        // An HMAC takes a key of any length: what is refused here cannot happen, and an empty key is
        // what the configuration refuses.
        let key = Hmac::new_from_slice(secret.as_bytes())
            .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
        Codes { key }
    }

    /// The code of an id; `attempt` counts the codes before that were taken.
    pub fn code(&self, id: &Uuid, attempt: u32) -> String {
        let mut mac = self.key.clone();
        mac.update(id.as_bytes());
        if attempt > 0 {
            mac.update(&attempt.to_be_bytes());
        }
        let digest = mac.finalize().into_bytes();
        let head = digest
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        spell(head >> (u64::BITS - BITS))
    }
}

/// A code as somebody has typed it: in small letters, with hyphens, with letters for the digits that they look
/// like. `None` where it is no code, by its check character or otherwise.
pub fn typed(text: &str) -> Option<String> {
    let mut code = String::new();
    for character in text.chars().filter(|character| *character != '-') {
        let character = match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if !character.is_ascii() || code.len() > CHARACTERS as usize {
            return None;
        }
        code.push(character);
    }
    let (digits, _) = code.split_at_checked(CHARACTERS as usize)?;
    let number = digits.bytes().try_fold(0_u64, |number, byte| {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        Some(number << 5 | u64::try_from(digit).ok()?)
    });
    (spell(number?) == code).then_some(code)
}

/// Ten characters, most significant first, and the check character.
fn spell(number: u64) -> String {
    let character = |alphabet: &[u8], index: u64| {
        let index = usize::try_from(index).unwrap_or_default();
        alphabet.get(index).map_or('0', |byte| char::from(*byte))
    };
    let digits = (0..CHARACTERS).rev().map(|place| {
        let digit = (number >> (5 * place)) & 31;
        character(ALPHABET, digit)
    });
    let check = character(CHECK_ALPHABET, number % 37);
    digits.chain([check]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn number(code: &str) -> u64 {
        let value = |c: u8| CHECK_ALPHABET.iter().position(|known| *known == c).unwrap();
        code.bytes()
            .take(10)
            .fold(0, |number, c| number * 32 + value(c) as u64)
    }

    fn is_valid(code: &str) -> bool {
        let check = CHECK_ALPHABET[usize::try_from(number(code) % 37).unwrap()];
        code.len() == 11 && code.as_bytes()[10] == check
    }

    #[test]
    fn numbers_are_spelt_as_crockford_does() {
        for (number, text) in [
            (0, "00000000000"),
            (1, "00000000011"),
            (32, "0000000010*"),
            (1234, "000000016JD"),
            ((1 << 50) - 1, "ZZZZZZZZZZX"),
        ] {
            assert_eq!(spell(number), text, "{number}");
        }
    }

    #[test]
    fn a_code_is_read_as_it_is_typed() {
        let check = |text: &str, code: Option<&str>| {
            assert_eq!(typed(text).as_deref(), code, "{text}");
        };
        check("000000016JD", Some("000000016JD"));
        check("0000-0001-6jd", Some("000000016JD"));
        check("OOOOOOOL6JD", Some("000000016JD"));
        check("0000000010*", Some("0000000010*"));
        check("ZZZZZZZZZZX", Some("ZZZZZZZZZZX"));
        for wrong in [
            "",
            "-",
            "000000016J",
            "000000016JE",
            "000000016JDD",
            "00000001ÜJD",
            "0000000u6JD",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn the_id_is_a_uuid_of_the_json_array() {
        let id = promotion_id(&Uuid::NAMESPACE_OID, [1, -2, 3, 4], 5);
        assert_eq!(id, Uuid::new_v5(&Uuid::NAMESPACE_OID, b"[1,-2,3,4,5]"));
        assert_eq!(id.get_version_num(), 5);
    }

    #[test]
    fn a_code_is_the_head_of_the_mac_and_each_attempt_has_another() {
        let codes = Codes::new("secret");
        let id = Uuid::nil();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
        mac.update(&[0; 16]);
        let digest = mac.finalize().into_bytes();
        let head = u64::from_be_bytes(digest[..8].try_into().unwrap()) >> 14;
        assert_eq!(number(&codes.code(&id, 0)), head);
        let attempts: HashSet<String> = (0..50).map(|n| codes.code(&id, n)).collect();
        assert_eq!(attempts.len(), 50);
        assert!(attempts.iter().all(|code| is_valid(code)));
        assert_ne!(codes.code(&id, 0), Codes::new("other").code(&id, 0));
    }

    #[test]
    fn the_check_character_catches_a_wrong_character_and_a_swap() {
        let code = Codes::new("secret").code(&Uuid::nil(), 0);
        for place in 0..10 {
            for wrong in ALPHABET {
                let mut typed = code.clone().into_bytes();
                if typed[place] != *wrong {
                    typed[place] = *wrong;
                    assert!(!is_valid(std::str::from_utf8(&typed).unwrap()));
                }
            }
            let mut typed = code.clone().into_bytes();
            if place < 9 && typed[place] != typed[place + 1] {
                typed.swap(place, place + 1);
                assert!(!is_valid(std::str::from_utf8(&typed).unwrap()));
            }
        }
    }
}

//! API keys: how one looks, what it may do, and how one is told from another. Pure but for the random bytes.
//!
//! ```text
//! tw_3f9a01c2d4e5b687_kU0F…43 characters of base64url
//!    └ id, public      └ secret: 256 random bits, of which only the SHA-256 is kept
//! ```
//!
//! A secret of 256 random bits needs no slow hash: nobody tries them out. The id finds the row, so that the
//! hashes can be compared in constant time instead of being searched for.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

const MARK: &str = "tw_";
const ID_BYTES: usize = 8;
const ID_DIGITS: usize = 2 * ID_BYTES;
const SECRET_BYTES: usize = 32;
/// Bytes of the base64url text of a secret.
const SECRET_CHARACTERS: usize = 43;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Send events.
    #[value(name = "events:write")]
    EventsWrite,
    /// Read aggregates and codes.
    #[value(name = "read")]
    Read,
    /// Edit promotion rules.
    #[value(name = "rules:write")]
    RulesWrite,
}

impl Scope {
    const ALL: [Scope; 3] = [Scope::EventsWrite, Scope::Read, Scope::RulesWrite];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scope::EventsWrite => "events:write",
            Scope::Read => "read",
            Scope::RulesWrite => "rules:write",
        }
    }

    /// The scope of this name.
    pub fn named(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// The public part of a key, and its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for KeyId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != ID_DIGITS || !digits {
            return Err(());
        }
        u64::from_str_radix(text, 16).map(KeyId).map_err(|_| ())
    }
}

/// What is kept of a secret.
#[derive(Clone, Copy, Debug)]
pub struct SecretHash([u8; SECRET_BYTES]);

impl SecretHash {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A hash that was stored.
    pub fn stored(bytes: &[u8]) -> Option<SecretHash> {
        bytes.try_into().ok().map(SecretHash)
    }

    /// Whether both are of one secret; takes as long whatever they differ in.
    pub fn is(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A key as its owner presents it. Its secret is not shown.
pub(super) struct Presented {
    /// Which one it says it is.
    pub(super) id: KeyId,
    /// Of its secret.
    pub(super) hash: SecretHash,
}

impl Presented {
    /// Reads the text of a key; `None` where it is none.
    pub(super) fn read(text: &str) -> Option<Presented> {
        let (id, secret) = text.strip_prefix(MARK)?.split_once('_')?;
        if secret.len() != SECRET_CHARACTERS {
            return None;
        }
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
        Some(Presented {
            id: id.parse().ok()?,
            hash: hash(&secret),
        })
    }
}

/// A key that was just made. Its text is nowhere else, and is shown once.
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// What is kept of its secret.
    pub hash: SecretHash,
    /// What its owner presents.
    pub text: String,
}

impl NewKey {
    /// Makes one; fails where the system has no random bytes.
    pub fn make() -> Result<NewKey, rand::rand_core::OsError> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        rand::rngs::OsRng.try_fill_bytes(&mut id)?;
        rand::rngs::OsRng.try_fill_bytes(&mut secret)?;
        let id = KeyId(u64::from_be_bytes(id));
        Ok(NewKey {
            id,
            hash: hash(&secret),
            text: format!("{MARK}{id}_{}", URL_SAFE_NO_PAD.encode(secret)),
        })
    }
}

fn hash(secret: &[u8]) -> SecretHash {
    SecretHash(Sha256::digest(secret).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_text_alone() {
        let (key, other) = (NewKey::make().unwrap(), NewKey::make().unwrap());
        let presented = Presented::read(&key.text).unwrap();
        assert_eq!(presented.id, key.id);
        assert!(presented.hash.is(&key.hash) && !presented.hash.is(&other.hash));
        assert_eq!(key.text.len(), 3 + 16 + 1 + 43);
        assert_eq!(key.id.to_string().parse(), Ok(key.id));
        let stored = SecretHash::stored(key.hash.bytes()).unwrap();
        assert!(stored.is(&key.hash) && SecretHash::stored(&[1]).is_none());
    }

    #[test]
    fn what_is_no_key_is_none() {
        let text = NewKey::make().unwrap().text;
        for wrong in [
            String::new(),
            "tw_".to_owned(),
            text.replace("tw_", "xx_"),
            text.to_uppercase(),
            format!("{text}A"),
            text.chars().take(62).collect(),
            format!("{}!", text.chars().take(62).collect::<String>()),
            text.replacen(&text[3..4], "g", 1),
        ] {
            let same = Presented::read(&wrong).is_some();
            assert!(!same, "{wrong}");
        }
    }

    #[test]
    fn scopes_have_names() {
        for scope in Scope::ALL {
            assert_eq!(Scope::named(scope.name()), Some(scope));
        }
        assert_eq!(Scope::named("write"), None);
    }
}

//! hstore in the order of Java's `HashMap`: by the bucket of each key, in one bucket as they come.

use super::super::hstore::{Part, each};
use super::super::json::Unexpected;
use super::text;

/// What a `HashMap` begins with; it doubles when it is more than three quarters full.
const BUCKETS: usize = 16;

/// Appends an object.
pub(super) fn write(
    hstore: &[u8],
    string: fn(&[u8], &mut Vec<u8>) -> Result<(), Unexpected>,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let mut entries: Vec<(u32, Vec<u8>)> = Vec::new();
    each(hstore, scratch, |part| {
        match (part, entries.last_mut()) {
            (Part::Key(key), _) => {
                let mut entry = Vec::with_capacity(key.len() + 16);
                string(key, &mut entry)?;
                entry.push(b':');
                let key = std::str::from_utf8(key).map_err(|_| Unexpected)?;
                entries.push((hash(key), entry));
            }
            (Part::Value(Some(value)), Some((_, entry))) => string(value, entry)?,
            (Part::Value(_), Some((_, entry))) => entry.extend_from_slice(b"null"),
            (Part::Value(_), None) => return Err(Unexpected),
        }
        Ok(())
    })?;
    let mut buckets = BUCKETS;
    while entries.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    entries.sort_by_key(|(hash, _)| *hash as usize & (buckets - 1));
    out.push(b'{');
    for (place, (_, entry)) in entries.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(entry);
    }
    out.push(b'}');
    Ok(())
}

/// Appends the object as a string of its own.
pub(super) fn write_quoted(
    hstore: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let mut object = Vec::new();
    write(hstore, text::write_inner, scratch, &mut object)?;
    text::write(&object, out)
}

/// `String.hashCode`, spread as `HashMap` does it.
fn hash(key: &str) -> u32 {
    let hash = key.encode_utf16().fold(0_u32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(unit.into())
    });
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_hash_as_in_java() {
        assert_eq!(hash(""), 0);
        assert_eq!(hash("a"), 97);
        // "hello".hashCode() is 99162322.
        let java = 0x05e9_18d2_u32;
        assert_eq!(hash("hello"), java ^ java >> 16);
    }
}

//! PostGIS: the server's own binary form, and the reference system that it names.

use super::super::hexadecimal;
use super::super::json::{self, Unexpected};
use super::number::base64;

/// Set in the type's word where a reference system follows it.
const HAS_REFERENCE_SYSTEM: u32 = 0x2000_0000;

/// Extended well-known binary in hexadecimal, as `geometry` and `geography` have it for their text.
pub(super) fn write(
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    scratch.clear();
    hexadecimal::read(text, scratch)?;
    let reference_system = reference_system(scratch)?;
    out.extend_from_slice(b"{\"wkb\":");
    base64(scratch, out);
    out.extend_from_slice(b",\"srid\":");
    match reference_system {
        Some(number) => json::number(number, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Ok(())
}

/// One byte for the order of the others, a word for the type, and perhaps one for the reference system.
fn reference_system(binary: &[u8]) -> Result<Option<i32>, Unexpected> {
    let (order, rest) = binary.split_first().ok_or(Unexpected)?;
    let word = |bytes: [u8; 4]| match order {
        0 => u32::from_be_bytes(bytes),
        _ => u32::from_le_bytes(bytes),
    };
    let (kind, rest) = rest.split_first_chunk().ok_or(Unexpected)?;
    if word(*kind) & HAS_REFERENCE_SYSTEM == 0 {
        return Ok(None);
    }
    let (number, _) = rest.split_first_chunk().ok_or(Unexpected)?;
    Ok(Some(word(*number).cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_forms_keep_their_reference_system() {
        for (text, expected) in [
            (
                // select 'SRID=4326;POINT(1 2)'::geometry
                "0101000020E6100000000000000000F03F0000000000000040",
                r#"{"wkb":"AQEAACDmEAAAAAAAAAAA8D8AAAAAAAAAQA==","srid":4326}"#,
            ),
            (
                "0101000000000000000000F03F0000000000000040",
                r#"{"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}"#,
            ),
            (
                // The same with the highest byte first.
                "0020000001000010E63FF00000000000004000000000000000",
                r#"{"wkb":"ACAAAAEAABDmP/AAAAAAAABAAAAAAAAAAA==","srid":4326}"#,
            ),
        ] {
            let mut out = Vec::new();
            write(text.as_bytes(), &mut Vec::new(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for text in ["", "01", "010100002", "0101000020E610", "zz"] {
            let refused = write(text.as_bytes(), &mut Vec::new(), &mut Vec::new());
            assert_eq!(refused, Err(Unexpected), "{text}");
        }
    }
}

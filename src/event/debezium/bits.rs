//! Bit strings: the bytes of Java's `BitSet`, the last bit of the text being the lowest.

use super::super::json::Unexpected;
use super::number::base64;

pub(super) fn single(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    out.extend_from_slice(match text {
        b"1" => b"true",
        b"0" => b"false",
        // Of a varbit(1), which Debezium fails to convert.
        b"" => b"null",
        _ => return Err(Unexpected),
    });
    Ok(())
}

pub(super) fn write(
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    scratch.clear();
    for bits in text.rchunks(8) {
        let mut byte = 0;
        for bit in bits {
            byte = byte << 1
                | match bit {
                    b'0' => 0,
                    b'1' => 1,
                    _ => return Err(Unexpected),
                };
        }
        scratch.push(byte);
    }
    while scratch.last() == Some(&0) {
        scratch.pop();
    }
    base64(scratch, out);
    Ok(())
}

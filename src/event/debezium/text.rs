//! Strings as Jackson writes them: characters beyond the basic plane as two escapes, and capital digits.

use std::io::Write;

use super::super::json::{self, Unexpected};

pub(super) fn write(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    written(text, true, out)
}

/// In a string that holds JSON characters beyond the basic plane stay, since it is characters that are
/// written there and not yet bytes.
pub(super) fn write_inner(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    written(text, false, out)
}

fn written(text: &[u8], as_bytes: bool, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if json::is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return Ok(());
    }
    let text = std::str::from_utf8(text).map_err(|_| Unexpected)?;
    escaped(text, as_bytes, out);
    Ok(())
}

/// Appends a string as Java's writer of JSON has it.
pub(in crate::event) fn string(text: &str, out: &mut Vec<u8>) {
    escaped(text, true, out);
}

/// As Kafka Connect's header converter has it: quotes and backslashes alone are escaped.
pub(super) fn write_header(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn escaped(text: &str, as_bytes: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\u{10000}'.. if !as_bytes => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            '\0'..' ' | '\u{10000}'.. => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to memory does not fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

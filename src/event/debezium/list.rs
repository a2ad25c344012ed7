//! Arrays, with what Debezium makes of two dimensions and of elements that it cannot convert.

use super::super::array::{self, DIMENSIONS_MAX};
use super::super::json::Unexpected;
use super::super::kind::Kind;
use super::Form;

/// Appends an array. One of two dimensions has a null for each of its rows.
pub(super) fn write(
    text: &[u8],
    element: &Kind,
    delimiter: u8,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let start = out.len();
    array::write(text, element, delimiter, DIMENSIONS_MAX, scratch, out)?;
    let written = out.get(start..).unwrap_or_default();
    if written.starts_with(b"[[") && !is_vector(element) {
        let rows = rows(text);
        out.truncate(start);
        out.push(b'[');
        for row in 0..rows {
            out.extend_from_slice(if row == 0 { b"null" } else { b",null" });
        }
        out.push(b']');
    } else if (is_opaque(element) || is_vector(element)) && holds_null(written) {
        // Debezium's elements of vectors and of unknown types must not be null.
        out.truncate(start);
        out.extend_from_slice(b"null");
    } else if is_decimal(element) && text.iter().any(|byte| matches!(byte, b'a' | b'f')) {
        // One NaN or Infinity, and Debezium gives up the array.
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
    Ok(())
}

/// Appends an array of text, or null if an element is.
pub(super) fn texts_or_null(
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let start = out.len();
    array::write(
        text,
        &Kind::Debezium(Form::Text),
        b',',
        DIMENSIONS_MAX,
        scratch,
        out,
    )?;
    if holds_null(out.get(start..).unwrap_or_default()) {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
    Ok(())
}

/// Whether a JSON array of strings holds a null: it is all that has an `n` outside of quotes.
fn holds_null(json: &[u8]) -> bool {
    let mut within = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => within = !within,
            b'n' if !within => return true,
            _ => {}
        }
    }
    false
}

fn is_decimal(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Debezium(
            Form::Decimal { .. }
                | Form::VariableDecimal
                | Form::DecimalDouble
                | Form::DecimalText { .. }
        )
    )
}

/// How many arrays the outermost array holds.
fn rows(text: &[u8]) -> usize {
    let (mut rows, mut depth, mut quoted) = (0, 0_usize, false);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            b'{' if !quoted => {
                rows += usize::from(depth == 1);
                depth += 1;
            }
            b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    rows
}

fn is_opaque(kind: &Kind) -> bool {
    matches!(kind, Kind::Debezium(Form::Opaque { .. }))
}

fn is_vector(kind: &Kind) -> bool {
    matches!(kind, Kind::Debezium(Form::DoubleVector | Form::FloatVector))
}

//! A record as a line. Pure.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::event::{Envelope, Operation};

/// Rows remembered to compare updates with; past that all are forgotten.
const ROWS_MAX: usize = 10_000;

/// Makes lines, and remembers the last row of each key.
#[derive(Debug, Default)]
pub struct Lines {
    rows: HashMap<Vec<u8>, Map<String, Value>>,
}

impl Lines {
    /// The line of one record.
    pub fn line(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, mark: Option<&str>) -> String {
        let shown = key.map_or_else(|| "-".to_owned(), key_text);
        let Some(value) = value else {
            return mark.map_or_else(
                || format!("tombstone  {shown}"),
                |mark| format!("mark  {mark}"),
            );
        };
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(value) else {
            return format!("{shown}  {}", String::from_utf8_lossy(value));
        };
        let mut line = String::new();
        let source = &envelope.source;
        let time = jiff::Timestamp::from_microsecond(source.ts_us)
            .map_or_else(|_| source.ts_us.to_string(), |at| format!("{at:.6}"));
        // Writing to a String does not fail.
        let _ = write!(line, "{time}  {:<8}", name(envelope.op));
        if envelope.op != Operation::Message {
            let _ = write!(line, "  {}.{}  {shown}", source.schema, source.table);
        }
        let what = self.what(key, &envelope);
        if !what.is_empty() {
            let _ = write!(line, "  {what}");
        }
        if let Some(position) = &source.position {
            let _ = write!(line, "  @{position}");
        }
        line
    }

    fn what(&mut self, key: Option<&[u8]>, envelope: &Envelope<'_>) -> String {
        let row = |raw: Option<&serde_json::value::RawValue>| {
            raw.and_then(|raw| serde_json::from_str::<Map<String, Value>>(raw.get()).ok())
        };
        let key = key.unwrap_or_default();
        let known = self.rows.remove(key);
        let Some(after) = row(envelope.after) else {
            return match &envelope.message {
                Some(message) => message.prefix.clone().into_owned(),
                None => String::new(),
            };
        };
        let what = match (envelope.op, row(envelope.before).or(known)) {
            (Operation::Update, Some(before)) => changes(&before, &after),
            _ => columns(&after),
        };
        if self.rows.len() >= ROWS_MAX {
            self.rows.clear();
        }
        self.rows.insert(key.to_owned(), after);
        what
    }
}

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "insert",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Read => "read",
        Operation::Truncate => "truncate",
        Operation::Message => "message",
    }
}

/// `{"store_id":3,"product_id":17}` as `store_id=3 product_id=17`.
fn key_text(key: &[u8]) -> String {
    match serde_json::from_slice::<Map<String, Value>>(key) {
        Ok(key) => columns(&key),
        Err(_) => String::from_utf8_lossy(key).into_owned(),
    }
}

fn columns(row: &Map<String, Value>) -> String {
    let columns = row.iter().map(|(name, value)| format!("{name}={value}"));
    columns.collect::<Vec<_>>().join(" ")
}

fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> String {
    let changed = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value));
    let changes = changed.map(|(name, value)| match before.get(name) {
        Some(old) => format!("{name}: {old} → {value}"),
        None => format!("{name}={value}"),
    });
    let changes: Vec<_> = changes.collect();
    if changes.is_empty() {
        "nothing changed".to_owned()
    } else {
        changes.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = br#"{"store_id":3}"#;

    fn value(op: &str, before: &str, after: &str) -> Vec<u8> {
        format!(
            r#"{{"before":{before},"after":{after},"op":"{op}","source":{{"ts_us":1795421702114333,"schema":"public","table":"inventory","position":"1:0/16E9058:1"}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn an_update_shows_what_changed_since_the_row_was_last_seen() {
        let mut lines = Lines::default();
        let mut line = |op: &str, before: &str, after: &str| {
            lines.line(Some(KEY), Some(&value(op, before, after)), None)
        };
        let insert = line("c", "null", r#"{"store_id":3,"on_hand":41}"#);
        assert_eq!(
            insert,
            "2026-11-23T08:15:02.114333Z  insert    public.inventory  store_id=3  \
             on_hand=41 store_id=3  @1:0/16E9058:1"
        );
        let update = line("u", "null", r#"{"store_id":3,"on_hand":40}"#);
        assert!(update.contains("  on_hand: 41 → 40  @"), "{update}");
        let full = line(
            "u",
            r#"{"store_id":3,"on_hand":7}"#,
            r#"{"store_id":3,"on_hand":6}"#,
        );
        assert!(full.contains("on_hand: 7 → 6"), "{full}");
        let delete = line("d", r#"{"store_id":3}"#, "null");
        assert!(
            delete.contains("delete    public.inventory  store_id=3  @"),
            "{delete}"
        );
    }

    #[test]
    fn other_records_are_shown_as_they_are() {
        let mut lines = Lines::default();
        assert_eq!(lines.line(Some(KEY), None, None), "tombstone  store_id=3");
        assert_eq!(
            lines.line(None, None, Some("snapshot-end")),
            "mark  snapshot-end"
        );
        assert_eq!(
            lines.line(Some(b"7"), Some(b"{\"code\":1}"), None),
            "7  {\"code\":1}"
        );
    }
}

//! The columns that an event carries, asked for by what they are for and found under their owner's names.

use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::mapping::MappedTable;

/// A key, or the columns after a change. A column that was not sent is `None`; one that was sent as null,
/// `Some(None)`.
pub(super) struct Sent<'a> {
    table: &'a MappedTable,
    columns: HashMap<Name<'a>, &'a RawValue>,
}

#[derive(PartialEq, Eq, Hash, Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Name<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'a> Sent<'a> {
    /// Reads an object.
    pub(super) fn read(json: &'a [u8], table: &'a MappedTable) -> Result<Sent<'a>, String> {
        let columns = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        Ok(Sent { table, columns })
    }

    /// A part of a key, which is there and not null.
    pub(super) fn id(&self, role: &str) -> Result<i64, String> {
        let id = self.integer(role)?.flatten();
        id.ok_or_else(|| format!("{} is missing", self.name(role)))
    }

    /// A whole number, whether it is written as one or as its digits. One that is none is as null.
    pub(super) fn integer<T: FromStr>(&self, role: &str) -> Result<Option<Option<T>>, String> {
        let parse = |text: String| match text.as_str() {
            "NaN" | "Infinity" | "-Infinity" => Ok(None),
            text => text.parse().map(Some).ok().ok_or("is no such integer"),
        };
        self.value(role, parse)
    }

    /// Text; of a number, its digits.
    pub(super) fn text(&self, role: &str) -> Result<Option<Option<String>>, String> {
        self.value(role, |text| Ok(Some(text)))
    }

    /// Yes or no.
    pub(super) fn flag(&self, role: &str) -> Result<Option<Option<bool>>, String> {
        let parse = |text: String| {
            text.parse()
                .map(Some)
                .ok()
                .ok_or("is neither true nor false")
        };
        self.value(role, parse)
    }

    fn value<T>(
        &self,
        role: &str,
        parse: impl FnOnce(String) -> Result<Option<T>, &'static str>,
    ) -> Result<Option<Option<T>>, String> {
        let name = self.table.column(role);
        let Some(json) = name.and_then(|name| self.columns.get(name)) else {
            return Ok(None);
        };
        let wrong = |what: &str| format!("{} {what}", self.name(role));
        let text = match json.get() {
            "null" => return Ok(Some(None)),
            text if text.starts_with('"') => {
                serde_json::from_str(text).map_err(|_| wrong("is no text"))?
            }
            text => text.to_owned(),
        };
        parse(text).map(Some).map_err(wrong)
    }

    fn name<'n>(&'n self, role: &'n str) -> &'n str {
        self.table.column(role).unwrap_or(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_under_their_owner_s_names() {
        let text = r#"[retail.inventory]
            columns = { store_id = "a \"b\"", product_id = "on_hand", on_hand = "qty" }"#;
        let mapping = crate::config::parse(text, []).unwrap().retail.mapping;
        let json = br#"{"a \"b\"": 7, "on_hand": "8", "qty": null, "store_id": 9}"#;
        let sent = Sent::read(json, &mapping.inventory).unwrap();
        assert_eq!((sent.id("store_id"), sent.id("product_id")), (Ok(7), Ok(8)));
        assert_eq!(sent.integer::<i32>("on_hand"), Ok(Some(None)));
        let sent =
            Sent::read(br#"{"on_hand": 8.5, "a \"b\"": "NaN"}"#, &mapping.inventory).unwrap();
        assert_eq!(sent.integer::<i32>("on_hand"), Ok(None));
        let error = sent.id("product_id").unwrap_err();
        assert_eq!(error, "on_hand is no such integer");
        assert_eq!(sent.id("store_id").unwrap_err(), "a \"b\" is missing");
    }
}

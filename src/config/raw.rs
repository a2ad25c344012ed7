//! The configuration before it is resolved: dotted keys and their text, from file and environment.

use std::collections::BTreeMap;

use super::find::{find, nearest};
use super::{Fault, KEYS};

/// First part of every variable that overrides a key: `TIDEWATER_SOURCE_URL`.
const VARIABLE_PREFIX: &str = "TIDEWATER_";
/// Variables of the test harness, which name no key.
const TEST_VARIABLE_PREFIX: &str = "TIDEWATER_TEST_";
/// A variable with this end names a file that holds the value.
const FILE_SUFFIX: &str = "_FILE";

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RawValue {
    /// Text, number or boolean.
    Text(String),
    /// A list of text.
    List(Vec<String>),
}

/// Dotted keys and values.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    pub(super) values: BTreeMap<String, RawValue>,
}

impl Raw {
    pub(super) fn read(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        faults: &mut Vec<Fault>,
    ) -> Raw {
        let mut raw = Raw::default();
        match text.parse::<toml::Table>() {
            Ok(table) => raw.flatten("", table, faults),
            Err(error) => faults.push(Fault {
                key: "configuration file".to_owned(),
                problem: error.to_string().trim_end().replace('\n', " "),
                remedy: "write it as TOML".to_owned(),
            }),
        }
        for (name, value) in environment {
            raw.override_by(&name, value, faults);
        }
        raw
    }

    fn flatten(&mut self, parent: &str, table: toml::Table, faults: &mut Vec<Fault>) {
        for (name, value) in table {
            let path = if parent.is_empty() {
                name
            } else {
                format!("{parent}.{name}")
            };
            let value = match value {
                toml::Value::Table(table) => {
                    self.flatten(&path, table, faults);
                    continue;
                }
                toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                    self.flatten_sections(&path, items, faults);
                    continue;
                }
                toml::Value::Array(items) => {
                    RawValue::List(items.into_iter().map(scalar).collect())
                }
                plain @ (toml::Value::String(_)
                | toml::Value::Integer(_)
                | toml::Value::Float(_)
                | toml::Value::Boolean(_)
                | toml::Value::Datetime(_)) => RawValue::Text(scalar(plain)),
            };
            if find(&path).is_some() {
                self.values.insert(path, value);
            } else {
                faults.push(unknown(&path));
            }
        }
    }

    /// `[[shape]]`: the keys of each, with its number.
    fn flatten_sections(&mut self, path: &str, items: Vec<toml::Value>, faults: &mut Vec<Fault>) {
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let toml::Value::Table(table) = item {
                self.flatten(&path, table, faults);
            } else {
                faults.push(unknown(&format!("{path} = {item}")));
            }
        }
    }

    fn override_by(&mut self, variable: &str, value: String, faults: &mut Vec<Fault>) {
        if !variable.starts_with(VARIABLE_PREFIX) || variable.starts_with(TEST_VARIABLE_PREFIX) {
            return;
        }
        if let Some(path) = key_of(variable) {
            self.values.insert(path, written(value));
        } else if let Some(path) = variable.strip_suffix(FILE_SUFFIX).and_then(key_of) {
            match std::fs::read_to_string(&value) {
                Ok(content) => {
                    self.values
                        .insert(path, written(content.trim_end().to_owned()));
                }
                Err(error) => faults.push(Fault {
                    key: variable.to_owned(),
                    problem: format!("the file {value} cannot be read: {error}"),
                    remedy: "name a readable file that holds the value".to_owned(),
                }),
            }
        } else {
            faults.push(Fault {
                key: variable.to_owned(),
                problem: "no key has this variable".to_owned(),
                remedy: "remove it, or see the keys in tidewater --help".to_owned(),
            });
        }
    }
}

/// `TIDEWATER_KAFKA_BROKERS` is `kafka.brokers`; below a wildcard underscores are dots, as librdkafka's
/// names have them.
fn key_of(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(VARIABLE_PREFIX)?.to_ascii_lowercase();
    KEYS.iter()
        .find_map(|key| match key.path.strip_suffix(".*") {
            Some(parent) => {
                let name = rest.strip_prefix(&format!("{}_", parent.replace('.', "_")))?;
                Some(format!("{parent}.{}", name.replace('_', ".")))
            }
            None => (key.path.replace('.', "_") == rest).then(|| key.path.to_owned()),
        })
}

/// A list in a variable is written as in the file: `["public.*", "!public.log"]`.
fn written(value: String) -> RawValue {
    let list = value
        .starts_with('[')
        .then(|| format!("v = {value}").parse::<toml::Table>().ok());
    match list.flatten().and_then(|mut table| table.remove("v")) {
        Some(toml::Value::Array(items)) => RawValue::List(items.into_iter().map(scalar).collect()),
        _ => RawValue::Text(value),
    }
}

fn scalar(value: toml::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn unknown(path: &str) -> Fault {
    Fault {
        key: path.to_owned(),
        problem: "there is no such key".to_owned(),
        remedy: match nearest(path) {
            Some(known) => format!("did you mean {known}?"),
            None => "remove it, or see the keys in tidewater --help".to_owned(),
        },
    }
}

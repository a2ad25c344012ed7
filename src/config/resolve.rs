//! Text becomes typed settings; whatever does not, becomes a fault.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::Fault;
use super::console::console;
use super::find::find;
use super::format::{format, registry};
use super::gateway::gateway;
use super::raw::{Raw, RawValue};
use super::retail::retail;
use super::row_store::row_store;
use super::selection::selection;
use super::settings::{
    AddedTables, Delivery, Http, Kafka, OnTooLarge, Retail, Settings, Sink, SnapshotMode, Source,
};
use super::simulate::simulate;
use super::verify::verify;
use super::webhook::webhook;
use crate::connection::Connection;
use crate::event::is_topic_character;
use crate::event::selection::Selection;
use crate::step::StepSettings;

/// Resolves every section. `None` only together with faults.
pub(super) fn resolve(raw: &Raw, faults: &mut Vec<Fault>) -> Option<Settings> {
    let mut resolver = Resolver { raw, faults };
    let source = resolver
        .has_section("source")
        .then(|| source(&mut resolver));
    let kafka = resolver.has_section("kafka").then(|| kafka(&mut resolver));
    let sink = resolver.has_section("sink").then(|| sink(&mut resolver));
    let format = format(&mut resolver);
    let registry = registry(&mut resolver);
    let http = Http {
        listen: resolver.parsed("http.listen")?,
    };
    let console = console(&mut resolver, http.listen);
    let verify = verify(&mut resolver);
    let gateway = gateway(&mut resolver);
    let retail = retail(&mut resolver);
    let webhook = webhook(&mut resolver);
    let simulate = simulate(&mut resolver);
    let row_store = row_store(&mut resolver);
    let names = format.as_ref().map(|format| format.handling.names);
    let selection = selection(names, &mut resolver);
    if let (Some(_), Some(retail), Some(selection)) = (&sink, &retail, &selection) {
        refuse_to_touch(retail, selection, &mut resolver);
    }
    let steps = steps(&mut resolver);
    Some(Settings {
        source: source.map_or(Some(None), |found| found.map(Some))?,
        kafka: kafka.map_or(Some(None), |found| found.map(Some))?,
        format: format?,
        registry: registry?,
        row_store: row_store?,
        selection: selection?.into(),
        sink: sink.map_or(Some(None), |found| found.map(Some))?,
        http,
        console: console?,
        verify: verify?,
        gateway: gateway?,
        retail: retail?,
        webhook: webhook?,
        simulate: simulate?,
        steps: steps?,
    })
}

/// The aggregates are made from whole rows in topics of their own.
fn refuse_to_touch(retail: &Retail, selection: &Selection, resolver: &mut Resolver<'_>) {
    for table in retail.mapping.tables() {
        if selection.touches(&table.schema, &table.name) {
            resolver.conflict(
                &format!("{}.table", table.section),
                format!("source.columns, [[transform]], [[route]] or [outbox] matches {table}"),
                "leave that table out of the patterns: the aggregates need it as it is",
            );
        }
    }
}

fn source(resolver: &mut Resolver<'_>) -> Option<Source> {
    let connection = resolver.connection("source.url");
    let primary = if resolver.is_set("source.primary_url") {
        resolver.connection("source.primary_url").map(Some)
    } else {
        Some(None)
    };
    let slot_failover =
        resolver.choice("source.slot_failover", &[("true", true), ("false", false)]);
    let slot = resolver.name("source.slot", 63, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
    });
    let publication = resolver.name("source.publication", 63, |c| !c.is_control());
    let tables = resolver.list("source.tables");
    let snapshot = resolver.choice(
        "source.snapshot",
        &[
            ("initial", SnapshotMode::Initial),
            ("never", SnapshotMode::Never),
            ("when-needed", SnapshotMode::WhenNeeded),
            ("only", SnapshotMode::Only),
        ],
    );
    let snapshot_workers = resolver.number("source.snapshot_workers", 1, 32);
    let snapshot_rows = resolver.number("source.snapshot_rows_per_second", 0, 1_000_000_000);
    let added_tables = resolver.choice(
        "source.added_tables",
        &[("read", AddedTables::Read), ("stream", AddedTables::Stream)],
    );
    let column_lists = column_lists(resolver, snapshot, added_tables);
    let publication_interval = resolver.duration("source.publication_interval", "100ms", "1h");
    let decoding = resolver.number("source.decoding_memory_bytes", 64 << 10, 2_147_482_624);
    let heartbeat = resolver.duration("source.heartbeat_interval", "0s", "5m");
    let on_too_large = resolver.choice(
        "source.on_too_large",
        &[
            ("stop", OnTooLarge::Stop),
            ("pass-over", OnTooLarge::PassOver),
        ],
    );
    let start_timeout = resolver.duration("source.start_timeout", "0s", "1h");
    Some(Source {
        connection: connection?,
        primary: primary?,
        slot: slot?,
        slot_failover: slot_failover?,
        publication: publication?,
        tables: tables?,
        snapshot: snapshot?,
        snapshot_workers: u16::try_from(snapshot_workers?).ok()?,
        snapshot_rows_per_second: u64::try_from(snapshot_rows?).ok().filter(|rows| *rows > 0),
        added_tables: added_tables?,
        column_lists: column_lists?,
        publication_interval: publication_interval?,
        decoding_memory_bytes: u64::try_from(decoding?).ok()?,
        heartbeat_interval: heartbeat?,
        start_timeout: start_timeout?,
        on_too_large: on_too_large?,
    })
}

fn column_lists(
    resolver: &mut Resolver<'_>,
    snapshot: Option<SnapshotMode>,
    added: Option<AddedTables>,
) -> Option<bool> {
    let lists = resolver.choice("source.column_lists", &[("true", true), ("false", false)])?;
    let reads = match snapshot? {
        SnapshotMode::Initial | SnapshotMode::WhenNeeded => added? == AddedTables::Read,
        SnapshotMode::Never | SnapshotMode::Only => false,
    };
    if lists && !reads {
        resolver.conflict(
            "source.column_lists",
            "a table that gets another column has to be read again, and nothing is".to_owned(),
            "set source.added_tables = \"read\" and source.snapshot = \"initial\" or \"when-needed\"",
        );
    }
    Some(lists)
}

fn kafka(resolver: &mut Resolver<'_>) -> Option<Kafka> {
    let brokers = resolver.brokers("kafka.brokers");
    let prefix = resolver.name("kafka.prefix", 100, is_topic_character);
    let partitions = resolver.number("kafka.partitions", 1, 10_000);
    let replication = resolver.optional_number("kafka.replication_factor", 1, 100);
    let delivery = resolver.choice(
        "kafka.delivery",
        &[
            ("exactly-once", Delivery::ExactlyOnce),
            ("at-least-once", Delivery::AtLeastOnce),
        ],
    );
    let message_bytes_max = resolver.number("kafka.message_bytes_max", 1_000, 1_000_000_000);
    let transaction_timeout = resolver.duration("kafka.transaction_timeout", "1s", "15m");
    Some(Kafka {
        brokers: brokers?,
        prefix: prefix?,
        partitions: i32::try_from(partitions?).ok()?,
        replication_factor: replication?.and_then(|count| i32::try_from(count).ok()),
        delivery: delivery?,
        message_bytes_max: usize::try_from(message_bytes_max?).ok()?,
        transaction_timeout: transaction_timeout?,
        client: resolver.below("kafka.client."),
        producer: resolver.below("kafka.producer."),
        consumer: resolver.below("kafka.consumer."),
    })
}

fn sink(resolver: &mut Resolver<'_>) -> Option<Sink> {
    Some(Sink {
        connection: resolver.connection("sink.url")?,
    })
}

fn steps(resolver: &mut Resolver<'_>) -> Option<StepSettings> {
    let file = resolver.text("debug.step_file").map(Into::into);
    let crash_at = match resolver.text("debug.crash_at") {
        None => None,
        Some(text) => {
            let (step, arrival) = text.rsplit_once(':').unwrap_or((text.as_str(), "1"));
            let Ok(arrival) = arrival.parse() else {
                resolver.fault("debug.crash_at", &text);
                return None;
            };
            Some((step.to_owned(), arrival))
        }
    };
    Some(StepSettings { file, crash_at })
}

pub(super) struct Resolver<'a> {
    raw: &'a Raw,
    faults: &'a mut Vec<Fault>,
}

impl Resolver<'_> {
    pub(super) fn has_section(&self, section: &str) -> bool {
        let prefix = format!("{section}.");
        self.raw.values.keys().any(|path| path.starts_with(&prefix))
    }

    /// Whether somebody has set it.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.raw.values.contains_key(path)
    }

    /// Two keys that cannot both be as they are; the remedy is to change the first.
    pub(super) fn conflict(&mut self, path: &str, problem: String, remedy: &str) {
        self.faults.push(Fault {
            key: path.to_owned(),
            problem,
            remedy: remedy.to_owned(),
        });
    }

    /// Keys of which none may be set as the others are; `false` where one is.
    pub(super) fn none_is_set(&mut self, paths: &[&str], problem: &str, remedy: &str) -> bool {
        let set: Vec<&str> = paths
            .iter()
            .copied()
            .filter(|path| self.is_set(path))
            .collect();
        for path in &set {
            self.conflict(path, problem.to_owned(), remedy);
        }
        set.is_empty()
    }

    /// The sections of a list, `transform[0]` and so on.
    pub(super) fn sections(&self, name: &str) -> Vec<String> {
        let mut sections: Vec<String> = Vec::new();
        let numbered = (0..).map(|index| format!("{name}[{index}]"));
        for section in numbered {
            if !self.has_section(&section) {
                break;
            }
            sections.push(section);
        }
        sections
    }

    /// Everything that was written of the keys that begin so, in an order of its own.
    pub(super) fn written(&self, prefixes: &[&str]) -> Vec<String> {
        let named = |path: &&String| prefixes.iter().any(|prefix| path.starts_with(prefix));
        let paths = self.raw.values.keys().filter(named);
        paths
            .flat_map(|path| [path.clone(), self.text(path).unwrap_or_default()])
            .collect()
    }

    /// What was written, or the default; `None` without either.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.raw.values.get(path) {
            Some(RawValue::Text(text)) => Some(text.clone()),
            Some(RawValue::List(items)) => Some(items.join(",")),
            None => find(path)
                .map(|key| key.default.to_owned())
                .filter(|text| !text.is_empty()),
        }
    }

    fn required(&mut self, path: &str) -> Option<String> {
        let text = self.text(path).filter(|text| !text.is_empty());
        if text.is_none() {
            let bound = find(path).map_or("", |key| key.bound);
            self.faults.push(Fault {
                key: path.to_owned(),
                problem: "is missing".to_owned(),
                remedy: format!("set it to {bound}"),
            });
        }
        text
    }

    pub(super) fn fault(&mut self, path: &str, value: &str) {
        let key = find(path);
        let shown = if key.is_some_and(|key| key.secret) {
            "…"
        } else {
            value
        };
        self.faults.push(Fault {
            key: path.to_owned(),
            problem: format!("\"{shown}\" is out of bounds"),
            remedy: format!("it may be {}", key.map_or("", |key| key.bound)),
        });
    }

    pub(super) fn checked<T>(
        &mut self,
        path: &str,
        check: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.required(path)?;
        let value = check(&text);
        if value.is_none() {
            self.fault(path, &text);
        }
        value
    }

    pub(super) fn parsed<T: FromStr>(&mut self, path: &str) -> Option<T> {
        self.checked(path, |text| text.parse().ok())
    }

    fn connection(&mut self, path: &str) -> Option<Connection> {
        let text = self.required(path)?;
        match text.parse() {
            Ok(connection) => Some(connection),
            Err(error) => {
                let error: <Connection as FromStr>::Err = error;
                self.faults.push(Fault {
                    key: path.to_owned(),
                    problem: error.to_string(),
                    remedy: "write it as postgres://user@host:5432/database".to_owned(),
                });
                None
            }
        }
    }

    pub(super) fn name(
        &mut self,
        path: &str,
        longest: usize,
        allowed: fn(char) -> bool,
    ) -> Option<String> {
        self.checked(path, |text| {
            (text.len() <= longest && text.chars().all(allowed)).then(|| text.to_owned())
        })
    }

    /// A table's schema and name, each as it is or, where it holds a dot, in SQL's quotes.
    pub(super) fn table(&mut self, path: &str) -> Option<(String, String)> {
        self.checked(path, |text| {
            let (schema, rest) = if text.starts_with('"') {
                let (schema, rest) = quoted(text)?;
                (schema, rest.strip_prefix('.')?)
            } else {
                let (schema, rest) = text.split_once('.')?;
                (schema.to_owned(), rest)
            };
            let name = if rest.starts_with('"') {
                let (name, rest) = quoted(rest)?;
                rest.is_empty().then_some(name)?
            } else {
                rest.to_owned()
            };
            (!schema.is_empty() && !name.is_empty()).then_some((schema, name))
        })
    }

    fn brokers(&mut self, path: &str) -> Option<String> {
        self.checked(path, |text| {
            let address = |item: &str| {
                item.trim()
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            };
            text.split(',').all(address).then(|| text.to_owned())
        })
    }

    pub(super) fn list(&mut self, path: &str) -> Option<Vec<String>> {
        if let Some(RawValue::List(items)) = self.raw.values.get(path) {
            let items = items.clone();
            if items.is_empty() {
                self.fault(path, "[]");
                return None;
            }
            return Some(items);
        }
        let text = self.required(path)?;
        Some(items(&text))
    }

    /// A list of texts exactly as they are, which may be empty.
    pub(super) fn texts(&self, path: &str) -> Vec<String> {
        match self.raw.values.get(path) {
            Some(RawValue::List(items)) => items.clone(),
            Some(RawValue::Text(text)) if text.is_empty() => Vec::new(),
            Some(RawValue::Text(_)) | None => items(&self.text(path).unwrap_or_default()),
        }
    }

    pub(super) fn choice<T: Copy>(&mut self, path: &str, choices: &[(&str, T)]) -> Option<T> {
        self.checked(path, |text| {
            choices
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, value)| *value)
        })
    }

    /// A list whose items are each one of the choices; empty when not set.
    pub(super) fn choices<T: Copy>(&mut self, path: &str, choices: &[(&str, T)]) -> Option<Vec<T>> {
        let text = self.text(path).unwrap_or_default();
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        let found = items.map(|item| {
            let choice = choices.iter().find(|(name, _)| *name == item);
            choice.map(|(_, value)| *value).ok_or(item)
        });
        match found.collect() {
            Ok(found) => Some(found),
            Err(item) => {
                self.fault(path, item);
                None
            }
        }
    }

    pub(super) fn number(&mut self, path: &str, least: i64, most: i64) -> Option<i64> {
        self.checked(path, |text| {
            let number: i64 = text.replace('_', "").parse().ok()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    /// The outer `None` is a fault, the inner one "not set".
    pub(super) fn optional_number(
        &mut self,
        path: &str,
        least: i64,
        most: i64,
    ) -> Option<Option<i64>> {
        match self.text(path) {
            None => Some(None),
            Some(_) => self.number(path, least, most).map(Some),
        }
    }

    pub(super) fn duration(&mut self, path: &str, least: &str, most: &str) -> Option<Duration> {
        let (least, most) = (duration(least)?, duration(most)?);
        self.checked(path, |text| {
            duration(text).filter(|found| (least..=most).contains(found))
        })
    }

    fn below(&self, prefix: &str) -> BTreeMap<String, String> {
        let text = |value: &RawValue| match value {
            RawValue::Text(text) => text.clone(),
            RawValue::List(items) => items.join(","),
        };
        let entries = self.raw.values.iter();
        let named = entries.filter_map(|(path, value)| Some((path.strip_prefix(prefix)?, value)));
        named
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect()
    }
}

/// `"a", b`, with brackets or without.
fn items(text: &str) -> Vec<String> {
    let text = text.trim_matches(|c| matches!(c, '[' | ']'));
    let items = text.split(',');
    items
        .map(|item| item.trim().trim_matches('"').to_owned())
        .collect()
}

/// A name in SQL's quotes, and what follows it: `"a""b".c` is `a"b` and `.c`.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut name, mut rest) = (String::new(), text.strip_prefix('"')?);
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// `20ms`, `1s`, `5m`, `1h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at_checked(digits)?;
    let count: u64 = count.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        "m" => count.checked_mul(60).map(Duration::from_secs),
        "h" => count.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

//! The row store on real servers: whatever happens, events of a table under the default replica identity are
//! those of its twin under `REPLICA IDENTITY FULL`, which the same transactions change in the same way.

mod altered;
mod histories;
mod joined;
mod kills;
mod moved;
mod refusals;

use std::collections::BTreeMap;

use serde_json::Value;
use tempfile::TempDir;

use crate::model::Record;
use crate::starts::Scene;
use crate::support::Tidewater;

/// Tables and their twins, and where rows are stored.
struct Twins {
    scene: Scene,
    directory: TempDir,
    /// What the configuration has beside.
    more: String,
}

impl Twins {
    /// `sql` makes tables, with `{t}` in their names for what tells a table from its twin.
    async fn new(name: &str, sql: &str, more: &str) -> Twins {
        let mut scene = Scene::new(name, "").await;
        if more.contains("json-schema") {
            // Keys name their topic, so twins would be in other partitions.
            scene.partitions = 1;
        }
        let publish = format!(
            "create publication {} for all tables with (publish_via_partition_root = true)",
            scene.name
        );
        scene.sql(&publish).await;
        let twins = Twins {
            scene,
            directory: TempDir::new().unwrap(),
            more: more.to_owned(),
        };
        twins.run(sql).await;
        let full = "do $$ declare name text; begin
            for name in select relname from pg_class where relname like '%_full' and relkind in ('r', 'p') loop
                execute format('alter table %I replica identity full', name);
            end loop; end $$";
        twins.scene.sql(full).await;
        twins
    }

    /// Runs statements on the tables and on their twins, in one transaction.
    async fn run(&self, sql: &str) {
        let both = [on(sql, ""), on(sql, "_full")].join(";\n");
        self.scene.sql(&format!("begin;\n{both};\ncommit")).await;
    }

    fn config(&self) -> String {
        let path = self.directory.path().display();
        let config = self.scene.config("initial", "");
        format!("{config}[row_store]\npath = \"{path}\"\n{}", self.more)
    }

    fn start(&self) -> Tidewater {
        Tidewater::start(&["replicate"], &self.config())
    }

    /// As [`Twins::start`], and dies at that arrival at that step.
    fn start_until(&self, step: &str, arrival: u64) -> Tidewater {
        let crash = format!("[debug]\ncrash_at = \"{step}:{arrival}\"\n");
        Tidewater::start(&["replicate"], &format!("{}\n{crash}", self.config()))
    }

    /// Streams until all that is committed by now is published.
    async fn catch_up(&self) {
        let replicator = self.scene.stream(&self.config()).await;
        self.scene.drain(replicator).await;
    }

    /// Events of a table are those of its twin. Returns how many there are.
    fn assert_same(&self, table: &str) -> usize {
        let stored = events(&self.scene.records(table));
        let full = events(&self.scene.records(&format!("{table}_full")));
        let mut count = 0;
        for (key, full) in &full {
            let none = Vec::new();
            let stored = stored.get(key).unwrap_or(&none);
            for (index, (stored, full)) in stored.iter().zip(full).enumerate() {
                assert_eq!(stored, full, "{table}, {key:?}, event {index}");
            }
            assert_eq!(stored.len(), full.len(), "{table}, {key:?}");
            count += full.len();
        }
        assert_eq!(
            stored.len(),
            full.len(),
            "{table} has keys that its twin has not"
        );
        println!("{count} events of {table} are those of its twin");
        count
    }
}

/// A statement on the table, or on its twin.
fn on(sql: &str, suffix: &str) -> String {
    sql.replace("{t}", suffix)
}

/// Records as far as the twins must agree, by partition and key: a scan may meet the twins' rows in another order.
fn events(records: &[Record]) -> BTreeMap<(i32, String), Vec<Value>> {
    let mut events: BTreeMap<(i32, String), Vec<Value>> = BTreeMap::new();
    for record in records {
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or_else(String::new, |bytes| {
                String::from_utf8(bytes.clone())
                    .unwrap()
                    .replace("_full", "")
            })
        };
        let value = text(&record.value);
        let mut value: Value = serde_json::from_str(&value).unwrap_or_default();
        let payload = if value.get("payload").is_some() {
            &mut value["payload"]
        } else {
            &mut value
        };
        if let Some(event) = payload.as_object_mut() {
            // Where and when, which they differ in; `unchanged` they must not.
            let source = event.remove("source").unwrap_or_default();
            event.insert("unchanged".to_owned(), source["unchanged"].clone());
            event.retain(|name, _| !name.starts_with("ts_"));
        }
        let headers: Vec<&String> = record.headers.iter().map(|(name, _)| name).collect();
        if headers.iter().any(|name| name.starts_with("tidewater.")) {
            continue;
        }
        let key = format!("{}{headers:?}", text(&record.key));
        let events = events.entry((record.partition, key)).or_default();
        events.push(value);
    }
    events
}

//! Capture files on real servers: what was captured replays as it was published, and a capture takes
//! nothing from the slot that replication goes by.

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater::connection::{Database, connect};
use tidewater::exit::ExitCode;
use tidewater::postgres::read_slot;

use crate::model::read_topic;
use crate::support::{self, Tidewater, caught_up, kafka_brokers, until};

const SETUP: &str = "
    create type mood as enum ('sad', 'happy');
    create domain price as numeric(12, 2);
    create table there (
        id bigint primary key, name text, mood mood, prices price[], at timestamptz, note text);
    alter table there replica identity full";
const CHANGES: &str = "
    insert into there values
        (1, 'Ada Lovelace', 'happy', '{1.50,NULL}', '2026-02-03 04:05:06.5+00', 'naïve'),
        (2, 'Grace Hopper', null, null, 'infinity', null);
    update there set note = 'Byron' where id = 1;
    begin; update there set id = 3 where id = 2; delete from there where id = 1; commit;
    truncate there";
/// The messages of the server: two inserts, two updates, a delete and a truncate.
const CHANGE_COUNT: u64 = 6;
/// A key-changing update is three records, a delete two.
const RECORD_COUNT: usize = 2 + 1 + 3 + 2 + 1;

struct Source {
    database: Database,
    config: String,
    name: String,
    files: TempDir,
}

impl Source {
    async fn open(name: &str) -> Source {
        let source = support::postgres_database(name).await;
        let database = connect(&source).await.unwrap();
        database.batch_execute(SETUP).await.unwrap();
        let name = support::unique(name);
        let config = format!(
            "[source]\nurl = \"{}\"\nslot = \"{name}\"\npublication = \"{name}\"\n\
             tables = [\"public.there\"]\nheartbeat_interval = \"0s\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{name}\"\npartitions = 1\n",
            support::database_url(source.database()),
            kafka_brokers()
        );
        Source {
            database,
            config,
            name,
            files: TempDir::new().unwrap(),
        }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    async fn change(&self) {
        self.database.batch_execute(CHANGES).await.unwrap();
    }

    fn replay(&self, file: &str, arguments: &[&str]) -> Vec<Value> {
        self.replay_as(file, arguments, "")
    }

    /// With a `[format]` of its own.
    fn replay_as(&self, file: &str, arguments: &[&str], format: &str) -> Vec<Value> {
        let all = [&["replay", file, "--json"], arguments].concat();
        let ended = Tidewater::run(&all, &format!("{}{format}", self.config));
        let ended = ended.expect(ExitCode::Success);
        let lines = ended.output.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The records of the topic, without the snapshot's end.
    fn published(&self) -> Vec<Value> {
        let records = read_topic(&kafka_brokers(), &format!("{}.public.there", self.name));
        let json = |bytes: &Option<Vec<u8>>| {
            let bytes = bytes.as_deref();
            bytes.map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap())
        };
        let shown = records
            .iter()
            .map(|record| json!({"key": json(&record.key), "value": json(&record.value)}));
        let mark = json!({"key": null, "value": null});
        shown.filter(|record| *record != mark).collect()
    }
}

/// Without what differs from one run to the next: the clock, and what the stream remembers of before.
fn comparable(mut record: Value) -> Value {
    let fields = record.as_object_mut().unwrap();
    fields.retain(|name, _| name == "key" || name == "value");
    if let Some(value) = fields["value"].as_object_mut() {
        value.retain(|name, _| !name.starts_with("ts_"));
        value["source"].as_object_mut().unwrap().remove("sequence");
    }
    record
}

#[tokio::test]
async fn a_capture_replays_as_it_was_published() {
    let source = Source::open("recorded").await;
    let replicator = Tidewater::start(&["replicate"], &source.config);
    replicator.streaming().await;
    let file = source.file("live.capture");
    let count = CHANGE_COUNT.to_string();
    let capture = Tidewater::start(&["capture", &file, "--changes", &count], &source.config);
    until("the capture to read", async || {
        capture.log().contains("capturing")
    })
    .await;
    source.change().await;
    let ended = capture.wait(std::time::Duration::from_mins(1));
    let ended = ended.expect(ExitCode::Success);
    assert!(
        ended
            .output
            .starts_with("captured 6 changes of 1 tables in 2 transactions"),
        "{}",
        ended.output
    );
    caught_up(&source.database, &source.name).await;

    let replayed = source.replay(&file, &[]);
    assert_eq!(replayed.len(), RECORD_COUNT);
    let topic = format!("{}.public.there", source.name);
    assert!(replayed.iter().all(|record| record["topic"] == *topic));
    let comparable = |records: Vec<Value>| records.into_iter().map(comparable).collect::<Vec<_>>();
    assert_eq!(comparable(replayed), comparable(source.published()));

    assert_eq!(source.replay(&file, &["--count", "2"]).len(), 2);
    let format = "[format]\nskip = [\"t\"]\nheaders = [\"op\"]\n";
    let shaped = source.replay_as(&file, &[], format);
    let operations: Vec<&str> = shaped
        .iter()
        .map(|record| record["headers"]["__op"].as_str().unwrap())
        .collect();
    assert_eq!(operations, ["c", "c", "u", "d", "d", "c", "d", "d"]);
    let refused = Tidewater::run(&["capture", &file], &source.config);
    assert_eq!(refused.code(), Some(2));
    assert!(
        refused.log.contains("exists: name another file"),
        "{}",
        refused.log
    );
    let foreign = source.file("foreign");
    std::fs::write(&foreign, "id,name\n").unwrap();
    let refused = Tidewater::run(&["replay", &foreign], &source.config);
    assert_eq!(refused.code(), Some(2));
    assert!(refused.log.contains("no capture file"), "{}", refused.log);
    assert_eq!(replicator.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_copy_of_the_slot_is_read_and_scrambled() {
    let source = Source::open("copied").await;
    let replicator = Tidewater::start(&["replicate"], &source.config);
    replicator.streaming().await;
    assert_eq!(replicator.terminate().code(), Some(0));
    source.change().await;
    let confirmed = async || {
        let slot = read_slot(&source.database, &source.name).await.unwrap();
        slot.unwrap().confirmed_flush_lsn
    };
    let before = confirmed().await;
    let file = source.file("existing.capture");
    let count = CHANGE_COUNT.to_string();
    let arguments = [
        "capture",
        &file,
        "--existing",
        "--scramble",
        "--changes",
        &count,
    ];
    let ended = Tidewater::run(&arguments, &source.config);
    ended.expect(ExitCode::Success);
    assert_eq!(confirmed().await, before);

    let bytes = std::fs::read(&file).unwrap();
    let holds = |word: &str| {
        bytes
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    };
    for secret in ["Lovelace", "Hopper", "Byron", "naïve", "04:05:06.5"] {
        assert!(!holds(secret), "{secret} is in the file");
    }
    assert!(holds("happy"), "an enumeration's labels are not secret");
    let replayed = source.replay(&file, &[]);
    let operations = |records: &[Value]| {
        let operation = |record: &Value| record["value"]["op"].clone();
        records.iter().map(operation).collect::<Vec<_>>()
    };

    // Nothing was taken from the slot: all of it is still to come.
    let replicator = Tidewater::start(&["replicate"], &source.config);
    replicator.streaming().await;
    caught_up(&source.database, &source.name).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    let published = source.published();
    assert_eq!(operations(&replayed), operations(&published));
    // The same key wherever it stands: as it was updated, and as it was deleted.
    assert_eq!(
        replayed[2]["value"]["before"]["id"],
        replayed[6]["value"]["before"]["id"]
    );
    assert_eq!(
        replayed[0]["value"]["after"]["name"],
        replayed[2]["value"]["after"]["name"]
    );
    assert_ne!(
        replayed[0]["value"]["after"]["name"],
        published[0]["value"]["after"]["name"]
    );
}

#[tokio::test]
async fn a_slot_that_is_not_there_cannot_be_copied() {
    let source = Source::open("uncopied").await;
    let sql = format!("create publication {} for table there", source.name);
    source.database.batch_execute(&sql).await.unwrap();
    let file = source.file("none.capture");
    let refused = Tidewater::run(&["capture", &file, "--existing"], &source.config);
    assert_eq!(refused.code(), Some(15), "{}", refused.log);
    assert!(refused.log.contains(&source.name), "{}", refused.log);
    assert!(!std::path::Path::new(&file).exists());
}

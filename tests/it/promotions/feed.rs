//! The three topics and the heartbeat, written by hand as the replicator would.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use tidewater::config::settings::Settings;
use tidewater::kafka::{Admin, TopicSpec, topics};

use crate::support::{kafka_brokers, postgres_database, unique};

pub(super) const PARTITIONS: i32 = 2;
const TABLES: [&str; 3] = ["inventory", "orders", "customers"];

/// Topics of a prefix of their own, and the configuration of a consumer that reads them.
pub(super) struct Feed {
    pub(super) prefix: String,
    pub(super) config: String,
    pub(super) settings: Settings,
    producer: BaseProducer,
    lsn: u64,
}

pub(super) fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

/// `2026-11-23T08:00:00.123456Z`, so many hours ago.
pub(super) fn hours_ago(hours: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(now_us() - hours * 3_600_000_000).unwrap();
    format!("{at:.6}")
}

impl Feed {
    /// Creates the topics and a sink without tables. `more` is added to the configuration's `[retail]`.
    pub(super) async fn open(name: &str, more: &str) -> Feed {
        let prefix = unique(name);
        let sink = postgres_database(name).await;
        let config = format!(
            "[kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = {PARTITIONS}\n\
             [sink]\nurl = \"{}\"\n[retail]\ngroup = \"{prefix}\"\n{more}\n",
            kafka_brokers(),
            crate::support::database_url(sink.database()),
        );
        let settings = tidewater::config::parse(&config, []).unwrap();
        let kafka = settings.kafka.clone().unwrap();
        let admin = Admin::new(&kafka).unwrap();
        for table in TABLES {
            let spec = TopicSpec::events(&kafka, topics::table(&prefix, "public", table));
            admin.ensure_topic(&spec).await.unwrap();
        }
        let heartbeat = TopicSpec::heartbeat(&kafka, topics::heartbeat(&prefix));
        admin.ensure_topic(&heartbeat).await.unwrap();
        Feed {
            prefix,
            config,
            settings,
            producer: ClientConfig::new()
                .set("bootstrap.servers", kafka_brokers())
                .create()
                .unwrap(),
            lsn: 0x1000,
        }
    }

    fn send(&mut self, table: &str, op: &str, key: &Value, after: &Value) {
        self.lsn += 0x10;
        let ordinal = u64::from(op != "r");
        let position = format!("1:0/{:X}:{ordinal}", self.lsn);
        let value = json!({
            "before": null, "after": after, "op": op,
            "source": {"ts_us": now_us(), "position": position, "schema": "public",
                       "table": table, "snapshot": if op == "r" { "true" } else { "false" }},
        });
        let numbers = key.as_object().unwrap().values().filter_map(Value::as_i64);
        let partition = i32::try_from(numbers.sum::<i64>()).unwrap() % PARTITIONS;
        let topic = topics::table(&self.prefix, "public", table);
        let (key, value) = (key.to_string(), value.to_string());
        let record = BaseRecord::to(&topic)
            .partition(partition)
            .key(&key)
            .payload(&value);
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .unwrap();
    }

    pub(super) fn level(&mut self, op: &str, store: i64, product: i64, on_hand: i64) {
        let key = json!({"store_id": store, "product_id": product});
        let after = json!({"store_id": store, "product_id": product, "on_hand": on_hand});
        self.send("inventory", op, &key, &after);
    }

    pub(super) fn customer(&mut self, op: &str, id: i64, tier: &str, contact: bool) {
        let after = json!({"customer_id": id, "tier": tier, "contact_allowed": contact});
        self.send("customers", op, &json!({"customer_id": id}), &after);
    }

    pub(super) fn order(
        &mut self,
        op: &str,
        id: i64,
        [customer, store, product]: [i64; 3],
        hours: i64,
    ) {
        let after = json!({
            "order_id": id, "customer_id": customer, "store_id": store, "product_id": product,
            "quantity": 1, "unit_price": "1.50", "status": "paid", "promotion_code": null,
            "placed_at": hours_ago(hours),
        });
        self.send("orders", op, &json!({"order_id": id}), &after);
    }

    /// An order that was placed now.
    pub(super) fn order_with_code(
        &mut self,
        id: i64,
        [customer, store, product]: [i64; 3],
        status: &str,
        code: &str,
    ) {
        let after = json!({
            "order_id": id, "customer_id": customer, "store_id": store, "product_id": product,
            "quantity": 1, "unit_price": "1.50", "status": status, "promotion_code": code,
            "placed_at": hours_ago(0),
        });
        self.send("orders", "u", &json!({"order_id": id}), &after);
    }

    /// The end of a complete snapshot, in one partition of one topic.
    fn snapshot_ends_in(&mut self, table: &str, partition: i32) {
        let (position, at) = (format!("1:0/{:X}:0", 0x1000), now_us().to_string());
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new()
            .insert(header("tidewater.mark", "snapshot-end"))
            .insert(header("tidewater.position", &position))
            .insert(header("tidewater.ts_us", &at));
        let topic = topics::table(&self.prefix, "public", table);
        let record = BaseRecord::<(), ()>::to(&topic)
            .partition(partition)
            .headers(headers);
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .unwrap();
    }

    /// The end of a complete snapshot everywhere but in the last partition of the customers.
    pub(super) fn snapshot_almost_ends(&mut self) {
        for table in TABLES {
            for partition in 0..PARTITIONS {
                if (table, partition) != ("customers", PARTITIONS - 1) {
                    self.snapshot_ends_in(table, partition);
                }
            }
        }
    }

    /// The mark that was missing.
    pub(super) fn snapshot_ends(&mut self) {
        self.snapshot_ends_in("customers", PARTITIONS - 1);
    }

    /// A snapshot of a shop with one eligible tuple: customer 7, product 2 in store 1.
    pub(super) fn one_eligible_tuple(&mut self) {
        self.level("r", 1, 2, 100);
        self.customer("r", 7, "premium", true);
        self.order("r", 1, [7, 1, 2], 48);
        self.order("r", 2, [7, 1, 2], 480);
    }

    /// A record of the events topic.
    pub(super) fn event(&mut self, value: &str) {
        self.events(&[value.to_owned()]);
    }

    /// Records of the events topic that are written at once.
    pub(super) fn events(&mut self, values: &[String]) {
        let topic = topics::events(&self.prefix);
        for value in values {
            let record = BaseRecord::to(&topic).partition(0).key("7").payload(value);
            self.producer
                .send(record)
                .map_err(|(error, _)| error)
                .unwrap();
        }
        self.flush();
    }

    /// A heartbeat that left the source so many seconds ago.
    pub(super) fn heartbeat(&mut self, seconds_ago: i64) {
        let value = json!({
            "op": "m", "source": {"ts_us": now_us() - seconds_ago * 1_000_000},
            "message": {"transactional": true, "prefix": "tidewater", "content": ""},
        })
        .to_string();
        let topic = topics::heartbeat(&self.prefix);
        let record = BaseRecord::to(&topic).partition(0).key("s").payload(&value);
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .unwrap();
        self.flush();
    }

    pub(super) fn flush(&self) {
        self.producer.flush(Duration::from_secs(10)).unwrap();
    }
}

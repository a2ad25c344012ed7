//! `Context`: what is the same for all changes of one transaction, rendered once into fragments.
//!
//! ```text
//! "source":{"version":"0.1.0","connector":"postgresql","name":"retail","ts_ms":…,
//!   "snapshot":"false","db":"shop","sequence":"[\"24023000\",\"                        head
//! 24023128                                                                           per change
//! \"]","ts_us":…,"ts_ns":…,"schema":"                                                times
//! public","table":"orders                                                            per table
//! ","txId":755,"lsn":                                                                transaction
//! 24023128                                                                           per change
//! ,"xmin":null,"position":"1:0/16E9058:                                              position
//! 1                                                                                  per change
//! "}
//! ```
//!
//! In Debezium's format `position` is `,"xmin":null,"origin":null,"origin_lsn":null`, and that is all.

use std::fmt::Write;

use super::change::Transaction;
use super::format::ValueFormat;
use super::json;
use super::plan::quoted_content;

/// Rendered fragments; see the picture above.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    /// `"source":{"version":…,"name":"retail","ts_ms":`, the same for ever.
    name: Vec<u8>,
    /// `","db":"shop","sequence":"[`, the same for ever.
    database: Vec<u8>,
    pub(super) head: Vec<u8>,
    pub(super) times: Vec<u8>,
    pub(super) transaction: Vec<u8>,
    pub(super) position: Vec<u8>,
    /// `,"ts_ms":…,"ts_us":…,"ts_ns":…` of the encoder's own clock, and the time it shows.
    pub(super) clock: Vec<u8>,
    clock_us: Option<i64>,
    /// Whether `position` ends where the ordinal goes.
    pub(super) has_position: bool,
    /// The same for whoever wants one of them alone.
    pub(super) facts: Facts,
}

/// Parts of a transaction by themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) commit_time_us: i64,
    pub(super) xid: Option<u32>,
    /// `1:0/16E9058:`, where the ordinal follows.
    pub(super) position: String,
    pub(super) database: String,
}

impl Context {
    pub(super) fn new(prefix: &str, database: &str, values: ValueFormat) -> Self {
        let mut name = br#""source":{"version":""#.to_vec();
        name.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
        name.extend_from_slice(br#"","connector":"postgresql","name":""#);
        name.extend(quoted_content(prefix));
        name.extend_from_slice(br#"","ts_ms":"#);
        let mut db = br#"","db":""#.to_vec();
        db.extend(quoted_content(database));
        db.extend_from_slice(br#"","sequence":"["#);
        Context {
            name,
            database: db,
            has_position: values == ValueFormat::Lossless,
            facts: Facts {
                database: database.to_owned(),
                ..Facts::default()
            },
            ..Context::default()
        }
    }

    /// Renders the fragments of a transaction, or of a snapshot; `snapshot` is Debezium's flag.
    pub(super) fn begin(&mut self, transaction: &Transaction, snapshot: &str) {
        let Transaction {
            epoch,
            commit_lsn,
            commit_time_us,
            xid,
            last_commit_lsn,
        } = *transaction;

        self.facts.commit_time_us = commit_time_us;
        self.facts.xid = xid;
        self.facts.position.clear();
        // Writing to memory does not fail.
        let _ = write!(self.facts.position, "{epoch}:{commit_lsn}:");

        self.head.clone_from(&self.name);
        json::number(commit_time_us.div_euclid(1000), &mut self.head);
        self.head.extend_from_slice(br#","snapshot":""#);
        self.head.extend_from_slice(snapshot.as_bytes());
        self.head.extend_from_slice(&self.database);
        match last_commit_lsn {
            Some(lsn) => {
                self.head.extend_from_slice(br#"\""#);
                json::number(lsn.0, &mut self.head);
                self.head.extend_from_slice(br#"\",\""#);
            }
            None => self.head.extend_from_slice(br#"null,\""#),
        }

        self.times.clear();
        self.times.extend_from_slice(br#"\"]","ts_us":"#);
        json::number(commit_time_us, &mut self.times);
        self.times.extend_from_slice(br#","ts_ns":"#);
        nanoseconds(commit_time_us, &mut self.times);
        self.times.extend_from_slice(br#","schema":""#);

        self.transaction.clear();
        self.transaction.extend_from_slice(br#"","txId":"#);
        match xid {
            Some(xid) => json::number(xid, &mut self.transaction),
            None => self.transaction.extend_from_slice(b"null"),
        }
        self.transaction.extend_from_slice(br#","lsn":"#);

        self.position.clear();
        if !self.has_position {
            self.position
                .extend_from_slice(br#","xmin":null,"origin":null,"origin_lsn":null"#);
            return;
        }
        self.position
            .extend_from_slice(br#","xmin":null,"position":""#);
        self.position
            .extend_from_slice(self.facts.position.as_bytes());
    }

    /// Renders the encoder's clock, unless it shows that time already.
    #[inline]
    pub(super) fn tick(&mut self, now_us: i64) {
        if self.clock_us != Some(now_us) {
            self.clock_us = Some(now_us);
            self.render_clock(now_us);
        }
    }

    fn render_clock(&mut self, now_us: i64) {
        self.clock.clear();
        self.clock.extend_from_slice(br#","ts_ms":"#);
        json::number(now_us.div_euclid(1000), &mut self.clock);
        self.clock.extend_from_slice(br#","ts_us":"#);
        json::number(now_us, &mut self.clock);
        self.clock.extend_from_slice(br#","ts_ns":"#);
        nanoseconds(now_us, &mut self.clock);
    }
}

fn nanoseconds(us: i64, out: &mut Vec<u8>) {
    json::number(us.saturating_mul(1000), out);
}

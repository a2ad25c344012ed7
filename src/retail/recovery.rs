//! The ledger after a restore: what the promotions topic shows as dispatched is in it before a code is issued.
//!
//! ```text
//! promotion_checked: offsets below which the ledger has everything ─▶ records up to the topic's ends
//!                      ─▶ what the ledger lacks is inserted, what it has is dispatched ─▶ offsets moved, commit
//! ```
//!
//! A sink that comes from a backup knows neither the codes that were sent since nor that time has passed. A second
//! code for the same tuple would follow, or one that is out would be withdrawn. The offsets come from the backup too,
//! so what is read is what was sent since they were written: a few records in ordinary life, since they are written
//! whenever somebody connects. A restore ends every connection, so whoever issues or dispatches codes has this done
//! when it connects, and before it does either.
//!
//! The record has everything that the ledger has but when the code was dispatched, which is the record's time, and
//! codes that were withdrawn before they were sent: they count for nothing but their number, which may be given again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rdkafka::message::Message;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::Transaction;

use super::error::Error;
use super::promotion::ledger::lock_limits;
use super::promotion::redemption::settle;
use super::statements::{Session, Statements, column, commit};
use super::touched::Unsettled;
use crate::config::settings::Kafka;
use crate::connection::Connection;
use crate::kafka::{self, Admin, Isolation, Reader};
use crate::telemetry;

/// Records of one sink transaction.
const RECORDS_MAX: usize = 500;
/// How long a broker may take to answer, and how long a partition may give nothing.
const ANSWER: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Completes the ledger; clones do so one after another.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    connection: Connection,
    kafka: Kafka,
    /// Whether codes go on to a webhook.
    webhook: bool,
    one_by_one: Arc<Mutex<()>>,
}

/// Records of one partition.
#[derive(Debug)]
struct Records {
    partition: i32,
    /// Everything below is among these or was before.
    next_offset: i64,
    /// Each with its time and its text.
    codes: Vec<Value>,
}

impl Recovery {
    pub(super) fn new(connection: Connection, kafka: Kafka, webhook: bool) -> Recovery {
        Recovery {
            connection,
            kafka,
            webhook,
            one_by_one: Arc::default(),
        }
    }

    /// Takes into the ledger what was published since it was last known to be complete.
    pub(super) async fn complete(&self) -> Result<(), Error> {
        let _turn = self.one_by_one.lock().await;
        let mut session = Session::connect(&self.connection).await?;
        let checked = checked(&session).await?;
        let (sender, mut read) = mpsc::channel(1);
        let kafka = self.kafka.clone();
        let reading = tokio::task::spawn_blocking(move || read_topic(&kafka, &checked, &sender));
        let mut recovered = 0;
        while let Some(records) = read.recv().await {
            recovered += self.take(&mut session, &records).await?;
        }
        reading
            .await
            .map_err(|_| Error::Thread { name: "recovery" })??;
        if recovered > 0 {
            counter!(telemetry::CODES_RECOVERED).increment(recovered);
            tracing::warn!(
                codes = recovered,
                "the ledger lacked codes that the promotions topic has, as after a restore: they were taken in"
            );
        }
        Ok(())
    }

    /// Takes records in; says how many the ledger lacked.
    async fn take(&self, session: &mut Session, records: &Records) -> Result<u64, Error> {
        const CHECKED: &str = "
            insert into promotion_checked (partition, next_offset) values ($1, $2)
            on conflict (partition) do update set next_offset = excluded.next_offset";
        let (transaction, statements) = session.begin().await?;
        let mut recovered = 0;
        if !records.codes.is_empty() {
            let codes = Value::Array(records.codes.clone());
            rules(&transaction, statements, &codes).await?;
            dispatched(&transaction, statements, &codes).await?;
            superseded(&transaction, statements, &codes).await?;
            lock_limits(&transaction, statements).await?;
            recovered = insert(&transaction, statements, &codes).await?;
            if self.webhook {
                deliver(&transaction, statements, &codes).await?;
            }
        }
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&records.partition, &records.next_offset];
        statements
            .execute(&transaction, "note what was checked", CHECKED, &parameters)
            .await?;
        commit(transaction).await?;
        Ok(recovered)
    }
}

/// Below which offsets the ledger has everything.
async fn checked(session: &Session) -> Result<BTreeMap<i32, i64>, Error> {
    const SQL: &str = "select partition, next_offset from promotion_checked";
    let rows = session.query("read what was checked", SQL, &[]).await?;
    let offset = |row| Ok((column(row, "partition")?, column(row, "next_offset")?));
    rows.iter().map(offset).collect()
}

/// The records of a JSON array, as rows.
macro_rules! records {
    () => {
        "jsonb_to_recordset($1::jsonb) as k (
            promotion_id uuid, code text, rule_id bigint, rule text, customer_id bigint,
            store_id bigint, product_id bigint, cycle integer, source text,
            discount_percent integer, issued_at timestamptz, valid_until timestamptz, why jsonb,
            sent_at timestamptz, body text)"
    };
}

/// Rules that were made since the backup: nobody knows any more what they said, so they are off.
async fn rules(
    transaction: &Transaction<'_>,
    statements: &Statements,
    codes: &Value,
) -> Result<(), Error> {
    const MAKE: &str = concat!(
        "
        insert into promotion_rule (rule_id, name, discount_percent, enabled)
        select distinct on (k.rule_id) k.rule_id,
               case when exists (select from promotion_rule r where r.name = k.rule)
                    then format('%s (rule %s)', k.rule, k.rule_id) else k.rule end,
               k.discount_percent, false
        from ",
        records!(),
        "
        where not exists (select from promotion_rule r where r.rule_id = k.rule_id)
        order by k.rule_id
        on conflict (rule_id) do nothing"
    );
    // The next rule that somebody makes is another one.
    const NUMBER: &str = "
        select setval(pg_get_serial_sequence('promotion_rule', 'rule_id'), max(rule_id))
        from promotion_rule";
    let made = statements
        .execute(transaction, "bring rules back", MAKE, &[codes])
        .await?;
    if made > 0 {
        statements
            .query(transaction, "number rules", NUMBER, &[])
            .await?;
        tracing::warn!(
            rules = made,
            "rules of recovered codes came back, disabled and by name alone"
        );
    }
    Ok(())
}

/// What the ledger has of them is out: it is neither sent again nor withdrawn.
async fn dispatched(
    transaction: &Transaction<'_>,
    statements: &Statements,
    codes: &Value,
) -> Result<(), Error> {
    // The outbox before the codes, as the dispatcher locks them.
    const LOCK: &str = concat!(
        "
        select from promotion_outbox where promotion_id in (select promotion_id from ",
        records!(),
        ") order by promotion_id for update"
    );
    const SQL: &str = concat!(
        "
        with code as materialized (
            select p.promotion_id, k.sent_at
            from promotion p join ",
        records!(),
        " using (promotion_id)
            where p.dispatched_at is null
            order by p.promotion_id for no key update of p
        ), gone as (
            delete from promotion_outbox o using code where o.promotion_id = code.promotion_id
        )
        update promotion p set
            dispatched_at = code.sent_at,
            state = case when p.state = 'issued' then 'dispatched' else p.state end
        from code where p.promotion_id = code.promotion_id"
    );
    statements
        .query(transaction, "lock the outbox", LOCK, &[codes])
        .await?;
    statements
        .execute(transaction, "note what is out", SQL, &[codes])
        .await?;
    Ok(())
}

/// A code that waits, of a tuple that has a later one on the topic, was withdrawn before that was issued.
async fn superseded(
    transaction: &Transaction<'_>,
    statements: &Statements,
    codes: &Value,
) -> Result<(), Error> {
    const SQL: &str = concat!(
        "
        with waiting as materialized (
            select o.promotion_id
            from promotion_outbox o join promotion p using (promotion_id)
            where o.attempted_at is null and p.state = 'issued'
              and exists (
                  select from ",
        records!(),
        "
                  where (k.rule_id, k.customer_id, k.store_id, k.product_id)
                      = (p.rule_id, p.customer_id, p.store_id, p.product_id)
                    and k.cycle > p.cycle)
            order by o.promotion_id for update of o
        ), gone as (
            delete from promotion_outbox o using waiting w where o.promotion_id = w.promotion_id
        )
        update promotion p set state = 'withdrawn'
        from waiting w where p.promotion_id = w.promotion_id
        returning p.code"
    );
    let rows = statements
        .query(transaction, "withdraw what was superseded", SQL, &[codes])
        .await?;
    let withdrawn = rows
        .iter()
        .map(|row| column(row, "code"))
        .collect::<Result<Vec<String>, Error>>()?;
    settle(transaction, statements, None, &Unsettled::codes(withdrawn)).await?;
    Ok(())
}

/// Inserts what the ledger lacks, uses up the events that made it due, and settles which orders redeem it.
async fn insert(
    transaction: &Transaction<'_>,
    statements: &Statements,
    codes: &Value,
) -> Result<u64, Error> {
    const SQL: &str = concat!(
        "
        with record as materialized (
            select distinct on (promotion_id) * from ",
        records!(),
        " order by promotion_id, sent_at
        ), inserted as (
            insert into promotion
                (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code, state,
                 discount_percent, issued_at, dispatched_at, valid_until, source, caused_at,
                 recovered_at)
            select promotion_id, rule_id, customer_id, store_id, product_id, cycle, code,
                   'dispatched', discount_percent, issued_at, sent_at, valid_until, source,
                   (why -> 'event' ->> 'occurred_at')::timestamptz, clock_timestamp()
            from record
            on conflict do nothing
            returning promotion_id, code
        ), used as (
            update shopper_event s set promotion_id = i.promotion_id
            from inserted i join record r using (promotion_id)
            where s.event_id = (r.why -> 'event' ->> 'event_id')::uuid
              and s.product_id is null and s.promotion_id is null
        )
        select code from inserted"
    );
    let rows = statements
        .query(transaction, "complete the ledger", SQL, &[codes])
        .await?;
    let inserted = rows
        .iter()
        .map(|row| column(row, "code"))
        .collect::<Result<Vec<String>, Error>>()?;
    let count = inserted.len() as u64;
    settle(transaction, statements, None, &Unsettled::codes(inserted)).await?;
    Ok(count)
}

/// Whether the webhook had it is not known, so it gets it again, under the same id.
async fn deliver(
    transaction: &Transaction<'_>,
    statements: &Statements,
    codes: &Value,
) -> Result<(), Error> {
    const SQL: &str = concat!(
        "
        insert into promotion_delivery (promotion_id, body, created_at, next_attempt_at)
        select distinct on (promotion_id) promotion_id, k.body, clock_timestamp(), clock_timestamp()
        from ",
        records!(),
        " join promotion using (promotion_id)
        on conflict (promotion_id) do nothing"
    );
    statements
        .execute(
            transaction,
            "hand recovered codes to the webhook",
            SQL,
            &[codes],
        )
        .await?;
    Ok(())
}

/// Reads what was not checked yet, partition by partition; blocks.
fn read_topic(
    kafka: &Kafka,
    checked: &BTreeMap<i32, i64>,
    sender: &mpsc::Sender<Records>,
) -> Result<(), Error> {
    let topic = kafka::topics::promotions(&kafka.prefix);
    let partitions = Admin::new(kafka)?.partitions(&topic)?.unwrap_or(0);
    let mut reader = Reader::open(kafka, Isolation::Committed)?;
    for partition in 0..partitions {
        let (first, end) = reader.watermarks(&topic, partition, ANSWER)?;
        let known = checked.get(&partition).copied();
        // A topic that was made anew is another one.
        let start = known.filter(|known| *known <= end).unwrap_or(0);
        if first > start {
            tracing::warn!(
                topic,
                partition,
                first,
                start,
                "records of codes are gone that the ledger was not checked against: keep the topic with \
                 retention.ms=-1 and cleanup.policy=delete"
            );
        }
        if known != Some(end) {
            read_partition(
                &mut reader,
                &topic,
                partition,
                (start.max(first), end),
                sender,
            )?;
        }
    }
    Ok(())
}

/// Sends the records of a partition on, some at a time, and in the end that there are no more.
fn read_partition(
    reader: &mut Reader,
    topic: &str,
    partition: i32,
    (start, end): (i64, i64),
    sender: &mpsc::Sender<Records>,
) -> Result<(), Error> {
    let send = |codes, next_offset| {
        let records = Records {
            partition,
            next_offset,
            codes,
        };
        // Nobody listens any more once taking records in has failed.
        let sent = sender.blocking_send(records);
        sent.map_err(|_| Error::Thread { name: "recovery" })
    };
    let mut codes = Vec::new();
    if start < end {
        reader.read_range(topic, partition, (start, end), SILENCE_MAX, |message| {
            let offset = message.offset();
            if let Some(value) = message.payload() {
                let sent_ms = message.timestamp().to_millis().unwrap_or_default();
                let code = code(value, sent_ms).ok_or_else(|| Error::Code {
                    topic: topic.to_owned(),
                    partition,
                    offset,
                })?;
                codes.push(code);
            }
            if codes.len() >= RECORDS_MAX {
                send(std::mem::take(&mut codes), offset + 1)?;
            }
            Ok::<(), Error>(())
        })?;
    }
    send(codes, end)
}

/// The record as the statements take it: with its time and its text.
fn code(value: &[u8], sent_ms: i64) -> Option<Value> {
    let text = std::str::from_utf8(value).ok()?;
    let mut code: Value = serde_json::from_str(text).ok()?;
    let sent_at = jiff::Timestamp::from_millisecond(sent_ms).ok()?.to_string();
    let fields = code.as_object_mut()?;
    fields.insert("sent_at".to_owned(), json!(sent_at));
    fields.insert("body".to_owned(), json!(text));
    fields.get("promotion_id")?.as_str()?;
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_its_text_and_gets_its_time() {
        let text =
            r#"{"promotion_id":"0f1c4ad1-7a65-5d5c-9ac7-6e1d2c5f8b11","code":"7ZQ4M0C2XDK"}"#;
        let code = code(text.as_bytes(), 1_795_514_959_495).unwrap();
        assert_eq!(code["body"], text);
        assert_eq!(code["sent_at"], "2026-11-24T10:09:19.495Z");
        for foreign in ["", "7", "{}", "[]", "{\"promotion_id\":7}"] {
            assert_eq!(super::code(foreign.as_bytes(), 0), None, "{foreign}");
        }
    }
}

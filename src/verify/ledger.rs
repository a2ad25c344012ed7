//! The ledger of codes: consistent in itself, and the same as the promotions topic.
//!
//! A code is in the ledger before it is on the topic, and marked dispatched after. So what the topic
//! held *before* the sink's snapshot must be in the ledger, and what the ledger calls dispatched must
//! be on the topic *after*.
//!
//! Since the arms have had their shares, a code was issued by whoever issues those of its customer's arm.

use std::collections::HashMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::report::{Comparison, DifferenceKind, Findings};
use super::rows::query;
use super::topics::Ends;
use super::{Error, topics};
use crate::config::settings::Kafka;
use crate::kafka;

/// What the promotions topic says of a code.
#[derive(Deserialize)]
struct Published {
    promotion_id: String,
    code: String,
}

/// A row of the ledger.
struct Issued {
    code: String,
    dispatched: bool,
    published: bool,
}

/// A contradiction between ledger and topic.
struct Contradiction {
    kind: DifferenceKind,
    promotion_id: String,
    expected: Option<String>,
    found: Option<String>,
}

/// Where the promotions topic ends before the sink's snapshot is taken.
pub(super) async fn published_before(kafka: &Kafka) -> Result<Ends, Error> {
    let (kafka, topic) = (kafka.clone(), kafka::topics::promotions(&kafka.prefix));
    tokio::task::spawn_blocking(move || topics::ends(&kafka, &topic)).await?
}

/// Checks the ledger, then compares it with the topic.
pub(super) async fn verify(
    sink: &Client,
    kafka: &Kafka,
    before: &Ends,
    findings: &mut Findings,
) -> Result<(), Error> {
    findings.begin("promotion", Comparison::LedgerAndTopic);
    let sql = "select promotion_id::text, code, dispatched_at is not null from promotion";
    let rows = sink
        .query(sql, &[])
        .await
        .map_err(query("reading the ledger"))?;
    let mut ledger = HashMap::with_capacity(rows.len());
    for row in &rows {
        findings.row();
        let issued = Issued {
            code: row.get(1),
            dispatched: row.get(2),
            published: false,
        };
        ledger.insert(row.get::<_, String>(0), issued);
    }
    consistency(sink, findings).await?;
    arms(sink, findings).await?;
    let (kafka, before) = (kafka.clone(), before.clone());
    let read = tokio::task::spawn_blocking(move || published(&kafka, &before, ledger));
    for contradiction in read.await?? {
        findings.differs(contradiction.kind, |difference| {
            difference.key = format!("promotion_id={}", contradiction.promotion_id);
            difference.expected = contradiction.expected;
            difference.found = contradiction.found;
        });
    }
    Ok(())
}

/// Rules that no constraint of the table holds: cycles without a gap, and one live code at a time.
async fn consistency(sink: &Client, findings: &mut Findings) -> Result<(), Error> {
    let sql = "
        with codes as (
            select p.*, coalesce(lag(cycle) over tuple, 0) + 1 as expected_cycle,
                   lead(issued_at) over tuple as next_issued_at
            from promotion p
            window tuple as (partition by rule_id, customer_id, store_id, product_id order by cycle)
        )
        select promotion_id::text,
               case when cycle <> expected_cycle and recovered_at is null
                    then format('cycle %s where %s was due', cycle, expected_cycle)
                    else format('live until %s, and the next was issued at %s',
                                valid_until, next_issued_at) end
        from codes
        -- Cycles that were withdrawn are in no topic, so a restored ledger lacks them.
        where cycle <> expected_cycle and recovered_at is null
           or state in ('issued', 'dispatched', 'expired') and next_issued_at <= valid_until";
    let rows = sink
        .query(sql, &[])
        .await
        .map_err(query("checking the ledger"))?;
    for row in &rows {
        findings.differs(DifferenceKind::Inconsistent, |difference| {
            difference.key = format!("promotion_id={}", row.get::<_, String>(0));
            difference.found = Some(row.get(1));
        });
    }
    Ok(())
}

/// Codes that somebody issued whom the customer's arm does not allow.
async fn arms(sink: &Client, findings: &mut Findings) -> Result<(), Error> {
    let sql = "
        select p.promotion_id::text, p.customer_id, p.source, a.stream, a.batch
        from (select * from arm_share order by since desc limit 1) a
        join promotion p on p.issued_at > a.since
        where a.stream < 100";
    let rows = sink
        .query(sql, &[])
        .await
        .map_err(query("reading the arms"))?;
    for row in &rows {
        let (customer, source): (i64, String) = (row.get(1), row.get(2));
        let arm = match bucket(customer) {
            bucket if bucket < row.get(3) => "stream",
            bucket if bucket < row.get::<_, i32>(3) + row.get::<_, i32>(4) => "batch",
            _ => "holdout",
        };
        if source != arm {
            findings.differs(DifferenceKind::Inconsistent, |difference| {
                difference.key = format!("promotion_id={}", row.get::<_, String>(0));
                difference.found = Some(format!(
                    "issued by the {source}, and customer {customer} is in the {arm} arm"
                ));
            });
        }
    }
    Ok(())
}

/// The customer's bucket, by the words of its documentation.
fn bucket(customer_id: i64) -> i32 {
    let digest = Sha256::digest(format!("tidewater:{customer_id}").as_bytes());
    let head = digest.first_chunk::<4>().copied().unwrap_or_default();
    i32::try_from(u32::from_be_bytes(head) % 100).unwrap_or_default()
}

fn published(
    kafka: &Kafka,
    before: &Ends,
    mut ledger: HashMap<String, Issued>,
) -> Result<Vec<Contradiction>, Error> {
    let topic = kafka::topics::promotions(&kafka.prefix);
    let before: HashMap<i32, i64> = before.iter().copied().collect();
    let mut contradictions = Vec::new();
    topics::read(kafka, &topic, &topics::ends(kafka, &topic)?, |record| {
        let Some(value) = record.value else {
            return Ok(());
        };
        let published: Published = serde_json::from_slice(value)
            .map_err(|error| format!("not an issued code: {error}"))?;
        match ledger.get_mut(&published.promotion_id) {
            Some(issued) => {
                issued.published = true;
                if issued.code != published.code {
                    contradictions.push(Contradiction {
                        kind: DifferenceKind::Unequal,
                        promotion_id: published.promotion_id,
                        expected: Some(format!("code={}", issued.code)),
                        found: Some(format!("code={}", published.code)),
                    });
                }
            }
            None if before
                .get(&record.partition)
                .is_some_and(|end| record.offset < *end) =>
            {
                contradictions.push(Contradiction {
                    kind: DifferenceKind::Unexpected,
                    promotion_id: published.promotion_id,
                    expected: None,
                    found: Some(format!("code={}", published.code)),
                });
            }
            None => {}
        }
        Ok(())
    })?;
    let missing = ledger
        .into_iter()
        .filter(|(_, issued)| issued.dispatched && !issued.published);
    contradictions.extend(missing.map(|(promotion_id, issued)| Contradiction {
        kind: DifferenceKind::Missing,
        promotion_id,
        expected: Some(format!("code={}", issued.code)),
        found: None,
    }));
    Ok(contradictions)
}

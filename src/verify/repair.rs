//! `--repair`: rows of the sink that differ from the topics are written as the topics say.
//!
//! ```text
//! keys that differ ─▶ fold on ─▶ lock consumer_offset ─▶ fold the rest ─▶ compare those keys again
//!                                                        ─▶ write them ─▶ evaluate their pairs, commit
//!                                                        ─▶ compare everything again
//! ```
//!
//! Every transaction of a consumer begins with moving its offsets. So once the table is locked none is under
//! way and none begins, and the rows must be what the topics come to at just those offsets. A key whose row has
//! moved since it was first compared is compared with that. The consumers wait meanwhile, for what is left to
//! fold and the rows that differ; both are few.
//!
//! Before that a consumer may have folded a change into a wrong row, which makes a row wrong that was right when
//! it was compared: the image of an order with a wrong price is taken off the hour's revenue. From the repair on
//! there is nothing wrong left to fold into, so what the second comparison finds is the last of it.
//!
//! The locks come in the order of every other transaction: offsets, rows, pairs by key, codes by id. Rules,
//! ledger and outbox are not written, and no code is issued.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::Error;
use super::eligibility::{CONDITIONS, ELIGIBLE};
use super::redemption::{self, REDEMPTIONS};
use super::report::{Comparison, Findings, Repair};
use super::rows::{Differing, Mended, Pass, Task, execute, repairing};
use super::sink::{Folded, Offset, look_again, tables};
use crate::config::settings::{Kafka, Retail};
use crate::connection::Database;
use crate::retail::LOCK_PAIRS;
use crate::retail::eligibility::PairCauses;
use crate::retail::evaluation::{Evaluation, Policy};
use crate::retail::statements::Statements;
use crate::retail::touched::Pair;

/// Rows that are written while the consumers wait. Where more differ, a rebuild is what is wanted.
const ROWS_MAX: usize = 100_000;

/// Repairs of one run. What consumers made of wrong rows is mended by the second, so a third finds something
/// only if somebody else writes.
const REPAIRS_MAX: u32 = 4;

/// Mends what differed, looks again until nothing does, and says what it leaves.
pub(super) async fn run(
    sink: &mut Database,
    kafka: &Kafka,
    retail: &Retail,
    mut folded: Folded,
    mut differing: Differing,
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut repairs = 0;
    while differing.rows() > 0 || folded.streamed(kafka, retail).any(is_wrong) {
        if differing.rows() > ROWS_MAX {
            return Err(Error::TooManyToRepair {
                rows: differing.rows(),
                rows_max: ROWS_MAX,
            });
        }
        if repairs == REPAIRS_MAX {
            return Err(Error::DiffersAgain {
                rows: differing.rows(),
                repairs,
            });
        }
        repairs += 1;
        folded = mend(sink, kafka, retail, folded, &differing, findings).await?;
        (folded, differing) = look_again(sink, kafka, retail, folded, findings).await?;
    }
    remedies(findings);
    Ok(())
}

fn is_wrong((offset, expected): (&Offset, Option<String>)) -> bool {
    expected != offset.streamed_position
}

/// Mends these rows in one transaction. Returns the topics folded to where it stood.
async fn mend(
    sink: &mut Database,
    kafka: &Kafka,
    retail: &Retail,
    folded: Folded,
    differing: &Differing,
    findings: &mut Findings,
) -> Result<Folded, Error> {
    // One that is locked by somebody else must not make the consumers wait behind this.
    const LOCK: &str = "
        set local lock_timeout = '30s';
        lock table consumer_offset in share row exclusive mode";
    // What came while the tables were compared is folded before anybody has to wait.
    let folded = folded.on(sink, kafka, retail).await?;
    let transaction = sink
        .transaction()
        .await
        .map_err(repairing("beginning a transaction"))?;
    transaction
        .batch_execute(LOCK)
        .await
        .map_err(repairing("waiting for the consumers' transactions"))?;
    let folded = folded.on(transaction.client(), kafka, retail).await?;
    let mut mended = Mended::default();
    let mut pass = Pass {
        sink: transaction.client(),
        findings,
        task: Task::Mend(differing, &mut mended),
    };
    tables(&mut pass, &folded.model).await?;
    positions(&mut pass, kafka, retail, &folded).await?;
    let pairs = concerned(transaction.client(), differing, &mended).await?;
    evaluate(&transaction, retail, &pairs, findings).await?;
    let mut pass = Pass {
        sink: transaction.client(),
        findings,
        task: Task::Mend(differing, &mut mended),
    };
    redemption::mend(&mut pass, &folded.model, differing).await?;
    transaction
        .commit()
        .await
        .map_err(repairing("committing the repair"))?;
    Ok(folded)
}

/// Mends the last streamed positions. Consumers have them in memory, so the partition's owner is fenced and
/// reads them again.
async fn positions(
    pass: &mut Pass<'_>,
    kafka: &Kafka,
    retail: &Retail,
    folded: &Folded,
) -> Result<(), Error> {
    const SQL: &str = "
        update consumer_offset set streamed_position = $3, owner = $4
        where topic = $1 and partition = $2";
    for (offset, expected) in folded.streamed(kafka, retail) {
        if expected == offset.streamed_position {
            continue;
        }
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&offset.topic, &offset.partition, &expected, &Uuid::nil()];
        execute(pass.sink, SQL, &parameters).await?;
        let position = |at: &Option<String>| {
            Some(format!(
                "streamed_position={}",
                at.as_deref().unwrap_or("null")
            ))
        };
        pass.findings.mended(|| Repair {
            table: "consumer_offset".to_owned(),
            key: offset.key_text(),
            before: position(&offset.streamed_position),
            after: position(&expected),
        });
    }
    Ok(())
}

/// Pairs of store and product whose conditions may be wrong: of rows that were mended, of customers who were,
/// and those that the comparison found.
async fn concerned(
    sink: &Client,
    differing: &Differing,
    mended: &Mended,
) -> Result<BTreeSet<[i64; 2]>, Error> {
    const HABITS: &str = "
        select distinct store_id, product_id from purchase_habit
        where customer_id = any($1::bigint[])";
    let pair = |key: &Vec<i64>| key.last_chunk::<2>().copied();
    let mut pairs = mended.pairs.clone();
    pairs.extend(differing.of(CONDITIONS).filter_map(pair));
    pairs.extend(differing.of(ELIGIBLE).filter_map(pair));
    let customers: Vec<i64> = mended.customers.iter().copied().collect();
    let rows = sink
        .query(HABITS, &[&customers])
        .await
        .map_err(repairing("looking for habits"))?;
    pairs.extend(rows.iter().map(|row| [row.get(0), row.get(1)]));
    Ok(pairs)
}

/// Evaluates the rules for these pairs, as the sweep does, and notes what that changes.
async fn evaluate(
    transaction: &Transaction<'_>,
    retail: &Retail,
    pairs: &BTreeSet<[i64; 2]>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let (stores, products): (Vec<i64>, Vec<i64>) = pairs
        .iter()
        .map(|[store, product]| (*store, *product))
        .unzip();
    if pairs.is_empty() {
        return Ok(());
    }
    let sink = transaction.client();
    execute(sink, LOCK_PAIRS, &[&stores, &products]).await?;
    let before = decided(sink, &stores, &products).await?;
    let policy = Policy::new(retail);
    let statements = Statements::default();
    let failed = |error| Error::Evaluation(Box::new(error));
    let evaluation = Evaluation::begin(transaction, &statements, &policy)
        .await
        .map_err(failed)?;
    if evaluation.standing().complete {
        let pairs: Vec<Pair> = pairs
            .iter()
            .map(|[store_id, product_id]| Pair {
                store_id: *store_id,
                product_id: *product_id,
            })
            .collect();
        evaluation.write_conditions(&pairs).await.map_err(failed)?;
        let causes = PairCauses::by_time(&pairs, &[]);
        evaluation.evaluate_pairs(&causes).await.map_err(failed)?;
    }
    let after = decided(sink, &stores, &products).await?;
    let rows: BTreeSet<&Row> = before.keys().chain(after.keys()).collect();
    for row in rows {
        let (before, after) = (before.get(row), after.get(row));
        if before != after {
            findings.mended(|| Repair {
                table: row.0.clone(),
                key: row.1.clone(),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }
    Ok(())
}

/// Table and key.
type Row = (String, String);

/// What is decided of these pairs.
async fn decided(
    sink: &Client,
    stores: &[i64],
    products: &[i64],
) -> Result<BTreeMap<Row, String>, Error> {
    const SQL: &str = "
        with pair as materialized (
            select * from unnest($1::bigint[], $2::bigint[]) as k (store_id, product_id)
        )
        select 'promotion_condition',
               format('rule_id=%s, store_id=%s, product_id=%s', rule_id, store_id, product_id),
               format('on_hand=%s, units=%s, hours=%s, holds=%s',
                      coalesce(on_hand::text, 'null'), units, hours, holds)
        from pair join promotion_condition using (store_id, product_id)
        union all
        select 'promotion_eligibility',
               format('rule_id=%s, customer_id=%s, store_id=%s, product_id=%s',
                      rule_id, customer_id, store_id, product_id),
               'eligible'
        from pair join promotion_eligibility using (store_id, product_id)";
    let rows = sink
        .query(SQL, &[&stores, &products])
        .await
        .map_err(repairing("reading what is decided"))?;
    Ok(rows
        .iter()
        .map(|row| ((row.get(0), row.get(1)), row.get(2)))
        .collect())
}

/// Notes what is repaired, and for everything else what helps.
fn remedies(findings: &mut Findings) {
    let mut notes = Vec::new();
    for table in &mut findings.report().tables {
        let name = &table.table;
        table.repaired = table.comparison == Comparison::TopicsAndSink && name != REDEMPTIONS;
        if table.repaired || table.differences == 0 {
            continue;
        }
        notes.push(match table.comparison {
            Comparison::SourceAndTopic => format!(
                "{name}: topics are not repaired by writing into them. `tidewater snapshot start \
                 {name}` has the rows read again; a change that is repeated or out of order stays"
            ),
            Comparison::TopicsAndSink => format!(
                "{name}: the ledger is not written by --repair. `tidewater rebuild` settles every \
                 redemption again"
            ),
            Comparison::LedgerAndTopic => format!(
                "{name}: the ledger is not written by --repair, since codes that are out stay out"
            ),
        });
    }
    for note in notes {
        findings.note(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::report::DifferenceKind;

    #[test]
    fn what_is_not_repaired_is_named_with_its_remedy() {
        let mut findings = Findings::new(10);
        for (table, comparison) in [
            ("public.orders", Comparison::SourceAndTopic),
            ("sales_hourly", Comparison::TopicsAndSink),
            (REDEMPTIONS, Comparison::TopicsAndSink),
            ("promotion", Comparison::LedgerAndTopic),
        ] {
            findings.begin(table, comparison);
            findings.differs(DifferenceKind::Missing, |_| ());
        }
        findings.begin("public.inventory", Comparison::SourceAndTopic);
        remedies(&mut findings);
        let report = findings.finish();
        assert!(!report.is_clean());
        let about = |note: &String| note.split(':').next().map(str::to_owned);
        let named: Vec<String> = report.notes.iter().filter_map(about).collect();
        assert_eq!(named, ["public.orders", REDEMPTIONS, "promotion"]);
        assert!(
            report.notes[0].contains("`tidewater snapshot start public.orders`"),
            "{}",
            report.notes[0]
        );
        assert!(
            report
                .to_string()
                .ends_with("4 differences, 3 of them not repaired")
        );
    }
}

//! Topics against sink: one repeatable-read snapshot of the sink, and the topics folded to exactly the
//! offsets which that snapshot says are applied.
//!
//! ```text
//! promotions topic's end ─▶ snapshot of the sink ─▶ offsets ─▶ fold ─▶ compare table by table
//! ```
//!
//! Everything that the consumer derives is compared but the times at which it happened to evaluate.

use tokio_postgres::Client;

use super::history::Entry;
use super::model::{Customer, Habit, Model, Order, SalesHour, StockHour, Table};
use super::report::{Comparison, DifferenceKind, Findings};
use super::rows::{Differing, Layout, Pass, Task, Values, query};
use super::{Error, eligibility, ledger, redemption, repair, topics};
use crate::config::mapping::{MappedTable, Mapping};
use crate::config::settings::{Kafka, Retail, Sink};
use crate::retail::mapped;
use crate::{connection, kafka};

/// Compares the topics with the sink, and mends what differs if that is asked for.
pub(super) async fn verify(
    sink: &Sink,
    kafka: &Kafka,
    retail: &Retail,
    repair: bool,
    findings: &mut Findings,
) -> Result<(), Error> {
    let published = ledger::published_before(kafka).await?;
    let mut sink = connection::connect(&sink.connection)
        .await
        .map_err(Error::SinkConnection)?;
    let settings = "set timezone = 'UTC'; set datestyle = 'ISO'; set statement_timeout = 0;
        set idle_in_transaction_session_timeout = 0";
    sink.batch_execute(settings)
        .await
        .map_err(query("preparing the session"))?;
    begin(&sink).await?;
    let now = sink
        .query_one("select now()::text", &[])
        .await
        .map_err(query("reading the time"))?;
    findings.report().sink_time = Some(now.get(0));
    let folded = Folded::new(retail).on(&sink, kafka, retail).await?;
    let mut differing = Differing::default();
    let mut pass = Pass {
        sink: &sink,
        findings,
        task: Task::Compare(repair.then_some(&mut differing)),
    };
    tables(&mut pass, &folded.model).await?;
    streamed_positions(kafka, retail, &folded, pass.findings);
    eligibility::verify(&mut pass, &folded.model).await?;
    redemption::verify(&mut pass, &folded.model).await?;
    ledger::verify(&sink, kafka, &published, findings).await?;
    if repair {
        end(&sink).await?;
        repair::run(&mut sink, kafka, retail, folded, differing, findings).await?;
    }
    Ok(())
}

/// Compares again, after a repair, everything that one mends: the topics up to where the sink is now, and the keys
/// of the rows that differ.
pub(super) async fn look_again(
    sink: &Client,
    kafka: &Kafka,
    retail: &Retail,
    folded: Folded,
    findings: &mut Findings,
) -> Result<(Folded, Differing), Error> {
    begin(sink).await?;
    let folded = folded.on(sink, kafka, retail).await?;
    let mut differing = Differing::default();
    let mut again = findings.again();
    let mut pass = Pass {
        sink,
        findings: &mut again,
        task: Task::Compare(Some(&mut differing)),
    };
    tables(&mut pass, &folded.model).await?;
    eligibility::verify(&mut pass, &folded.model).await?;
    redemption::only_refusals(&mut pass, &folded.model).await?;
    end(sink).await?;
    findings.join(again.finish());
    Ok((folded, differing))
}

async fn begin(sink: &Client) -> Result<(), Error> {
    sink.batch_execute("begin isolation level repeatable read read only")
        .await
        .map_err(query("beginning a transaction"))
}

async fn end(sink: &Client) -> Result<(), Error> {
    sink.batch_execute("commit")
        .await
        .map_err(query("ending the transaction"))
}

/// Compares or mends what follows from the topics alone.
pub(super) async fn tables(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    stock(pass, model).await?;
    orders(pass, model).await?;
    customers(pass, model).await
}

/// The topics up to the sink's offsets.
pub(super) struct Folded {
    offsets: Vec<Offset>,
    pub(super) model: Model,
}

/// A row of `consumer_offset`.
pub(super) struct Offset {
    pub(super) topic: String,
    pub(super) partition: i32,
    next_offset: i64,
    pub(super) streamed_position: Option<String>,
}

impl Folded {
    fn new(retail: &Retail) -> Folded {
        Folded {
            offsets: Vec::new(),
            model: Model::new(!retail.retract_deleted_orders, &retail.mapping),
        }
    }

    /// Folds on, up to the offsets that the sink has now.
    pub(super) async fn on(
        self,
        sink: &Client,
        kafka: &Kafka,
        retail: &Retail,
    ) -> Result<Folded, Error> {
        refuse_another(&retail.mapping, sink).await?;
        let offsets = offsets(sink).await?;
        let stands = |offsets: &[Offset], topic: &str| -> topics::Ends {
            let of_topic = offsets.iter().filter(|offset| offset.topic == topic);
            of_topic
                .map(|offset| (offset.partition, offset.next_offset))
                .collect()
        };
        let plan = retail_topics(kafka, retail).map(|(table, topic)| {
            let (from, until) = (stands(&self.offsets, &topic), stands(&offsets, &topic));
            (table, topic, from, until)
        });
        let back = plan.iter().any(|(_, _, from, until)| {
            let stood = |(partition, end): &(i32, i64)| {
                !until.iter().any(|(id, at)| id == partition && at >= end)
            };
            from.iter().any(stood)
        });
        if back {
            return Err(Error::WentBack);
        }
        let (kafka, mut model) = (kafka.clone(), self.model);
        let read = tokio::task::spawn_blocking(move || {
            for (table, topic, from, until) in plan {
                topics::read_between(&kafka, &topic, &from, &until, |record| {
                    model.apply(table, record)
                })?;
            }
            Ok::<_, Error>(model)
        });
        Ok(Folded {
            model: read.await??,
            offsets,
        })
    }

    /// Each partition with the last streamed position that it should have.
    pub(super) fn streamed(
        &self,
        kafka: &Kafka,
        retail: &Retail,
    ) -> impl Iterator<Item = (&Offset, Option<String>)> {
        let topics = retail_topics(kafka, retail);
        self.offsets.iter().filter_map(move |offset| {
            let (table, _) = topics.iter().find(|(_, topic)| *topic == offset.topic)?;
            let streamed = self.model.streamed(*table, offset.partition);
            Some((offset, streamed.map(|at| at.to_string())))
        })
    }
}

/// Nothing can be said of a sink that was folded by another mapping, and nothing repaired.
async fn refuse_another(mapping: &Mapping, sink: &Client) -> Result<(), Error> {
    let row = sink
        .query_one("select mapping from sink_identity", &[])
        .await
        .map_err(query("reading the mapping"))?;
    match mapped::folded_otherwise(row.get(0), &mapping.to_string()) {
        Some(remapped) => Err(Error::Remapped(remapped)),
        None => Ok(()),
    }
}

async fn offsets(sink: &Client) -> Result<Vec<Offset>, Error> {
    let sql = "select topic, partition, next_offset, streamed_position from consumer_offset
               order by topic, partition";
    let rows = sink
        .query(sql, &[])
        .await
        .map_err(query("reading the offsets"))?;
    let offset = |row: &tokio_postgres::Row| Offset {
        topic: row.get(0),
        partition: row.get(1),
        next_offset: row.get(2),
        streamed_position: row.get(3),
    };
    Ok(rows.iter().map(offset).collect())
}

/// The topics that the retail half reads.
fn retail_topics(kafka: &Kafka, retail: &Retail) -> [(Table, String); 3] {
    let topic =
        |table: &MappedTable| kafka::topics::table(&kafka.prefix, &table.schema, &table.name);
    let mapping = &retail.mapping;
    [
        (Table::Inventory, topic(&mapping.inventory)),
        (Table::Orders, topic(&mapping.orders)),
        (Table::Customers, topic(&mapping.customers)),
    ]
}

impl Offset {
    /// Its key, as the report shows it.
    pub(super) fn key_text(&self) -> String {
        format!("topic={}, partition={}", self.topic, self.partition)
    }
}

/// The last streamed position decides what a repeat is, so it is compared too.
fn streamed_positions(kafka: &Kafka, retail: &Retail, folded: &Folded, findings: &mut Findings) {
    findings.begin("consumer_offset", Comparison::TopicsAndSink);
    for (offset, expected) in folded.streamed(kafka, retail) {
        findings.row();
        if expected != offset.streamed_position {
            findings.differs(DifferenceKind::Unequal, |difference| {
                difference.key = offset.key_text();
                difference.expected = expected;
                difference.found.clone_from(&offset.streamed_position);
            });
        }
    }
}

macro_rules! moment {
    ($column:literal) => {
        (
            $column,
            concat!("(extract(epoch from ", $column, ") * 1000000)::bigint"),
        )
    };
}

macro_rules! plain {
    ($($column:literal),*) => { [$(($column, $column)),*] };
}

// A column is its text, or null; these make the former.
#[expect(clippy::unnecessary_wraps, reason = "a column may be null")]
fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

fn optional(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn boolean(value: bool) -> Option<String> {
    text(if value { "t" } else { "f" })
}

/// Millionths as numeric(38,6) shows them.
#[expect(clippy::unnecessary_wraps, reason = "a column may be null")]
fn amount(micros: i128) -> Option<String> {
    let sign = if micros < 0 { "-" } else { "" };
    let magnitude = micros.unsigned_abs();
    Some(format!(
        "{sign}{}.{:06}",
        magnitude / 1_000_000,
        magnitude % 1_000_000
    ))
}

const LEVELS: Layout<2> = Layout {
    table: "inventory_image",
    key: plain!["store_id", "product_id"],
    columns: &[
        ("on_hand", "on_hand"),
        ("position", "position"),
        ("partition", "partition"),
        moment!("effective_at"),
        moment!("changed_at"),
    ],
};

const HOURS: Layout<3> = Layout {
    table: "inventory_hourly",
    key: [
        ("store_id", "store_id"),
        ("product_id", "product_id"),
        moment!("hour"),
    ],
    columns: &[
        ("opening", "opening"),
        ("closing", "closing"),
        ("minimum", "minimum"),
        ("maximum", "maximum"),
        ("units_in", "units_in"),
        ("units_out", "units_out"),
        ("units_adjusted", "units_adjusted"),
        ("changes", "changes"),
        ("reads", "reads"),
        ("unit_us", "unit_us"),
        ("stockout_us", "stockout_us"),
        ("tracked_us", "tracked_us"),
        moment!("last_change_at"),
        ("position", "position"),
    ],
};

async fn stock(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    let levels = model
        .stock
        .levels()
        .map(|(pair, entry, changed)| (*pair, (entry, changed)));
    let level = |(entry, changed): &(&Entry<i32>, Option<i64>)| {
        vec![
            optional(entry.row),
            text(entry.position),
            text(entry.partition),
            text(entry.effective_us),
            optional(*changed),
        ]
    };
    pass.table(&LEVELS, levels.collect(), level, level).await?;
    let hours = model.stock.hours().iter().map(|(key, hour)| (*key, hour));
    let hour = |hour: &&StockHour| {
        vec![
            optional(hour.opening),
            optional(hour.closing),
            optional(hour.minimum),
            optional(hour.maximum),
            text(hour.units_in),
            text(hour.units_out),
            text(hour.units_adjusted),
            text(hour.changes),
            text(hour.reads),
            text(hour.unit_us),
            text(hour.stockout_us),
            text(hour.tracked_us),
            text(hour.last_change_us),
            text(hour.position),
        ]
    };
    pass.table(&HOURS, hours.collect(), hour, hour).await
}

async fn orders(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    const SALES: Layout<3> = Layout {
        table: "sales_hourly",
        key: [
            ("store_id", "store_id"),
            ("product_id", "product_id"),
            moment!("hour"),
        ],
        columns: &plain![
            "orders",
            "units",
            "revenue",
            "cancelled_orders",
            "cancelled_units",
            "cancelled_revenue"
        ],
    };
    const HABITS: Layout<3> = Layout {
        table: "purchase_habit",
        key: plain!["customer_id", "store_id", "product_id"],
        columns: &[
            ("orders", "orders"),
            ("units", "units"),
            moment!("first_at"),
            moment!("last_at"),
        ],
    };
    order_images(pass, model).await?;
    let sales = |row: &SalesHour| {
        vec![
            text(row.orders),
            text(row.units),
            amount(row.revenue_micros),
            text(row.cancelled_orders),
            text(row.cancelled_units),
            amount(row.cancelled_revenue_micros),
        ]
    };
    pass.table(&SALES, model.orders.sales(), sales, sales)
        .await?;
    let habit = |row: &Habit| {
        vec![
            text(row.orders),
            text(row.units),
            text(row.first_us),
            text(row.last_us),
        ]
    };
    pass.table(&HABITS, model.orders.habits(), habit, habit)
        .await
}

/// Of an order that is gone the sink may keep the last columns; they mean nothing.
async fn order_images(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    const ORDERS: Layout<1> = Layout {
        table: "order_image",
        key: plain!["order_id"],
        columns: &[
            ("present", "present"),
            ("customer_id", "case when present then customer_id end"),
            ("store_id", "case when present then store_id end"),
            ("product_id", "case when present then product_id end"),
            ("quantity", "case when present then quantity end"),
            ("unit_price", "case when present then unit_price end"),
            ("status", "case when present then status end"),
            (
                "promotion_code",
                "case when present then promotion_code end",
            ),
            ("placed_at", "case when present then placed_at end"),
            ("cancelled", "case when present then cancelled end"),
            moment!("counted_at"),
            ("position", "position"),
            ("partition", "partition"),
            moment!("effective_at"),
            (
                "dated_at",
                "(extract(epoch from case when present then dated_at end) * 1000000)::bigint",
            ),
        ],
    };
    let orders = model.orders.entries().map(|(id, entry)| ([*id], entry));
    pass.table(
        &ORDERS,
        orders.collect(),
        |one| order_values(one),
        |one| order_stored(one),
    )
    .await
}

/// What is compared of an order.
fn order_values(entry: &Entry<Order>) -> Values {
    let present = entry.row.as_ref().filter(|order| !order.purged);
    let counted = entry.row.as_ref().and_then(Order::counted);
    vec![
        boolean(present.is_some()),
        optional(present.and_then(|order| order.customer)),
        optional(present.and_then(|order| order.store)),
        optional(present.and_then(|order| order.product)),
        optional(present.and_then(|order| order.quantity)),
        present.and_then(|order| order.unit_price.clone()),
        present.and_then(|order| order.status.clone()),
        present.and_then(|order| order.promotion_code.clone()),
        present.and_then(|order| order.placed_at.clone()),
        present.and_then(|order| boolean(!order.uncancelled())),
        optional(counted.map(|counted| counted.placed_us)),
        text(entry.position),
        text(entry.partition),
        text(entry.effective_us),
        optional(present.and_then(Order::placed_us)),
    ]
}

/// What is stored of an order: what the aggregates keep of one that the source has deleted, they keep all of.
fn order_stored(entry: &Entry<Order>) -> Values {
    let row = entry.row.as_ref();
    let present = row.is_some_and(|order| !order.purged);
    let counted = row.and_then(Order::counted);
    vec![
        boolean(present),
        optional(row.and_then(|order| order.customer)),
        optional(row.and_then(|order| order.store)),
        optional(row.and_then(|order| order.product)),
        optional(row.and_then(|order| order.quantity)),
        row.and_then(|order| order.unit_price.clone()),
        row.and_then(|order| order.status.clone()),
        row.and_then(|order| order.promotion_code.clone()),
        row.and_then(|order| order.placed_at.clone()),
        boolean(row.is_some_and(|order| !order.uncancelled())),
        optional(counted.map(|counted| counted.placed_us)),
        text(entry.position),
        text(entry.partition),
        text(entry.effective_us),
        optional(row.and_then(Order::placed_us)),
    ]
}

async fn customers(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    const CUSTOMERS: Layout<1> = Layout {
        table: "customer_image",
        key: plain!["customer_id"],
        columns: &[
            ("present", "present"),
            ("tier", "case when present then tier end"),
            (
                "contact_allowed",
                "case when present then contact_allowed end",
            ),
            ("position", "position"),
            ("partition", "partition"),
            moment!("effective_at"),
        ],
    };
    let image = |entry: &&Entry<Customer>| {
        let present = entry.row.as_ref();
        vec![
            boolean(present.is_some()),
            present.and_then(|customer| customer.tier.clone()),
            present.and_then(|customer| boolean(customer.contact_allowed)),
            text(entry.position),
            text(entry.partition),
            text(entry.effective_us),
        ]
    };
    let stored = |entry: &&Entry<Customer>| {
        let row = entry.row.as_ref();
        vec![
            boolean(row.is_some()),
            row.and_then(|customer| customer.tier.clone()),
            boolean(row.is_none_or(|customer| customer.contact_allowed)),
            text(entry.position),
            text(entry.partition),
            text(entry.effective_us),
        ]
    };
    let customers = model.customers.entries().map(|(id, entry)| ([*id], entry));
    pass.table(&CUSTOMERS, customers.collect(), image, stored)
        .await
}

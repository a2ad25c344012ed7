//! Topics against sink: one repeatable-read snapshot of the sink, and the topics folded to exactly the
//! offsets which that snapshot says are applied.
//!
//! ```text
//! promotions topic's end ─▶ snapshot of the sink ─▶ offsets ─▶ fold ─▶ compare table by table
//! ```
//!
//! Everything that the consumer derives is compared but the times at which it happened to evaluate.

use std::collections::HashMap;
use std::pin::pin;

use futures_util::TryStreamExt;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::history::Entry;
use super::model::{Customer, Habit, Model, Order, SalesHour, StockHour, Table};
use super::report::{Comparison, DifferenceKind, Findings};
use super::{Error, eligibility, ledger, redemption, topics};
use crate::config::settings::{Kafka, Retail, Sink};
use crate::connection;
use crate::kafka;

/// Compares the topics with the sink.
pub(super) async fn verify(
    sink: &Sink,
    kafka: &Kafka,
    retail: &Retail,
    findings: &mut Findings,
) -> Result<(), Error> {
    let published = ledger::published_before(kafka).await?;
    let sink = connection::connect(&sink.connection)
        .await
        .map_err(Error::SinkConnection)?;
    let begin = "set timezone = 'UTC'; set datestyle = 'ISO'; set statement_timeout = 0;
        set idle_in_transaction_session_timeout = 0;
        begin isolation level repeatable read read only";
    sink.batch_execute(begin)
        .await
        .map_err(query("beginning a transaction"))?;
    let now = sink
        .query_one("select now()::text", &[])
        .await
        .map_err(query("reading the time"))?;
    findings.report().sink_time = Some(now.get(0));
    let offsets = offsets(&sink).await?;
    let model = fold(kafka, retail, &offsets).await?;
    stock(&sink, &model, findings).await?;
    orders(&sink, &model, findings).await?;
    customers(&sink, &model, findings).await?;
    streamed_positions(kafka, retail, &model, &offsets, findings);
    eligibility::verify(&sink, &model, findings).await?;
    redemption::verify(&sink, &model, findings).await?;
    ledger::verify(&sink, kafka, &published, findings).await?;
    Ok(())
}

/// A row of `consumer_offset`.
struct Offset {
    topic: String,
    partition: i32,
    next_offset: i64,
    streamed_position: Option<String>,
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
    let topic = |table: &str| {
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        kafka::topics::table(&kafka.prefix, schema, name)
    };
    [
        (Table::Inventory, topic(&retail.inventory_table)),
        (Table::Orders, topic(&retail.orders_table)),
        (Table::Customers, topic(&retail.customers_table)),
    ]
}

async fn fold(kafka: &Kafka, retail: &Retail, offsets: &[Offset]) -> Result<Model, Error> {
    let mut model = Model::new(!retail.retract_deleted_orders);
    let kafka = kafka.clone();
    let plan = retail_topics(&kafka, retail).map(|(table, topic)| {
        let of_topic = offsets.iter().filter(|offset| offset.topic == topic);
        let ends: topics::Ends = of_topic
            .map(|offset| (offset.partition, offset.next_offset))
            .collect();
        (table, topic, ends)
    });
    let read = tokio::task::spawn_blocking(move || {
        for (table, topic, ends) in plan {
            topics::read(&kafka, &topic, &ends, |record| model.apply(table, record))?;
        }
        Ok(model)
    });
    read.await?
}

/// The last streamed position decides what a repeat is, so it is compared too.
fn streamed_positions(
    kafka: &Kafka,
    retail: &Retail,
    model: &Model,
    offsets: &[Offset],
    findings: &mut Findings,
) {
    findings.begin("consumer_offset", Comparison::TopicsAndSink);
    let topics = retail_topics(kafka, retail);
    for offset in offsets {
        let Some((table, topic)) = topics.iter().find(|(_, topic)| *topic == offset.topic) else {
            continue;
        };
        findings.row();
        let expected = model
            .streamed(*table, offset.partition)
            .map(|at| at.to_string());
        if expected != offset.streamed_position {
            findings.differs(DifferenceKind::Unequal, |difference| {
                difference.key = format!("topic={topic}, partition={}", offset.partition);
                difference.expected = expected;
                difference.found.clone_from(&offset.streamed_position);
            });
        }
    }
}

/// A table of the sink: its key's columns, and the columns compared, each as a name and the SQL that
/// gives its canonical text.
pub(super) struct Layout<const N: usize> {
    pub(super) table: &'static str,
    pub(super) key: [(&'static str, &'static str); N],
    pub(super) columns: &'static [(&'static str, &'static str)],
}

/// One row's values in the layout's order.
pub(super) type Values = Vec<Option<String>>;

/// Compares every row of a table with what is expected of it.
pub(super) async fn compare<const N: usize, T>(
    sink: &Client,
    layout: &Layout<N>,
    mut expected: HashMap<[i64; N], T>,
    values: impl Fn(&T) -> Values,
    findings: &mut Findings,
) -> Result<(), Error> {
    findings.begin(layout.table, Comparison::TopicsAndSink);
    let count = format!("select count(*) from {}", layout.table);
    let count = sink
        .query_one(&count, &[])
        .await
        .map_err(query("counting rows"))?;
    findings.rows(u64::try_from(count.get::<_, i64>(0)).unwrap_or_default());
    let rows = sink
        .simple_query_raw(&layout.select())
        .await
        .map_err(query("reading a table"))?;
    let mut rows = pin!(rows);
    while let Some(message) = rows.try_next().await.map_err(query("reading a table"))? {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        let text = |index: usize| row.try_get(index).ok().flatten();
        let mut key = [0; N];
        for (index, part) in key.iter_mut().enumerate() {
            *part = text(index)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
        }
        let found: Values = (N..N + layout.columns.len())
            .map(|index| text(index).map(str::to_owned))
            .collect();
        findings.compared();
        match expected.remove(&key).map(|row| values(&row)) {
            Some(expected) => layout.unequal(&key, &expected, &found, findings),
            None => findings.differs(DifferenceKind::Unexpected, |difference| {
                difference.key = layout.key_text(&key);
                difference.found = Some(layout.row_text(&found));
                difference.position = layout.position(&found);
            }),
        }
    }
    for (key, row) in expected {
        findings.differs(DifferenceKind::Missing, |difference| {
            let row = values(&row);
            difference.key = layout.key_text(&key);
            difference.expected = Some(layout.row_text(&row));
            difference.position = layout.position(&row);
        });
    }
    Ok(())
}

impl<const N: usize> Layout<N> {
    fn select(&self) -> String {
        let columns = self.key.iter().chain(self.columns).map(|(_, sql)| *sql);
        format!(
            "select {} from {}",
            columns.collect::<Vec<_>>().join(", "),
            self.table
        )
    }

    fn unequal(&self, key: &[i64; N], expected: &Values, found: &Values, findings: &mut Findings) {
        if expected == found {
            return;
        }
        findings.differs(DifferenceKind::Unequal, |difference| {
            let differing = |side: &Values| {
                let columns = self
                    .columns
                    .iter()
                    .zip(expected.iter().zip(found))
                    .zip(side);
                columns
                    .filter(|((_, (expected, found)), _)| expected != found)
                    .map(|(((name, sql), _), value)| shown(name, sql, value.as_deref()))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            difference.key = self.key_text(key);
            difference.expected = Some(differing(expected));
            difference.found = Some(differing(found));
            difference.position = self.position(expected);
        });
    }

    fn key_text(&self, key: &[i64; N]) -> String {
        let parts = self.key.iter().zip(key);
        let parts = parts.map(|((name, sql), value)| shown(name, sql, Some(&value.to_string())));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn row_text(&self, row: &Values) -> String {
        let columns = self.columns.iter().zip(row);
        let columns = columns.map(|((name, sql), value)| shown(name, sql, value.as_deref()));
        columns.collect::<Vec<_>>().join(", ")
    }

    fn position(&self, row: &Values) -> Option<String> {
        let column = self
            .columns
            .iter()
            .position(|(name, _)| *name == "position")?;
        row.get(column).cloned().flatten()
    }
}

/// `hour=2026-11-23T08:00:00Z`: moments are compared as microseconds and shown as people write them.
fn shown(name: &str, sql: &str, value: Option<&str>) -> String {
    let moment = || {
        let micros = value.filter(|_| sql.starts_with(MOMENT))?.parse().ok()?;
        jiff::Timestamp::from_microsecond(micros).ok()
    };
    match moment() {
        Some(moment) => format!("{name}={moment}"),
        None => format!("{name}={}", value.unwrap_or("null")),
    }
}

/// How the SQL of a moment begins.
const MOMENT: &str = "(extract(epoch from ";

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

async fn stock(sink: &Client, model: &Model, findings: &mut Findings) -> Result<(), Error> {
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
    compare(sink, &LEVELS, levels.collect(), level, findings).await?;
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
    compare(sink, &HOURS, hours.collect(), hour, findings).await
}

async fn orders(sink: &Client, model: &Model, findings: &mut Findings) -> Result<(), Error> {
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
    order_images(sink, model, findings).await?;
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
    compare(sink, &SALES, model.orders.sales(), sales, findings).await?;
    let habit = |row: &Habit| {
        vec![
            text(row.orders),
            text(row.units),
            text(row.first_us),
            text(row.last_us),
        ]
    };
    compare(sink, &HABITS, model.orders.habits(), habit, findings).await
}

/// Of an order that is gone the sink may keep the last columns; they mean nothing.
async fn order_images(sink: &Client, model: &Model, findings: &mut Findings) -> Result<(), Error> {
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
        ],
    };
    let image = |entry: &&Entry<Order>| {
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
        ]
    };
    let orders = model.orders.entries().map(|(id, entry)| ([*id], entry));
    compare(sink, &ORDERS, orders.collect(), image, findings).await
}

async fn customers(sink: &Client, model: &Model, findings: &mut Findings) -> Result<(), Error> {
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
    let customers = model.customers.entries().map(|(id, entry)| ([*id], entry));
    compare(sink, &CUSTOMERS, customers.collect(), image, findings).await
}

pub(super) fn query(action: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |source| Error::SinkQuery { action, source }
}

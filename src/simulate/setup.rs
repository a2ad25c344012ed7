//! Creates the shop's tables and fills them with the past. Done once: a shop with stores is left alone.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Transaction;

use super::history::{History, history};
use super::shop::{Pair, Size, price, tier};
use super::{Error, connect, load};
use crate::connection::Connection;

/// Tables, when they are missing.
const SCHEMA: &str = include_str!("schema.sql");
/// Foreign keys and indexes, when they are missing.
const REFERENCES: &str = include_str!("references.sql");
/// Two set-ups take turns.
const SETUP_LOCK: i64 = 0x7368_6f70_7365_7475;
/// Text sent to the server at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// What a set-up found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setup {
    /// Whether the shop was filled now; otherwise it was there.
    pub filled: bool,
    /// Stores.
    pub stores: i64,
    /// Products.
    pub products: i64,
    /// Customers.
    pub customers: i64,
    /// Orders.
    pub orders: i64,
}

impl std::fmt::Display for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Setup {
            stores,
            products,
            customers,
            orders,
            ..
        } = self;
        let done = if self.filled { "filled" } else { "found" };
        write!(
            f,
            "{done} a shop of {stores} stores, {products} products, {customers} customers and \
             {orders} orders"
        )
    }
}

/// Creates what is missing of the shop, in one transaction. The past is drawn from the seed.
/// With a rhythm, the past has that of hours, days and seasons, and is another one on another day.
pub async fn set_up(
    source: &Connection,
    size: Size,
    seed: u64,
    rhythm: bool,
) -> Result<Setup, Error> {
    let mut database = connect(source).await?;
    let now_us = load::now_us(&database).await?;
    let refused = |error| Error::statement("begin the set-up", error);
    let transaction = database.transaction().await.map_err(refused)?;
    // "Already exists, skipping" is no news.
    run(
        &transaction,
        "begin the set-up",
        "set local client_min_messages = warning",
    )
    .await?;
    transaction
        .execute("select pg_advisory_xact_lock($1)", &[&SETUP_LOCK])
        .await
        .map_err(refused)?;
    run(&transaction, "create the shop's tables", SCHEMA).await?;
    let found = counts(&transaction).await?;
    let empty = found.stores == 0;
    if empty {
        let opening_s = rhythm.then(|| now_us.unsigned_abs() / 1_000_000);
        let past = history(size, seed, opening_s);
        fill(&transaction, size, &past, now_us).await?;
    }
    run(&transaction, "add the shop's keys and indexes", REFERENCES).await?;
    let setup = Setup {
        filled: empty,
        ..counts(&transaction).await?
    };
    transaction
        .commit()
        .await
        .map_err(|error| Error::statement("commit the set-up", error))?;
    if empty {
        let analyze = "analyze stores, products, customers, inventory, orders";
        let analyzed = database.batch_execute(analyze).await;
        analyzed.map_err(|error| Error::statement("analyze the shop's tables", error))?;
    }
    Ok(setup)
}

async fn run(
    transaction: &Transaction<'_>,
    doing: &'static str,
    statements: &str,
) -> Result<(), Error> {
    transaction
        .batch_execute(statements)
        .await
        .map_err(|error| Error::statement(doing, error))
}

async fn counts(transaction: &Transaction<'_>) -> Result<Setup, Error> {
    let count = "select (select count(*) from stores), (select count(*) from products),
                        (select count(*) from customers), (select count(*) from orders)";
    let refused = |error| Error::statement("count the shop's rows", error);
    let row = transaction.query_one(count, &[]).await.map_err(refused)?;
    Ok(Setup {
        filled: false,
        stores: row.try_get(0).map_err(refused)?,
        products: row.try_get(1).map_err(refused)?,
        customers: row.try_get(2).map_err(refused)?,
        orders: row.try_get(3).map_err(refused)?,
    })
}

async fn fill(
    transaction: &Transaction<'_>,
    size: Size,
    past: &History,
    now_us: i64,
) -> Result<(), Error> {
    copy_goods(transaction, size).await?;
    copy_customers(transaction, past).await?;
    copy_levels(transaction, past, now_us).await?;
    copy_orders(transaction, past, now_us).await
}

async fn copy_goods(transaction: &Transaction<'_>, size: Size) -> Result<(), Error> {
    let stores = size.stores().map(|id| format!("{id}\tstore {id}"));
    copy(
        transaction,
        "copy stores (store_id, name) from stdin",
        stores,
    )
    .await?;
    let products = size
        .products()
        .map(|id| format!("{id}\tproduct {id}\t{}", Cents(price(id))));
    let into = "copy products (product_id, name, unit_price) from stdin";
    copy(transaction, into, products).await
}

async fn copy_customers(transaction: &Transaction<'_>, past: &History) -> Result<(), Error> {
    let customers = past.customers.iter().map(|customer| {
        let id = customer.id;
        let tier = tier(customer.premium);
        format!("{id}\tcustomer {id}\t{tier}\t{}", customer.contact_allowed)
    });
    let into = "copy customers (customer_id, name, tier, contact_allowed) from stdin";
    copy(transaction, into, customers).await
}

async fn copy_levels(
    transaction: &Transaction<'_>,
    past: &History,
    now_us: i64,
) -> Result<(), Error> {
    let levels = past.levels.iter().map(|level| {
        let Pair {
            store_id,
            product_id,
        } = level.pair;
        let (on_hand, target) = (level.on_hand, level.target_stock);
        let at = At(now_us);
        format!("{store_id}\t{product_id}\t{on_hand}\t{target}\t{at}")
    });
    let into =
        "copy inventory (store_id, product_id, on_hand, target_stock, updated_at) from stdin";
    copy(transaction, into, levels).await
}

async fn copy_orders(
    transaction: &Transaction<'_>,
    past: &History,
    now_us: i64,
) -> Result<(), Error> {
    let orders = (1_i64..).zip(&past.orders).map(|(order_id, order)| {
        let at = At(now_us - order.age_s * 1_000_000);
        format!(
            "{order_id}\t{}\t{}\t{}\t{}\t{}\t{}\t{at}\t{at}",
            order.customer_id,
            order.pair.store_id,
            order.pair.product_id,
            order.quantity,
            Cents(price(order.pair.product_id)),
            order.status.text(),
        )
    });
    let into = "copy orders (order_id, customer_id, store_id, product_id, quantity, unit_price,
                             status, placed_at, updated_at) from stdin";
    copy(transaction, into, orders).await
}

/// Sends lines of COPY's text format. Nothing that is sent here needs escaping.
async fn copy(
    transaction: &Transaction<'_>,
    into: &str,
    lines: impl Iterator<Item = String>,
) -> Result<(), Error> {
    let refused = |error| Error::statement("load the shop's past", error);
    let mut sink = pin!(
        transaction
            .copy_in::<_, Bytes>(into)
            .await
            .map_err(refused)?
    );
    let mut chunk = String::with_capacity(CHUNK_BYTES);
    for line in lines {
        chunk.push_str(&line);
        chunk.push('\n');
        if chunk.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut chunk, String::with_capacity(CHUNK_BYTES));
            sink.send(full.into()).await.map_err(refused)?;
        }
    }
    sink.send(chunk.into()).await.map_err(refused)?;
    sink.finish().await.map(drop).map_err(refused)
}

/// Hundredths as a decimal number.
struct Cents(i64);

impl std::fmt::Display for Cents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Microseconds since 1970 as a timestamp.
struct At(i64);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            // Beyond the year 9999.
            Err(_) => f.write_str("infinity"),
        }
    }
}

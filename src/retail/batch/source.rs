//! The source's tables, read in one snapshot through cursors that are sorted alike.
//!
//! Rows come by (store, product), so that one pair at a time is in memory; the server sorts, on its disk if
//! need be. The casts are those that the stream's events go through: a `timestamp` is taken as UTC, a price is its
//! digits, a status or tier what the server writes: `concat` keeps the blanks of a `char` that a cast takes away.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::super::mapped;
use super::super::money::Price;
use super::super::time::Timestamp;
use super::super::touched::Pair;
use super::error::Error;
use super::fold::{Folded, Member, Pairs, Sale};
use crate::config::mapping::{MappedTable, Mapping};
use crate::config::settings::Retail;
use crate::connection::{self, Connection, Database, quote_identifier, quote_literal};

/// Rows of one fetch.
const FETCH: usize = 10_000;
/// How often it is told how far the reading is.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// The last moment that 64 bits of microseconds since 1970 hold; what is later counts as infinite.
const LAST_MOMENT: &str = "294247-01-10 04:00:54.775807+00";

/// A connection to the source that knows its tables.
pub(super) struct Reader {
    database: Database,
    levels: String,
    orders: String,
}

impl Reader {
    /// Logs in, and looks at the tables.
    pub(super) async fn open(connection: &Connection, retail: &Retail) -> Result<Reader, Error> {
        const SESSION: &str = "
            set timezone = 'UTC'; set row_security = off; set statement_timeout = 0;
            set idle_in_transaction_session_timeout = 0; set cursor_tuple_fraction = 1";
        let database = connection::connect(connection)
            .await
            .map_err(Error::Connect)?;
        database
            .batch_execute(SESSION)
            .await
            .map_err(|error| Error::source("set up the session", error))?;
        let mapping = &retail.mapping;
        let [inventory, orders, customers] = [
            from_clause(&database, &mapping.inventory).await?,
            from_clause(&database, &mapping.orders).await?,
            from_clause(&database, &mapping.customers).await?,
        ];
        Ok(Reader {
            database,
            levels: levels(&mapping.inventory, &inventory),
            orders: orders_of(mapping, &orders, &customers),
        })
    }

    /// Takes a snapshot and opens the cursors.
    pub(super) async fn begin(&mut self) -> Result<Reading<'_>, Error> {
        let failed = |error| Error::source("begin reading its tables", error);
        let transaction = self
            .database
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .map_err(failed)?;
        let declare = format!("{};{}", self.levels, self.orders);
        transaction.batch_execute(&declare).await.map_err(failed)?;
        let row = transaction.query_one("select now()", &[]).await;
        let taken_at = row.map_err(failed)?.get(0);
        Ok(Reading {
            levels: Cursor::new("fetch 10000 from batch_levels"),
            orders: Cursor::new("fetch 10000 from batch_orders"),
            transaction,
            taken_at,
            read: 0,
            told: Instant::now(),
        })
    }
}

/// What SQL selects a mapped table from, once it is known to do.
async fn from_clause(database: &Database, table: &MappedTable) -> Result<String, Error> {
    let found = mapped::find(database, table)
        .await
        .map_err(|error| Error::source("look for its tables", error))?;
    match mapped::faults(table, found.as_ref()).into_iter().next() {
        Some(fault) => Err(Error::Mapping(fault)),
        None => Ok(found.map_or_else(String::new, |found| found.selected(table))),
    }
}

/// A column of a mapped table, for SQL. The mapping has all but the optional ones.
fn column(table: &MappedTable, role: &str) -> String {
    quote_identifier(table.column(role).unwrap_or(role))
}

/// What a numeric holds beside numbers.
const NO_NUMBER: &str = "('NaN', 'Infinity', '-Infinity')";

fn levels(inventory: &MappedTable, from: &str) -> String {
    let column = |role| column(inventory, role);
    let (store, product, level) = (column("store_id"), column("product_id"), column("on_hand"));
    format!(
        "declare batch_levels no scroll cursor for
         select {store}::bigint as store_id, {product}::bigint as product_id, {level}::integer as on_hand
         from {from} where {level} is not null and {level}::text not in {NO_NUMBER} order by 1, 2"
    )
}

/// Uncancelled orders that have what the aggregates need, with who placed them.
fn orders_of(mapping: &Mapping, orders: &str, customers: &str) -> String {
    let order = |role| format!("o.{}", column(&mapping.orders, role));
    let customer = |role| format!("c.{}", column(&mapping.customers, role));
    let contact = if mapping.customers.column("contact_allowed").is_some() {
        format!("coalesce({}, true)", customer("contact_allowed"))
    } else {
        "true".to_owned()
    };
    let [store, product, quantity, price, placed, status] = [
        "store_id",
        "product_id",
        "quantity",
        "unit_price",
        "placed_at",
        "status",
    ]
    .map(order);
    let (ordered_by, id, tier) = (
        order("customer_id"),
        customer("customer_id"),
        customer("tier"),
    );
    let mut sql = format!(
        "declare batch_orders no scroll cursor for
         select {store}::bigint as store_id, {product}::bigint as product_id,
                {id}::bigint as customer_id,
                case when {tier} is not null then concat({tier}) end as tier,
                {contact} as contact_allowed, {quantity}::text as quantity,
                {price}::text as unit_price, {placed}::timestamptz as placed_at
         from {orders} o left join {customers} c on {id} = {ordered_by}
         where {store} is not null and {product} is not null and {quantity} is not null
           and {price} is not null and isfinite({placed}::timestamptz)"
    );
    // Writing into a string does not fail.
    let _ = write!(
        sql,
        " and {placed}::timestamptz <= timestamptz {}",
        quote_literal(LAST_MOMENT)
    );
    let cancelled: Vec<String> = mapping
        .cancelled
        .iter()
        .map(|status| quote_literal(status))
        .collect();
    if !cancelled.is_empty() {
        let _ = write!(
            sql,
            " and ({status} is null or concat({status}) not in ({}))",
            cancelled.join(", ")
        );
    }
    sql.push_str(" order by 1, 2");
    sql
}

/// Rows of one cursor, as many as were fetched.
struct Cursor {
    fetch: &'static str,
    rows: VecDeque<Row>,
    ended: bool,
}

impl Cursor {
    fn new(fetch: &'static str) -> Cursor {
        Cursor {
            fetch,
            rows: VecDeque::new(),
            ended: false,
        }
    }

    /// The next row's pair.
    async fn peek(&mut self, transaction: &Transaction<'_>) -> Result<Option<Pair>, Error> {
        if self.rows.is_empty() && !self.ended {
            let rows = transaction
                .query(self.fetch, &[])
                .await
                .map_err(|error| Error::source("read its tables", error))?;
            self.ended = rows.len() < FETCH;
            self.rows = rows.into();
        }
        let pair = |row: &Row| {
            Ok(Pair {
                store_id: get(row, "store_id")?,
                product_id: get(row, "product_id")?,
            })
        };
        self.rows.front().map(pair).transpose()
    }
}

/// The tables under way.
pub(super) struct Reading<'a> {
    transaction: Transaction<'a>,
    levels: Cursor,
    orders: Cursor,
    taken_at: Timestamp,
    read: u64,
    told: Instant,
}

impl Reading<'_> {
    /// When the snapshot was taken, by the source's clock.
    pub(super) fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// Orders read so far.
    pub(super) fn orders(&self) -> u64 {
        self.read
    }

    /// Folds the next pair; `false` when there is none.
    pub(super) async fn next(
        &mut self,
        pairs: &mut Pairs<'_>,
        folded: &mut Folded,
    ) -> Result<bool, Error> {
        let level_of = self.levels.peek(&self.transaction).await?;
        let ordered = self.orders.peek(&self.transaction).await?;
        let Some(pair) = [level_of, ordered].into_iter().flatten().min() else {
            return Ok(false);
        };
        let mut level = None;
        if level_of == Some(pair)
            && let Some(row) = self.levels.rows.pop_front()
        {
            level = Some(get(&row, "on_hand")?);
        }
        while self.orders.peek(&self.transaction).await? == Some(pair) {
            if let Some(row) = self.orders.rows.pop_front() {
                self.read += 1;
                if let Some(sale) = sale(&row, pair)? {
                    pairs.sale(sale);
                }
            }
            self.tell();
        }
        pairs.finish(pair, level, folded);
        Ok(true)
    }

    fn tell(&mut self) {
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            tracing::info!(orders = self.read, "reading the source");
        }
    }
}

/// What an order adds; `None` where its price is not finite.
fn sale(row: &Row, pair: Pair) -> Result<Option<Sale>, Error> {
    let refused = |column, expected| Error::Value {
        store_id: pair.store_id,
        product_id: pair.product_id,
        column,
        expected,
    };
    let quantity: &str = get(row, "quantity")?;
    if matches!(quantity, "NaN" | "Infinity" | "-Infinity") {
        return Ok(None);
    }
    let units: i32 = quantity
        .parse()
        .map_err(|_| refused("quantity", "32-bit integer"))?;
    let price =
        Price::parse(get(row, "unit_price")?).map_err(|_| refused("unit_price", "number"))?;
    let Price::Finite(price) = price else {
        return Ok(None);
    };
    let Some(revenue) = price.times(units) else {
        return Ok(None);
    };
    let (customer, tier): (Option<i64>, Option<String>) =
        (get(row, "customer_id")?, get(row, "tier")?);
    let contact_allowed = get(row, "contact_allowed")?;
    let member = customer.zip(tier).map(|(customer_id, tier)| Member {
        customer_id,
        tier,
        contact_allowed,
    });
    Ok(Some(Sale {
        member,
        units,
        revenue,
        placed_at: get(row, "placed_at")?,
    }))
}

fn get<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    name: &'static str,
) -> Result<T, Error> {
    row.try_get(name)
        .map_err(|error| Error::source("read a column", error))
}

//! The source's tables, read in one snapshot through cursors that are sorted alike.
//!
//! Rows come by (store, product), so that one pair at a time is in memory; the server sorts, on its disk if
//! need be. The casts are those that the stream's events go through: a `timestamp` is taken as UTC, a status
//! is its text, a price its digits.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::super::money::Price;
use super::super::time::Timestamp;
use super::super::touched::Pair;
use super::error::Error;
use super::fold::{Folded, Member, Pairs, Sale};
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

/// One of the mapped tables.
struct Mapped {
    name: String,
    from: String,
    columns: HashSet<String>,
}

impl Mapped {
    async fn find(database: &Database, key: &'static str, name: &str) -> Result<Mapped, Error> {
        const SQL: &str = "
            select c.relkind::text, array(
                select a.attname::text from pg_attribute a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')";
        let (schema, table) = name.split_once('.').unwrap_or(("public", name));
        let row = database
            .query_opt(SQL, &[&schema, &table])
            .await
            .map_err(|error| Error::source("look for its tables", error))?;
        let row = row.ok_or(Error::Table {
            key,
            table: name.to_owned(),
        })?;
        let columns: Vec<String> = row.get(1);
        // Tables that inherit from it have topics of their own.
        let only = if row.get::<_, String>(0) == "p" {
            ""
        } else {
            "only "
        };
        let (schema, table) = (quote_identifier(schema), quote_identifier(table));
        Ok(Mapped {
            name: name.to_owned(),
            from: format!("{only}{schema}.{table}"),
            columns: columns.into_iter().collect(),
        })
    }

    fn needs(self, columns: &[&'static str]) -> Result<Mapped, Error> {
        let mut missing = columns.iter().filter(|name| !self.columns.contains(**name));
        match missing.next() {
            None => Ok(self),
            Some(column) => Err(Error::Column {
                table: self.name,
                column,
            }),
        }
    }
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
        let inventory =
            Mapped::find(&database, "retail.inventory_table", &retail.inventory_table).await?;
        let orders = Mapped::find(&database, "retail.orders_table", &retail.orders_table).await?;
        let customers =
            Mapped::find(&database, "retail.customers_table", &retail.customers_table).await?;
        let inventory = inventory.needs(&["store_id", "product_id", "on_hand"])?;
        let orders = orders.needs(&[
            "customer_id",
            "store_id",
            "product_id",
            "quantity",
            "unit_price",
            "status",
            "placed_at",
        ])?;
        let customers = customers.needs(&["customer_id", "tier"])?;
        Ok(Reader {
            database,
            levels: levels(&inventory),
            orders: orders_of(&orders, &customers),
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

fn levels(inventory: &Mapped) -> String {
    format!(
        "declare batch_levels no scroll cursor for
         select store_id::bigint as store_id, product_id::bigint as product_id, on_hand::integer
         from {} where on_hand is not null order by 1, 2",
        inventory.from
    )
}

/// Uncancelled orders that have what the aggregates need, with who placed them.
fn orders_of(orders: &Mapped, customers: &Mapped) -> String {
    let contact = if customers.columns.contains("contact_allowed") {
        "coalesce(c.contact_allowed, true)"
    } else {
        "true"
    };
    let mut sql = format!(
        "declare batch_orders no scroll cursor for
         select o.store_id::bigint as store_id, o.product_id::bigint as product_id,
                c.customer_id::bigint as customer_id, c.tier::text as tier,
                {contact} as contact_allowed, o.quantity::text as quantity,
                o.unit_price::text as unit_price, o.placed_at::timestamptz as placed_at
         from {} o left join {} c on c.customer_id = o.customer_id
         where o.store_id is not null and o.product_id is not null and o.quantity is not null
           and o.unit_price is not null and isfinite(o.placed_at::timestamptz)",
        orders.from, customers.from
    );
    // Writing into a string does not fail.
    let _ = write!(
        sql,
        " and o.placed_at::timestamptz <= timestamptz {}
          and coalesce(o.status::text, '') not in ('cancelled', 'returned')
          order by 1, 2",
        quote_literal(LAST_MOMENT)
    );
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

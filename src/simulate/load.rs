//! What the tables hold, as a plan wants to know it.

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::Error;
use super::shop::{Pair, Status};
use super::shoppers::Clientele;
use super::state::{KnownOrder, Member, PAST_MAX, Shelf, State};
use crate::connection::Database;

/// Ids from here on are given by the sequence, to orders that no simulator places.
const FOREIGN_ORDER_ID: i64 = 1_000_000_000;
/// Most open orders that are taken up again.
const OPEN_MAX: i64 = 50_000;
/// Most favourites that shoppers come for: a few for each premium customer of the largest shop.
const FAVOURITES_MAX: i64 = 1_000_000;

const SHELVES: &str = "
    select s.store_id, p.product_id, i.on_hand, coalesce(i.target_stock, 0),
           coalesce(week.units, 0)::int
    from unnest($1::bigint[]) as s (store_id)
    cross join products p
    left join inventory i using (store_id, product_id)
    left join (
        select store_id, product_id, least(sum(quantity), 100000000) as units
        from orders
        where store_id = any ($1) and placed_at > now() - interval '7 days'
          and status not in ('cancelled', 'returned')
        group by store_id, product_id) week using (store_id, product_id)
    order by s.store_id, p.product_id";

const MEMBERS: &str = "
    select customer_id, tier = 'premium', contact_allowed
    from customers order by customer_id";

/// The youngest of them, the oldest of these first.
const ORDERS: &str = "
    select * from (
        select order_id, customer_id, store_id, product_id, quantity, status
        from orders
        where store_id = any ($1) and status = any ($2)
        order by order_id desc limit $3) youngest
    order by order_id";

/// What premium customers have bought twice or more of late.
const FAVOURITES: &str = "
    select o.customer_id, o.store_id, o.product_id
    from orders o join customers c using (customer_id)
    where c.tier = 'premium' and o.placed_at > now() - interval '35 days'
      and o.status not in ('cancelled', 'returned')
    group by 1, 2, 3 having count(*) > 1
    order by 1, 2, 3 limit $1";

/// Every store, by id.
pub(super) async fn stores(database: &Database) -> Result<Vec<i64>, Error> {
    let doing = "read the stores";
    let rows = query(database, doing, "select store_id from stores order by 1").await?;
    rows.iter().map(|row| get(row, 0, doing)).collect()
}

/// Id of the first order that will be placed.
pub(super) async fn first_order_id(database: &Database) -> Result<i64, Error> {
    let doing = "read the highest order id";
    let highest = format!(
        "select coalesce(max(order_id), 0) + 1 from orders where order_id < {FOREIGN_ORDER_ID}"
    );
    single(&query(database, doing, &highest).await?, doing)
}

/// The server's time, microseconds since 1970.
pub(super) async fn now_us(database: &Database) -> Result<i64, Error> {
    let doing = "tell the time";
    let now = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
    single(&query(database, doing, now).await?, doing)
}

/// Who visits the stores, and what for.
pub(super) async fn clientele(database: &Database) -> Result<Clientele, Error> {
    let doing = "read the favourites";
    let rows = database.query(FAVOURITES, &[&FAVOURITES_MAX]).await;
    let rows = rows.map_err(|error| Error::statement(doing, error))?;
    let mut favourites: HashMap<i64, Vec<Pair>> = HashMap::new();
    for row in &rows {
        let pair = Pair {
            store_id: get(row, 1, doing)?,
            product_id: get(row, 2, doing)?,
        };
        favourites
            .entry(get(row, 0, doing)?)
            .or_default()
            .push(pair);
    }
    let (premium, standard): (Vec<Member>, Vec<Member>) = members(database)
        .await?
        .into_iter()
        .partition(|member| member.premium);
    let ids = |members: Vec<Member>| members.iter().map(|m| m.customer_id).collect();
    let doing = "read the products";
    let products = query(
        database,
        doing,
        "select product_id from products order by 1",
    )
    .await?;
    let products = products.iter().map(|row| get(row, 0, doing));
    Ok(Clientele {
        stores: stores(database).await?,
        products: products.collect::<Result<_, _>>()?,
        premium: ids(premium),
        standard: ids(standard),
        favourites,
    })
}

/// The state of some stores, for the plan that has the `index`-th share of the customers.
pub(super) async fn state(
    database: &Database,
    stores: &Vec<i64>,
    index: usize,
    plans: usize,
) -> Result<State, Error> {
    let shelves = shelves(database, stores).await?;
    let places: HashMap<Pair, usize> = shelves
        .iter()
        .enumerate()
        .map(|(place, shelf)| (shelf.pair, place))
        .collect();
    let everybody = members(database).await?;
    let past_max = i64::try_from(PAST_MAX).unwrap_or(i64::MAX);
    let open = ["placed", "paid", "shipped"];
    Ok(State {
        past: orders(database, stores, &["delivered"], past_max, &places).await?,
        open: orders(database, stores, &open, OPEN_MAX, &places).await?,
        customers: everybody.iter().map(|member| member.customer_id).collect(),
        members: everybody.into_iter().skip(index).step_by(plans).collect(),
        shelves,
        next_order_id: 0,
        order_id_step: 0,
    })
}

async fn shelves(database: &Database, stores: &Vec<i64>) -> Result<Vec<Shelf>, Error> {
    let doing = "read the levels";
    let rows = database
        .query(SHELVES, &[stores])
        .await
        .map_err(|error| Error::statement(doing, error))?;
    let shelf = |row: &Row| -> Result<Shelf, Error> {
        Ok(Shelf {
            pair: Pair {
                store_id: get(row, 0, doing)?,
                product_id: get(row, 1, doing)?,
            },
            on_hand: get(row, 2, doing)?,
            target_stock: get(row, 3, doing)?,
            week_units: get(row, 4, doing)?,
            awaited: false,
        })
    };
    rows.iter().map(shelf).collect()
}

async fn members(database: &Database) -> Result<Vec<Member>, Error> {
    let doing = "read the customers";
    let member = |row: &Row| -> Result<Member, Error> {
        Ok(Member {
            customer_id: get(row, 0, doing)?,
            premium: get(row, 1, doing)?,
            contact_allowed: get(row, 2, doing)?,
        })
    };
    let rows = query(database, doing, MEMBERS).await?;
    rows.iter().map(member).collect()
}

async fn orders(
    database: &Database,
    stores: &Vec<i64>,
    statuses: &[&str],
    most: i64,
    places: &HashMap<Pair, usize>,
) -> Result<Vec<KnownOrder>, Error> {
    let doing = "read the orders";
    let rows = database
        .query(ORDERS, &[stores, &statuses, &most])
        .await
        .map_err(|error| Error::statement(doing, error))?;
    let mut orders = Vec::with_capacity(rows.len());
    for row in &rows {
        let pair = Pair {
            store_id: get(row, 2, doing)?,
            product_id: get(row, 3, doing)?,
        };
        let status: String = get(row, 5, doing)?;
        if let (Some(shelf), Some(status)) = (places.get(&pair), Status::parse(&status)) {
            orders.push(KnownOrder {
                order_id: get(row, 0, doing)?,
                customer_id: get(row, 1, doing)?,
                shelf: *shelf,
                quantity: get(row, 4, doing)?,
                status,
            });
        }
    }
    Ok(orders)
}

async fn query(database: &Database, doing: &'static str, sql: &str) -> Result<Vec<Row>, Error> {
    let rows = database.query(sql, &[]).await;
    rows.map_err(|error| Error::statement(doing, error))
}

fn single<T: for<'a> FromSql<'a> + Default>(rows: &[Row], doing: &'static str) -> Result<T, Error> {
    rows.first()
        .map_or(Ok(T::default()), |row| get(row, 0, doing))
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, index: usize, doing: &'static str) -> Result<T, Error> {
    row.try_get(index)
        .map_err(|error| Error::statement(doing, error))
}

//! A batch becomes a transaction: one statement for each set of rows, all of them sent at once.

use std::pin::Pin;

use futures_util::future::join_all;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::Error;
use super::batch::Batch;
use super::operation::{CustomerChange, NewOrder, Operation, OrderStep, StockMove};
use super::shop::tier;
use crate::connection::Database;

const INSERT_ORDERS: &str = "
    insert into orders (order_id, customer_id, store_id, product_id, quantity, unit_price, status,
                        promotion_code, placed_at, updated_at)
    select order_id, customer_id, store_id, product_id, quantity, cents / 100.0, 'placed',
           code, timestamptz 'epoch' + placed_us * interval '1 microsecond', now()
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[],
                $7::bigint[], $8::text[])
        as new (order_id, customer_id, store_id, product_id, quantity, cents, placed_us, code)";

const UPDATE_ORDERS: &str = "
    update orders set status = step.status, quantity = coalesce(step.quantity, orders.quantity),
                      updated_at = now()
    from unnest($1::bigint[], $2::text[], $3::int[]) as step (order_id, status, quantity)
    where orders.order_id = step.order_id";

const MOVE_STOCK: &str = "
    update inventory set on_hand = on_hand + move.units,
                         target_stock = coalesce(move.target, target_stock), updated_at = now()
    from unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[])
        as move (store_id, product_id, units, target)
    where inventory.store_id = move.store_id and inventory.product_id = move.product_id";

const UPDATE_CUSTOMERS: &str = "
    update customers set tier = change.tier, contact_allowed = change.contact_allowed
    from unnest($1::bigint[], $2::text[], $3::boolean[])
        as change (customer_id, tier, contact_allowed)
    where customers.customer_id = change.customer_id";

const ERASE: &str = "delete from orders where order_id = $1";
const DELIST: &str = "delete from inventory where store_id = $1 and product_id = $2";
const LIST: &str = "
    insert into inventory (store_id, product_id, on_hand, target_stock) values ($1, $2, $3, $4)";

/// The statements of one connection.
pub(super) struct Writer {
    insert_orders: Statement,
    update_orders: Statement,
    move_stock: Statement,
    update_customers: Statement,
    erase: Statement,
    delist: Statement,
    list: Statement,
}

impl Writer {
    pub(super) async fn prepare(database: &Database) -> Result<Writer, Error> {
        // Rows are looked up by their keys, however many there are: planning that anew costs as much as doing it.
        let planned_once = database.batch_execute("set plan_cache_mode = force_generic_plan");
        let planned_once = planned_once.await;
        planned_once.map_err(|error| Error::statement("set up the session", error))?;
        let prepare = async |sql| {
            let prepared = database.prepare(sql).await;
            prepared.map_err(|error| Error::statement("prepare the shop's statements", error))
        };
        Ok(Writer {
            insert_orders: prepare(INSERT_ORDERS).await?,
            update_orders: prepare(UPDATE_ORDERS).await?,
            move_stock: prepare(MOVE_STOCK).await?,
            update_customers: prepare(UPDATE_CUSTOMERS).await?,
            erase: prepare(ERASE).await?,
            delist: prepare(DELIST).await?,
            list: prepare(LIST).await?,
        })
    }

    /// Writes a batch in one transaction. `started_us`: the start in microseconds since 1970.
    ///
    /// No statement waits for the answer to the one before: the round trips would be half of the work, at the
    /// server too. Of a statement that fails the error comes back, the server passes over those behind it, and
    /// its answer to the commit is a rollback.
    pub(super) async fn write(
        &self,
        database: &Database,
        batch: &Batch,
        started_us: i64,
    ) -> Result<(), Error> {
        let on = Open {
            database,
            writer: self,
        };
        let mut statements: Vec<Sent<'_>> = vec![Box::pin(on.control("begin"))];
        // Orders before their steps, so that one may be placed and paid in the same batch.
        if !batch.orders.is_empty() {
            statements.push(Box::pin(on.insert_orders(&batch.orders, started_us)));
        }
        for steps in batch.steps.iter() {
            statements.push(Box::pin(on.update_orders(steps)));
        }
        for moves in batch.stock.iter() {
            statements.push(Box::pin(on.move_stock(moves)));
        }
        for changes in batch.customers.iter() {
            statements.push(Box::pin(on.update_customers(changes)));
        }
        if let Some(operation) = &batch.alone {
            statements.push(Box::pin(on.single(operation)));
        }
        statements.push(Box::pin(on.control("commit")));
        // Each is sent when it is first asked for its answer, and they are asked in their order.
        join_all(statements).await.into_iter().collect()
    }
}

/// A statement on its way.
type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// A transaction that is open.
struct Open<'a> {
    database: &'a Database,
    writer: &'a Writer,
}

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Open<'_> {
    /// Begins or ends it.
    async fn control(&self, statement: &'static str) -> Result<(), Error> {
        let executed = self.database.batch_execute(statement).await;
        executed.map_err(|error| Error::statement(statement, error))
    }

    async fn execute(
        &self,
        doing: &'static str,
        statement: &Statement,
        values: Values<'_>,
    ) -> Result<(), Error> {
        let executed = self.database.execute(statement, values).await;
        executed
            .map(drop)
            .map_err(|error| Error::statement(doing, error))
    }

    async fn insert_orders(&self, new: &[(NewOrder, u64)], started_us: i64) -> Result<(), Error> {
        let column = |of: fn(&NewOrder) -> i64| new.iter().map(|(order, _)| of(order)).collect();
        let ids: Vec<i64> = column(|order| order.order_id);
        let customers: Vec<i64> = column(|order| order.customer_id);
        let stores: Vec<i64> = column(|order| order.pair.store_id);
        let products: Vec<i64> = column(|order| order.pair.product_id);
        let quantities: Vec<i32> = new.iter().map(|(order, _)| order.quantity).collect();
        let prices: Vec<i64> = column(|order| order.unit_price);
        let placed = |due_us: u64| started_us.saturating_add_unsigned(due_us);
        let placed: Vec<i64> = new.iter().map(|(_, due_us)| placed(*due_us)).collect();
        let codes = new.iter().map(|(order, _)| order.promotion_code.as_deref());
        let codes: Vec<Option<&str>> = codes.collect();
        let values: Values<'_> = &[
            &ids,
            &customers,
            &stores,
            &products,
            &quantities,
            &prices,
            &placed,
            &codes,
        ];
        let statement = &self.writer.insert_orders;
        self.execute("place orders", statement, values).await
    }

    async fn update_orders(&self, steps: &[OrderStep]) -> Result<(), Error> {
        let ids: Vec<i64> = steps.iter().map(|step| step.order_id).collect();
        let statuses: Vec<&str> = steps.iter().map(|step| step.status.text()).collect();
        let quantities: Vec<Option<i32>> = steps.iter().map(|step| step.quantity).collect();
        let values: Values<'_> = &[&ids, &statuses, &quantities];
        let statement = &self.writer.update_orders;
        self.execute("update orders", statement, values).await
    }

    async fn move_stock(&self, moves: &[StockMove]) -> Result<(), Error> {
        let stores: Vec<i64> = moves.iter().map(|stock| stock.pair.store_id).collect();
        let products: Vec<i64> = moves.iter().map(|stock| stock.pair.product_id).collect();
        let units: Vec<i32> = moves.iter().map(|stock| stock.units).collect();
        let targets: Vec<Option<i32>> = moves.iter().map(|stock| stock.target_stock).collect();
        let values: Values<'_> = &[&stores, &products, &units, &targets];
        let statement = &self.writer.move_stock;
        self.execute("move stock", statement, values).await
    }

    async fn update_customers(&self, changes: &[CustomerChange]) -> Result<(), Error> {
        let ids: Vec<i64> = changes.iter().map(|change| change.customer_id).collect();
        let tiers: Vec<&str> = changes.iter().map(|change| tier(change.premium)).collect();
        let allowed: Vec<bool> = changes
            .iter()
            .map(|change| change.contact_allowed)
            .collect();
        let values: Values<'_> = &[&ids, &tiers, &allowed];
        let statement = &self.writer.update_customers;
        self.execute("update customers", statement, values).await
    }

    async fn single(&self, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::Erase { order_id } => {
                self.execute("erase an order", &self.writer.erase, &[order_id])
                    .await
            }
            Operation::Delist { pair, .. } => {
                let values: Values<'_> = &[&pair.store_id, &pair.product_id];
                self.execute("give up a product", &self.writer.delist, values)
                    .await
            }
            Operation::List {
                pair,
                on_hand,
                target_stock,
            } => {
                let values: Values<'_> = &[&pair.store_id, &pair.product_id, on_hand, target_stock];
                self.execute("take up a product", &self.writer.list, values)
                    .await
            }
            // Batches put only those three apart.
            Operation::Place { .. }
            | Operation::Step { .. }
            | Operation::Supply { .. }
            | Operation::ChangeCustomer(_)
            | Operation::Correct { .. }
            | Operation::Recount { .. } => Ok(()),
        }
    }
}

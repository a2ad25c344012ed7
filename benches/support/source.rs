//! The source: a database with the ten-column table, filled behind a slot.

use tidewater::connection::{Connection, Database, connect};

use super::Fallible;

/// Publication of the table.
pub(crate) const PUBLICATION: &str = "bench";
/// The slot that is filled, and copied for each contender.
const FILLED: &str = "filled";

/// A database of the benchmark's own.
pub(crate) struct Source {
    pub(crate) database: Database,
    pub(crate) name: String,
    server: Connection,
}

impl Source {
    /// Creates database, table and publication.
    pub(crate) async fn create(server: &Connection, name: &str) -> Fallible<Source> {
        let source = Source::create_with(server, name, include_str!("../orders.sql")).await?;
        let publish = format!(
            "alter table orders set (autovacuum_enabled = false); \
             create publication {PUBLICATION} for table orders"
        );
        source.database.batch_execute(&publish).await?;
        Ok(source)
    }

    /// Creates a database, and runs a script in it.
    pub(crate) async fn create_with(
        server: &Connection,
        name: &str,
        script: &str,
    ) -> Fallible<Source> {
        let database = connect(server).await?;
        let create = format!("create database {name}");
        database.batch_execute(&create).await?;
        let database = connect(&server.clone().with_database(name)).await?;
        database.batch_execute(script).await?;
        Ok(Source {
            database,
            name: name.to_owned(),
            server: server.clone(),
        })
    }

    /// Creates the slot and fills it: `rows` rows in transactions of `transaction_rows`, an update of each if
    /// asked for, then one row alone. Returns an LSN after everything but that row's commit.
    pub(crate) async fn fill(
        &self,
        rows: u32,
        transaction_rows: u32,
        updates: bool,
    ) -> Fallible<String> {
        let (batches, last) = (rows / transaction_rows, rows + 1);
        let database = &self.database;
        database
            .batch_execute(&format!(
                "select pg_create_logical_replication_slot('{FILLED}', 'pgoutput')"
            ))
            .await?;
        database
            .batch_execute(&format!("call place_orders({batches}, {transaction_rows})"))
            .await?;
        if updates {
            let update = "update orders set quantity = quantity + 1";
            database.batch_execute(update).await?;
        }
        database.batch_execute("begin").await?;
        let copy = format!(
            "insert into orders select {last}, customer_id, unit_price, quantity, sku, placed_at, \
             promised_at, gift, note, basket_id from orders where order_id = 1"
        );
        database.batch_execute(&copy).await?;
        let lsn: String = database
            .query_one("select pg_current_wal_insert_lsn()::text", &[])
            .await?
            .get(0);
        database.batch_execute("commit; checkpoint").await?;
        Ok(lsn)
    }

    /// A slot with the same contents.
    pub(crate) async fn copy_slot(&self, name: &str) -> Fallible<()> {
        let copy = "select from pg_copy_logical_replication_slot($1::text::name, $2::text::name)";
        self.database.execute(copy, &[&FILLED, &name]).await?;
        Ok(())
    }

    /// The walsender on a slot.
    pub(crate) async fn walsender(&self, slot: &str) -> Fallible<Option<u32>> {
        let find = "select active_pid from pg_replication_slots where slot_name = $1::text::name";
        let row = self.database.query_one(find, &[&slot]).await?;
        Ok(row.get::<_, Option<i32>>(0).map(i32::cast_unsigned))
    }

    /// Drops a slot as soon as nobody uses it.
    pub(crate) async fn drop_slot(&self, slot: &str) -> Fallible<()> {
        while self.walsender(slot).await?.is_some() {
            tokio::time::sleep(super::process::LOOK).await;
        }
        let drop = "select pg_drop_replication_slot($1::text::name)";
        self.database.execute(drop, &[&slot]).await?;
        Ok(())
    }

    /// Drops slot and database.
    pub(crate) async fn remove(self) -> Fallible<()> {
        let slots = "select slot_name::text from pg_replication_slots where database = $1::text";
        for row in self.database.query(slots, &[&self.name]).await? {
            self.drop_slot(row.get(0)).await?;
        }
        drop(self.database);
        let database = connect(&self.server).await?;
        database
            .batch_execute(&format!("drop database {} with (force)", self.name))
            .await?;
        Ok(())
    }
}

//! Consumers that were written for Debezium read our topics as they are.

mod flink;
mod jdbc;

use tidewater::connection::{Database, connect};

use crate::support::{self, Tidewater, kafka_brokers, until};

/// A captured database with a table, and rows of all kinds of changes.
struct Shop {
    database: Database,
    prefix: String,
}

/// What a sale is.
const SALE: &str = "
    create table sale (id bigint primary key, store integer not null, amount numeric(12,2) not null,
                       sold_at timestamptz not null, paid boolean not null, note text)";
const BEFORE: &str = "
    insert into sale
    select id, id % 3, id * 1.25, '2026-11-27 08:00:00.123456+01'::timestamptz + id * interval '1 minute',
           id % 2 = 0, case when id % 5 > 0 then 'note ' || id end
    from generate_series(1, 60) as id";
/// Changed values, groups that gain, lose and vanish, keys that change.
const CHANGES: &str = "
    insert into sale values (101, 7, 3.50, '2026-11-27 09:00:00+00', true, 'über „€“'),
                            (102, 8, -1.00, '2026-11-27 09:00:01+00', false, null);
    update sale set amount = amount + 0.05 where id between 1 and 20;
    update sale set store = 9, note = null where id between 10 and 15;
    update sale set id = id + 1000 where id in (30, 31, 32);
    delete from sale where id between 40 and 50 or store = 8";

impl Shop {
    /// Publishes the rows from before and then the changes, and ends. `sections` end the configuration.
    async fn published(name: &str, identity: &str, sections: &str) -> Shop {
        let source = support::postgres_database(name).await;
        let database = connect(&source).await.unwrap();
        let tables = format!("{SALE}; alter table sale replica identity {identity}; {BEFORE}");
        database.batch_execute(&tables).await.unwrap();
        let prefix = support::unique(name);
        let config = format!(
            "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 2\n\
             {sections}\n",
            support::database_url(source.database()),
            kafka_brokers()
        );
        let mut replicator = Tidewater::start(&["replicate"], &config);
        until("streaming", async || {
            assert!(replicator.is_running(), "{}", replicator.log());
            replicator.log().contains("streaming resume")
        })
        .await;
        database.batch_execute(CHANGES).await.unwrap();
        support::caught_up(&database, &prefix).await;
        assert_eq!(replicator.terminate().code(), Some(0));
        Shop { database, prefix }
    }

    fn topic(&self) -> String {
        format!("{}.public.sale", self.prefix)
    }
}

/// Rows of a query whose columns are all text, null as `<null>`.
async fn rows(database: &Database, query: &str) -> Vec<Vec<String>> {
    let rows = database.query(query, &[]).await.unwrap();
    let text = |cell: Option<String>| cell.unwrap_or_else(|| "<null>".to_owned());
    rows.iter()
        .map(|row| (0..row.len()).map(|i| text(row.get(i))).collect())
        .collect()
}

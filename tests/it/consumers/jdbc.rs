//! Debezium's JDBC sink connector: a copy of the table, kept by upserts and deletes.

use tidewater::connection::connect;

use super::{Shop, rows};
use crate::support::{self, Worker, postgres_port, until};

const ROWS: &str = "
    select id::text, store::text, amount::text, sold_at::text, paid::text, note from sale order by id";

fn connector(shop: &Shop, database: &str) -> String {
    let json = "org.apache.kafka.connect.json.JsonConverter";
    format!(
        "name=sink\n\
         connector.class=io.debezium.connector.jdbc.JdbcSinkConnector\n\
         topics={}\n\
         connection.url=jdbc:postgresql://127.0.0.1:{}/{database}\n\
         connection.username=postgres\n\
         connection.password=none\n\
         collection.name.format=sale\n\
         insert.mode=upsert\n\
         delete.enabled=true\n\
         primary.key.mode=record_key\n\
         schema.evolution=basic\n\
         key.converter={json}\n\
         key.converter.schemas.enable=true\n\
         value.converter={json}\n\
         value.converter.schemas.enable=true\n\
         header.converter={json}\n\
         header.converter.schemas.enable=true\n\
         consumer.override.isolation.level=read_committed\n\
         consumer.override.auto.offset.reset=earliest\n",
        shop.topic(),
        postgres_port()
    )
}

#[tokio::test]
async fn the_jdbc_sink_keeps_a_copy_of_the_table() {
    let format = "[format]\nvalues = \"debezium\"\nencoding = \"json-schema\"\ntruncate = \"skip\"";
    let shop = Shop::published("jdbc", "default", format).await;
    let sink = support::postgres_database("jdbc_sink").await;
    let copy = connect(&sink).await.unwrap();
    let properties = connector(&shop, sink.database());
    let mut worker = Worker::start("the JDBC sink", "jdbc-sink", &[("sink", properties)]);
    let expected = rows(&shop.database, ROWS).await;
    let exists = "select from pg_tables where tablename = 'sale'";
    until("the copy", async || {
        worker.assert_running();
        let exists = !copy.query(exists, &[]).await.unwrap().is_empty();
        exists && rows(&copy, ROWS).await == expected
    })
    .await;
}

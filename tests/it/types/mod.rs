//! Every type, there and back: random values go into a source, come out of a topic, and are written
//! into a copy of the table as literals made from the events alone. Table and copy are then compared by
//! the server, as text: nothing may be lost, down to the last digit. `verify` has to agree.

mod literal;
mod random;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tidewater::connection::{Database, connect};

use crate::model::random::seed;
use crate::model::read_topic;
use crate::support::{self, Tidewater, kafka_brokers, until};

/// A column's type: its name in SQL, and what its values are made of.
pub(super) struct Column {
    name: &'static str,
    form: Form,
}

/// What values are made of.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Scalar(&'static str),
    Array(Box<Form>, &'static str),
    Composite(&'static [(&'static str, Form)]),
    Range(&'static str, &'static str),
    Multirange(&'static str, &'static str),
    Hstore,
}

const SETUP: &str = "
    create extension hstore;
    create extension citext;
    create extension ltree;
    create type mood as enum ('sad', 'it''s \"fine\"', 'happy');
    create domain price as numeric(12,2) check (value > -1e9);
    create domain fee as price;
    create type inner_pair as (n bigint, words text[]);
    create type outer_pair as (name text, pair inner_pair, span int8range, mood mood, bytes bytea);
    create type text_range as range (subtype = text, collation = \"C\")";

/// Rows that are there before the snapshot, and rows that come after it.
const ROWS: i64 = 120;

#[tokio::test]
async fn every_value_of_every_type_goes_there_and_back() {
    let source = support::postgres_database("types").await;
    let database = connect(&source).await.unwrap();
    database.batch_execute(SETUP).await.unwrap();
    let columns = random::columns();
    let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let definitions: Vec<String> = names
        .iter()
        .zip(&columns)
        .map(|(name, column)| format!("{name} {}", column.name))
        .collect();
    for table in ["there", "back"] {
        let create = format!(
            "create table {table} (id bigint primary key, {})",
            definitions.join(", ")
        );
        database.batch_execute(&create).await.unwrap();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    fill(&database, &columns, &mut rng, 0..ROWS / 2).await;
    let prefix = support::unique("types");
    let config = format!(
        "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
         tables = [\"public.there\"]\n\
         [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 1\n",
        support::database_url(source.database()),
        kafka_brokers()
    );
    let replicator = Tidewater::start(&["replicate"], &config);
    replicator.streaming().await;
    fill(&database, &columns, &mut rng, ROWS / 2..ROWS).await;
    let topic = format!("{prefix}.public.there");
    // With the end of the snapshot.
    let all = usize::try_from(ROWS).unwrap() + 1;
    until("every row", async || {
        read_topic(&kafka_brokers(), &topic).len() == all
    })
    .await;
    let verified = Tidewater::run(&["verify", "--source-only"], &config);
    assert_eq!(verified.code(), Some(0), "{}", verified.output);
    assert_eq!(replicator.terminate().code(), Some(0));

    for record in read_topic(&kafka_brokers(), &topic) {
        // The end of the snapshot is a record too, without a value.
        let Some(row) = record.value.as_deref().and_then(literal::after) else {
            continue;
        };
        let mut values = vec![row["id"].get().to_owned()];
        for (name, column) in names.iter().zip(&columns) {
            let value = literal::of_event(&column.form, row[name].get());
            values.push(format!("({value})::{}", column.name));
        }
        insert(&database, "back", &values).await;
    }
    compare(&database, &names, &columns).await;
}

async fn fill(
    database: &Database,
    columns: &[Column],
    rng: &mut ChaCha8Rng,
    ids: std::ops::Range<i64>,
) {
    for id in ids {
        let mut values = vec![id.to_string()];
        for column in columns {
            let value = random::value(&column.form, rng);
            values.push(format!("({value})::{}", column.name));
        }
        insert(database, "there", &values).await;
    }
}

async fn insert(database: &Database, table: &str, values: &[String]) {
    let sql = format!("insert into {table} values ({})", values.join(", "));
    if let Err(error) = database.batch_execute(&sql).await {
        panic!("{error:?}\n{sql}");
    }
}

/// Every cell of the table against the copy's, as text.
async fn compare(database: &Database, names: &[String], columns: &[Column]) {
    let sides = "there full join back using (id)";
    let missing = format!("select count(*) from {sides} where there is null or back is null");
    let missing: i64 = database.query_one(&missing, &[]).await.unwrap().get(0);
    assert_eq!(missing, 0, "rows on one side only");
    for (name, column) in names.iter().zip(columns) {
        let sql = format!(
            "select id, there.{name}::text, back.{name}::text from {sides}
              where there.{name}::text is distinct from back.{name}::text limit 1"
        );
        if let Some(row) = database.query_opt(&sql, &[]).await.unwrap() {
            let (id, there, back): (i64, Option<String>, Option<String>) =
                (row.get(0), row.get(1), row.get(2));
            panic!("row {id}, {}: {there:?} came back as {back:?}", column.name);
        }
    }
}

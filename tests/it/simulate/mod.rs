//! The simulated shop on a real server.

mod codes;
mod shoppers;

use std::time::Duration;

use nix::sys::signal::Signal;
use tidewater::connection::{Connection, Database, connect};

use crate::support::{Tidewater, kafka_brokers, postgres_url, unique, until};

/// A database for a shop, and the configuration that leads there.
async fn shop(name: &str) -> (Database, String) {
    let server: Connection = postgres_url().parse().unwrap();
    let name = unique(name);
    let admin = connect(&server).await.unwrap();
    let create = format!("create database {name}");
    admin.batch_execute(&create).await.unwrap();
    let database = connect(&server.with_database(&name)).await.unwrap();
    (database, config(&name))
}

fn config(database: &str) -> String {
    let server = postgres_url();
    let server = server.strip_suffix("/postgres").unwrap();
    format!(
        r#"
[source]
url = "{server}/{database}"
slot = "{database}"
publication = "{database}"
[kafka]
brokers = "{}"
prefix = "{database}"
partitions = 3
[sink]
url = "{server}/{database}_sink"
[retail]
group = "{database}"
"#,
        kafka_brokers()
    )
}

const SMALL: [&str; 8] = [
    "--stores",
    "3",
    "--products",
    "20",
    "--customers",
    "300",
    "--weeks",
    "5",
];

/// Runs `tidewater simulate` to its end and gives its JSON.
fn simulate(arguments: &[&str], config: &str) -> serde_json::Value {
    let arguments = [&["simulate", "--json"], arguments].concat();
    let ended = Tidewater::run(&arguments, config);
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    serde_json::from_str(&ended.output).unwrap()
}

/// Everything in the tables but the times, as one hash.
async fn content(database: &Database) -> String {
    let hash = "
        select md5(concat_ws(',',
            (select md5(string_agg(s::text, ',' order by store_id)) from stores s),
            (select md5(string_agg(p::text, ',' order by product_id)) from products p),
            (select md5(string_agg(c::text, ',' order by customer_id)) from customers c),
            (select md5(string_agg(concat_ws(',', store_id, product_id, on_hand, target_stock), ';'
                        order by store_id, product_id)) from inventory),
            (select md5(string_agg(concat_ws(',', order_id, customer_id, store_id, product_id,
                        quantity, unit_price, status), ';' order by order_id)) from orders)))";
    database.query_one(hash, &[]).await.unwrap().get(0)
}

async fn number(database: &Database, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_set_up_is_done_once() {
    let (database, config) = shop("setup").await;
    let arguments = [&["--setup-only"][..], &SMALL].concat();
    let first = simulate(&arguments, &config);
    assert_eq!(first["filled"], true);
    assert_eq!(
        (&first["stores"], &first["customers"]),
        (&3.into(), &300.into())
    );
    assert!(first["orders"].as_i64().unwrap() > 100, "{first}");
    let before = content(&database).await;
    // Another size and seed: the shop that is there stays.
    let second = simulate(&["--setup-only", "--seed", "9"], &config);
    assert_eq!(second["filled"], false);
    assert_eq!(second["orders"], first["orders"]);
    assert_eq!(content(&database).await, before);
    let keys = "select count(*) from pg_constraint
                where contype = 'f' and conrelid::regclass::text in ('orders', 'inventory')";
    assert_eq!(number(&database, keys).await, 5);
}

#[tokio::test]
async fn tables_that_exist_are_filled() {
    let (database, config) = shop("setup_empty").await;
    let arguments = [&["--setup-only"][..], &SMALL].concat();
    simulate(&arguments, &config);
    let first = content(&database).await;
    let empty = "truncate stores, products, customers, inventory, orders;
                 alter table orders drop constraint orders_store";
    database.batch_execute(empty).await.unwrap();
    let again = simulate(&arguments, &config);
    assert_eq!(again["filled"], true);
    assert_eq!(content(&database).await, first);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_shop() {
    let arguments = [
        &["--seconds", "3", "--rate", "400", "--seed", "7"][..],
        &SMALL,
    ]
    .concat();
    let (first, first_config) = shop("seed").await;
    let (second, second_config) = shop("seed").await;
    let mut summaries = Vec::new();
    for config in [&first_config, &second_config] {
        let mut summary = simulate(&arguments, config);
        let fields = summary.as_object_mut().unwrap();
        fields.retain(|name, _| !name.contains("late") && !name.contains("second"));
        fields.retain(|name, _| name != "transactions" && name != "achieved_rate");
        summaries.push(summary);
    }
    assert_eq!(summaries[0], summaries[1]);
    assert_eq!(content(&first).await, content(&second).await);
    let (third, third_config) = shop("seed").await;
    let other = [
        &["--seconds", "3", "--rate", "400", "--seed", "8"][..],
        &SMALL,
    ]
    .concat();
    simulate(&other, &third_config);
    assert_ne!(content(&third).await, content(&first).await);
}

#[tokio::test]
async fn a_shop_with_a_rhythm_has_a_past_and_lives() {
    let (database, config) = shop("rhythm").await;
    let arguments = ["--rhythm", "--rate", "1000", "--seconds", "2"];
    let summary = simulate(&[&arguments[..], &SMALL].concat(), &config);
    assert!(summary["placed"].as_i64().unwrap() > 20, "{summary}");
    let past = "select count(*) from orders where placed_at < now() - interval '1 day'";
    assert!(number(&database, past).await > 100);
    let to_come = "select count(*) from orders where placed_at > now()";
    assert_eq!(number(&database, to_come).await, 0);
}

#[tokio::test]
async fn a_modest_rate_is_held() {
    let (database, config) = shop("rate").await;
    set_up(&database, &config).await;
    let summary = sums_agree(&database, &["--seconds", "5", "--rate", "600"], &config).await;
    let changes = summary["changes"].as_i64().unwrap();
    // Each of three plans ends with the operation that is due last.
    assert!((2_990..=3_010).contains(&changes), "{summary}");
    let achieved = summary["achieved_rate"].as_f64().unwrap();
    assert!((480.0..=610.0).contains(&achieved), "{summary}");
}

/// Batches are as large as they get, and change the same rows again and again.
#[tokio::test]
async fn a_rate_out_of_reach_loses_no_change() {
    let (database, config) = shop("flood").await;
    set_up(&database, &config).await;
    let arguments = ["--seconds", "2", "--rate", "1000000"];
    let summary = sums_agree(&database, &arguments, &config).await;
    let of = |name: &str| summary[name].as_i64().unwrap();
    assert!(of("changes") > 20 * of("transactions"), "{summary}");
}

/// Fills a small shop, and waits until the server has counted its rows.
async fn set_up(database: &Database, config: &str) {
    simulate(&[&["--setup-only"][..], &SMALL].concat(), config);
    let rows = "select (select count(*) from stores) + (select count(*) from products)
                     + (select count(*) from customers) + (select count(*) from inventory)
                     + (select count(*) from orders)";
    let loaded = number(database, rows).await;
    until("the server's own count of the set-up", async || {
        changes(database).await == loaded
    })
    .await;
}

/// Lives for a while, and compares what the tables say with what the summary says.
async fn sums_agree(database: &Database, arguments: &[&str], config: &str) -> serde_json::Value {
    let levels = "select sum(on_hand)::bigint from inventory";
    let orders = "select count(*) from orders";
    let before = (
        number(database, levels).await,
        number(database, orders).await,
        changes(database).await,
    );
    let summary = simulate(arguments, config);
    println!("{summary}");
    let of = |name: &str| summary[name].as_i64().unwrap();
    let found = number(database, levels).await;
    assert_eq!(found, before.0 + of("units"), "{summary}");
    let found = number(database, orders).await;
    assert_eq!(found, before.1 + of("placed") - of("erased"), "{summary}");
    until("the server's own count of changes", async || {
        changes(database).await == before.2 + of("changes")
    })
    .await;
    summary
}

/// Rows that were ever inserted, updated or deleted, as the server counts them.
async fn changes(database: &Database) -> i64 {
    // Statistics are read once in a transaction; each statement is one.
    let sql = "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables";
    number(database, sql).await
}

#[tokio::test]
async fn a_signal_ends_it_with_a_summary() {
    let (database, config) = shop("signal").await;
    let arguments = [&["simulate", "--json", "--rate", "300"][..], &SMALL].concat();
    let simulator = Tidewater::start(&arguments, &config);
    until("orders", async || lives(&database).await).await;
    // Meanwhile a second one is refused.
    let second = Tidewater::run(&["simulate", "--seconds", "1"], &config);
    assert_eq!(second.code(), Some(1), "{}", second.log);
    assert!(second.log.contains("another simulator"), "{}", second.log);
    simulator.signal(Signal::SIGTERM);
    let ended = simulator.wait(Duration::from_secs(30));
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    let summary: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert!(summary["changes"].as_i64().unwrap() > 0);
}

/// Whether the simulator has written anything.
async fn lives(database: &Database) -> bool {
    let written = "select exists (select from pg_stat_user_tables
                                  where relname = 'orders' and n_tup_upd > 0)";
    let row = database.query_one(written, &[]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn it_goes_on_when_its_connections_are_cut() {
    let (database, config) = shop("cut").await;
    let arguments = [&["simulate", "--json", "--rate", "300"][..], &SMALL].concat();
    let simulator = Tidewater::start(&arguments, &config);
    until("orders", async || lives(&database).await).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where application_name = 'tidewater simulate' and datname = current_database()
                 and query like '%unnest%'";
    until("a cut", async || number(&database, cut).await > 0).await;
    let before = number(
        &database,
        "select max(order_id) from orders where order_id < 1000000000",
    )
    .await;
    until("new orders after it", async || {
        let highest = "select max(order_id) from orders where order_id < 1000000000";
        number(&database, highest).await > before + 50
    })
    .await;
    let ended = simulator.terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("trying again"), "{}", ended.log);
}

/// The whole system: the shop lives, every role runs, codes are issued, and nothing differs, neither
/// meanwhile nor afterwards.
#[tokio::test]
async fn codes_flow_and_verify_finds_no_difference() {
    let (_database, config) = shop("whole").await;
    let size = ["--stores", "3", "--products", "60", "--customers", "2000"];
    simulate(&[&["--setup-only"][..], &size].concat(), &config);
    let roles = Tidewater::start(&["run"], &config);
    let simulator = Tidewater::start(&["simulate", "--rate", "100", "--json"], &config);
    let codes = "select count(*) from promotion";
    let sink = sink_of(&config).await;
    until("a code", async || number(&sink, codes).await > 0).await;
    verify(&config);

    let ended = simulator.terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    let now = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
    let stopped = number(&sink, now).await;
    let applied = "select coalesce(extract(epoch from applied_until()) * 1000000, 0)::bigint";
    until("the last change", async || {
        number(&sink, applied).await > stopped
    })
    .await;
    let unpublished = "select count(*) from promotion_outbox";
    until("the last code", async || {
        number(&sink, unpublished).await == 0
    })
    .await;
    verify(&config);
    let eligible = number(&sink, "select count(*) from promotion_eligibility").await;
    let issued = number(&sink, codes).await;
    println!("{eligible} tuples, {issued} codes; {}", ended.output.trim());
    assert!(eligible > 0 && issued > 0);
    let ended = roles.terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
}

/// Connects to the sink as soon as the roles have created it.
async fn sink_of(config: &str) -> Database {
    let url = config.split('"').find(|text| text.ends_with("_sink"));
    let sink: Connection = url.unwrap().parse().unwrap();
    let mut connected = None;
    until("the sink", async || {
        if let Ok(database) = connect(&sink).await
            && database.execute("select from promotion", &[]).await.is_ok()
        {
            connected = Some(database);
        }
        connected.is_some()
    })
    .await;
    connected.unwrap()
}

/// Compares everything, and wants every row to take part.
fn verify(config: &str) {
    let ended = Tidewater::run(&["verify", "--json"], config);
    assert_eq!(ended.code(), Some(0), "{}\n{}", ended.output, ended.log);
    let report: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(report["differences_found"], 0, "{report}");
    assert!(report["tables"].as_array().unwrap().len() > 10, "{report}");
}

//! `tidewater batch` as people meet it: what it prints, and what it refuses.

use serde_json::Value;

use super::{BATCH_ARM, batch, migrated, texts};
use crate::commands::{Shop, refused, with_user};
use crate::support::{Tidewater, unique};

#[tokio::test]
async fn the_summary_says_what_was_done() {
    let shop = migrated("batch").await;
    let config = format!("{}{BATCH_ARM}", shop.config());
    let today = texts(
        &shop.sink().await,
        "select (now() at time zone 'UTC')::date::text",
    )
    .await;
    let doctor = || Tidewater::run(&["doctor"], &config).output;
    assert!(doctor().contains("tidewater batch was never done, and 45 percent"));
    let ended = batch(
        &config,
        &["--date", "today", "--at", "2100-01-01T00:00:59Z"],
    );
    let lines: Vec<&str> = ended.output.lines().collect();
    let expected = [
        format!("{} (UTC): 1 products in stores, 0 units sold, revenue 0.000000", today[0]),
        "at 2100-01-01T00:00Z: 0 tuples eligible under 1 rules; no code issued: --at asks for another moment"
            .to_owned(),
    ];
    assert_eq!(lines[..2], expected);
    assert!(lines[2].starts_with("2 orders read, "), "{}", lines[2]);

    assert!(doctor().contains("the batch was done within two days"));
    let json: Value =
        serde_json::from_str(&batch(&config, &["--date", "today", "--json"]).output).unwrap();
    assert_eq!(json["day"], today[0].as_str());
    assert_eq!(json["tuples"], 1);
    assert_eq!(json["codes"]["outcome"], "issued");
    assert_eq!(json["codes"]["codes"], 1);
    assert_eq!(json["revenue"], "0.000000");
    let output = batch(&config, &["--date", "today"]).output;
    assert!(
        output.contains("no code issued: the day's 1 codes were issued by 2"),
        "{output}"
    );
    let output = batch(&shop.config(), &["--date", "yesterday"]).output;
    assert!(
        output.contains("no customer is in the batch's arm; retail.arms.batch gives it some"),
        "{output}"
    );
}

/// The source's URL is the beginning of the sink's.
fn quoted(url: &str) -> String {
    format!("\"{url}\"")
}

#[tokio::test]
async fn bad_input_is_refused_with_a_remedy() {
    let shop = migrated("refusals").await;
    let config = shop.config();
    let today = &["batch", "--date", "today"];
    for (day, part) in [
        (
            "tomorrow",
            "a day is today, yesterday, or a date like 2026-11-27",
        ),
        ("2026-02-30", "a day is today"),
        ("20261127", "a day is today"),
    ] {
        refused(&["batch", "--date", day], &config, 2, &[part]);
    }
    refused(&["batch"], &config, 2, &["--date <DAY>"]);
    let wrong = [&today[..], &["--at", "yesterday"]].concat();
    refused(&wrong, &config, 2, &["2026-11-28T08:30:00Z"]);
    let future = ["batch", "--date", "2999-01-01"];
    refused(
        &future,
        &config,
        2,
        &["2999-01-01 has not begun in UTC", "name today"],
    );
    let zone = format!("{config}[retail]\nday_zone = \"Mars\"\n");
    refused(today, &zone, 2, &["retail.day_zone", "\"Mars\""]);
    let sink_only = format!("[sink]\nurl = \"{}\"\n", shop.sink);
    refused(today, &sink_only, 2, &["[source]"]);
    refused(today, &shop.source_config(), 2, &["[sink]"]);
    let no_table = format!("{config}[retail.orders]\ntable = \"public.sales\"\n");
    refused(
        today,
        &no_table,
        18,
        &["no table public.sales", "retail.orders.table"],
    );

    let nowhere = shop.source.replace(&shop.slot, "no_such_database");
    let unreachable = config.replace(&quoted(&shop.source), &quoted(&nowhere));
    refused(
        today,
        &unreachable,
        11,
        &["cannot connect to the source", "no_such_database"],
    );
    let sink = shop.sink().await;
    sink.batch_execute("select pg_advisory_lock(x'7469646562617463'::bigint)")
        .await
        .unwrap();
    refused(today, &config, 1, &["another batch is at work"]);
    sink.batch_execute("select pg_advisory_unlock_all()")
        .await
        .unwrap();

    let source = shop.source().await;
    let user = unique("reader");
    let login = format!(
        "create role {user} login password 'reader'; grant select on inventory, customers to {user}"
    );
    source.batch_execute(&login).await.unwrap();
    let reader = with_user(&shop.source, &format!("{user}:reader"));
    let poor = config.replace(&quoted(&shop.source), &quoted(&reader));
    refused(today, &poor, 12, &["permission denied"]);
    source
        .batch_execute(
            "alter table orders alter quantity type bigint; update orders set quantity = 3000000000",
        )
        .await
        .unwrap();
    refused(
        today,
        &config,
        18,
        &["store 1, product 7", "quantity that is no 32-bit integer"],
    );
    source
        .batch_execute("alter table customers drop column tier")
        .await
        .unwrap();
    refused(today, &config, 18, &["public.customers has no column tier"]);
}

#[tokio::test]
async fn a_sink_without_its_schema_is_told_to_be_migrated() {
    let shop = Shop::open("unmigrated").await;
    shop.source()
        .await
        .batch_execute("create schema unused")
        .await
        .unwrap();
    let config = shop.config();
    refused(&["batch", "--date", "today"], &config, 31, &["sink"]);
}

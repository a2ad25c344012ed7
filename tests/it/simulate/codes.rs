//! Simulated shoppers use their codes, most of them rightly.

use std::time::Duration;

use serde_json::Value;
use tempfile::NamedTempFile;
use tidewater::connection::Database;
use tidewater::exit::ExitCode;

use super::{number, shop, simulate, sink_of, verify};
use crate::support::http::after;
use crate::support::{Tidewater, until, until_within};

/// Rules under which a run of seconds sees everything: what codes are for lasts for a week already, they are over
/// soon, and there is one for whoever shows interest.
const RULES: &str = "
    update promotion_rule set days_of_cover_min = 10, valid_for = '20 seconds';
    insert into promotion_rule (name, trigger, days_of_cover_min, discount_percent)
    values ('in the store', 'intent', 5, 45)";

/// The orders that carry a code, each redeeming it or refused.
const ANSWERS: &str = "
    select (select count(*) from promotion where state = 'redeemed')
         + (select count(*) from promotion_refusal)";

const REASONS: &str = "select count(distinct reason) from promotion_refusal";
const REDEEMED: &str = "
    select count(*) from promotion join promotion_rule using (rule_id)
    where state = 'redeemed' and trigger = ";

fn key(config: &str) -> NamedTempFile {
    let create = ["keys", "create", "--json", "--name", "shoppers"];
    let arguments = [&create[..], &["--scope", "events:write"]].concat();
    let made = Tidewater::run(&arguments, config).expect(ExitCode::Success);
    let made: Value = serde_json::from_str(&made.output).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, made["key"].as_str().unwrap()).unwrap();
    file
}

/// Waits until the sink has everything that the source had committed by now.
async fn settled(sink: &Database) {
    let now = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
    let stopped = number(sink, now).await;
    let applied = "select coalesce(extract(epoch from applied_until()) * 1000000, 0)::bigint";
    until("the last change", async || {
        number(sink, applied).await > stopped
    })
    .await;
    let unpublished = "select count(*) from promotion_outbox";
    until("the last code", async || {
        number(sink, unpublished).await == 0
    })
    .await;
}

#[tokio::test]
async fn codes_are_redeemed_and_wrong_ones_refused() {
    let (database, config) = shop("answers").await;
    let config = format!("{config}[gateway]\nlisten = \"127.0.0.1:0\"\n");
    let size = ["--stores", "3", "--products", "60", "--customers", "2000"];
    simulate(&[&["--setup-only"][..], &size].concat(), &config);
    Tidewater::run(&["migrate"], &config).expect(ExitCode::Success);
    let sink = sink_of(&config).await;
    sink.batch_execute(RULES).await.unwrap();
    let key = key(&config);
    let roles = Tidewater::start(&["run"], &config);
    until("the gateway to serve", async || {
        roles.log().contains("serving applications")
    })
    .await;
    let url = format!(
        "http://{}",
        after(&roles.log(), "serving applications address=")
    );

    let arguments = [
        &[
            "simulate",
            "--json",
            "--rate",
            "200",
            "--response-half-life",
            "3s",
        ][..],
        &["--shoppers", "100", "--gateway", &url],
        &["--gateway-key-file", key.path().to_str().unwrap()],
    ];
    let simulator = Tidewater::start(&arguments.concat(), &config);
    until_within(
        Duration::from_mins(4),
        "codes to be used in every way",
        async || {
            number(&sink, &format!("{REDEEMED} 'stock'")).await > 0
                && number(&sink, &format!("{REDEEMED} 'intent'")).await > 5
                && number(&sink, REASONS).await >= 4
        },
    )
    .await;
    let ended = simulator.terminate().expect(ExitCode::Success);
    let summary: Value = serde_json::from_str(&ended.output).unwrap();
    println!("{summary}");
    settled(&sink).await;
    verify(&config);

    let reasons = "select string_agg(format('%s %s', reason, count), ', ') from (
                   select reason, count(*) from promotion_refusal group by 1 order by 1) reasons";
    let reasons: String = sink.query_one(reasons, &[]).await.unwrap().get(0);
    println!("{reasons}");
    // Every order with a code came of a code, and counts in one way or the other; some were erased since.
    let carried = "select count(*) from orders where promotion_code is not null";
    let carried = number(&database, carried).await;
    assert_eq!(number(&sink, ANSWERS).await, carried);
    let with_code = summary["with_code"].as_i64().unwrap();
    assert!(
        with_code >= carried && carried > 0,
        "{with_code}, {carried}"
    );
    // An answer is given once, though a code may be published twice: used again only by who means to.
    let again = "select count(*) from (select promotion_code from orders
                 where promotion_code is not null group by 1 having count(*) > 2) more";
    assert_eq!(number(&database, again).await, 0);
    assert_eq!(roles.terminate().code(), Some(0));
}

#[tokio::test]
async fn nobody_uses_codes_where_that_is_off() {
    let (database, config) = shop("off").await;
    let size = ["--stores", "2", "--products", "60", "--customers", "1000"];
    simulate(&[&["--setup-only"][..], &size].concat(), &config);
    Tidewater::run(&["migrate"], &config).expect(ExitCode::Success);
    let sink = sink_of(&config).await;
    let rule = "update promotion_rule set days_of_cover_min = 5";
    sink.batch_execute(rule).await.unwrap();
    let roles = Tidewater::start(&["run"], &config);
    let codes = "select count(*) from promotion where state = 'dispatched'";
    until("codes", async || number(&sink, codes).await > 10).await;
    let live = ["--rate", "100", "--seconds", "4"];
    let summary = simulate(
        &[&live[..], &["--response-half-life", "off"]].concat(),
        &config,
    );
    assert_eq!(summary["with_code"], 0, "{summary}");
    // A later simulation goes on with what is still due: the codes are the same.
    let later = ["simulate", "--rate", "100", "--response-half-life", "1m"];
    let simulator = Tidewater::start(&later, &config);
    let carried = "select count(*) from orders where promotion_code is not null";
    until("a code to be used", async || {
        number(&database, carried).await > 0
    })
    .await;
    simulator.terminate().expect(ExitCode::Success);
    let wrong = Tidewater::run(&["simulate", "--response-half-life", "0s"], &config);
    let ended = wrong.expect(ExitCode::Configuration);
    assert!(ended.log.contains("a time above 0"), "{}", ended.log);
    assert_eq!(roles.terminate().code(), Some(0));
}

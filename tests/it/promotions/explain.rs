//! `tidewater rules explain`, as people read it.

use super::shop::{NOW, Shop, derive};
use crate::support::{Tidewater, database_url};

async fn shop() -> (Shop, String) {
    let mut shop = Shop::with_one_eligible_tuple("explain").await;
    let transaction = shop.database.transaction().await.unwrap();
    derive(&transaction).await;
    transaction.commit().await.unwrap();
    let config = format!(
        "[sink]\nurl = \"{}\"\n",
        database_url(shop.connection.database())
    );
    (shop, config)
}

fn explained(config: &str, more: &[&str]) -> String {
    let mut arguments = vec![
        "rules",
        "explain",
        "--customer",
        "7",
        "--product",
        "2",
        "--at",
        NOW,
    ];
    arguments.extend(more);
    let ended = Tidewater::run(&arguments, config);
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    ended.output
}

#[tokio::test]
async fn every_condition_is_told_with_its_figures() {
    let (shop, config) = shop().await;
    let expected = "\
at 2026-11-23T08:30:20.000000Z, issuing

rule 1 (premium overstock), customer 7, store 1, product 2: eligible, and a code may be issued
  yes rule            enabled, from -infinity to infinity
  yes tier            customer 7 is premium; wanted: premium
  yes habit           2 uncancelled orders in 28 days; wanted: 2
  yes stock           100 on hand; wanted: 5
  yes cover           1 units sold in 168 hours; on hand \u{d7} hours = 16800, 24 \u{d7} 14 days \u{d7} sold = 336; \
wanted: at least as much
  yes arm             customer 7 is in the stream arm, by bucket 59 of 0 to 99
  yes trigger         stock: no event is asked for
  yes consent         whether the customer may be contacted
  yes live code       none
  yes cooldown        no code yet; wanted: more than 72:00:00 ago
  yes rest            last order 2026-11-21T08:30:00.000000Z; wanted: at least 24:00:00 ago
  yes codes           0 since the last order; wanted: fewer than 2
  yes state           issuing
  yes daily limit     0 codes of the rule today; wanted: fewer than 1000
  yes customer limit  0 codes of the customer in 24 hours; wanted: fewer than 2
  yes excess          0 live codes of the product in the store; wanted: fewer than 98, its excess units
";
    assert_eq!(explained(&config, &[]), expected);

    let change = "update promotion_rule set trigger = 'intent';
                  update customer_image set tier = 'standard'";
    shop.database.batch_execute(change).await.unwrap();
    let output = explained(&config, &["--store", "1", "--rule", "1"]);
    for line in [
        "product 2: not eligible: tier",
        "  no  tier            customer 7 is standard; wanted: premium",
        "  no  trigger         intent: no event about the product or the store within 00:15:00",
    ] {
        assert!(output.contains(line), "{output}");
    }
    let json: serde_json::Value = serde_json::from_str(&explained(&config, &["--json"])).unwrap();
    assert_eq!(json["tuples"][0]["eligible"], false);
    assert_eq!(json["tuples"][0]["conditions"][1]["name"], "tier");
}

#[tokio::test]
async fn who_is_in_another_arm_is_told_so() {
    let (_shop, config) = shop().await;
    for (arms, told) in [
        (
            "stream = 59\nbatch = 1\nholdout = 40",
            "batch arm, by bucket 59 of 0 to 99: tidewater batch issues its codes",
        ),
        (
            "stream = 30\nbatch = 29\nholdout = 41",
            "holdout arm, by bucket 59 of 0 to 99: it gets no code",
        ),
    ] {
        let config = format!("{config}[retail.arms]\n{arms}\n");
        let output = explained(&config, &[]);
        assert!(output.contains("eligible, but no code: arm"), "{output}");
        let line = format!("  no  arm             customer 7 is in the {told}");
        assert!(output.contains(&line), "{output}");
    }
}

#[tokio::test]
async fn what_cannot_be_explained_says_what_to_name() {
    let (_shop, config) = shop().await;
    let output = explained(&config, &["--rule", "9"]);
    assert!(
        output.starts_with("nothing to explain: there is no rule 9"),
        "{output}"
    );
    let arguments = ["rules", "explain", "--customer", "8", "--product", "2"];
    let output = Tidewater::run(&arguments, &config).output;
    assert!(output.contains("name a store with --store"), "{output}");
    let refused = Tidewater::run(&[&arguments[..], &["--at", "yesterday"]].concat(), &config);
    assert_eq!(refused.code(), Some(2), "{}", refused.log);
    assert!(
        refused.log.contains("2026-11-28T08:30:00Z"),
        "{}",
        refused.log
    );
}

//! What may be read, on a sink with a few rows written straight into its tables.

use serde_json::{Value, json};
use tidewater::retail::code::Codes;
use uuid::Uuid;

use super::{Answer, Client, JSON, Scene};

/// Two stores; `CODE` stands for codes of their states.
const ROWS: &str = "
    insert into consumer_offset values
        ('orders', 0, 0, gen_random_uuid(), null, '2026-11-28 03:00:00Z', true);
    insert into inventory_image values
        (1, 1, 10, '1:0/1:1', '2026-11-27 00:00Z', '2026-11-27 00:00Z', 0),
        (1, 2, 0, '1:0/1:2', '2026-11-27 00:00Z', '2026-11-27 00:00Z', 0),
        (1, 3, null, '1:0/1:3', '2026-11-27 00:00Z', null, 0),
        (2, 1, 7, '1:0/1:4', '2026-11-27 00:00Z', '2026-11-27 00:00Z', 0);
    insert into inventory_hourly values
        (1, 1, '2026-11-27 00:00Z', null, 10, 10, 10, 0, 0, 10, 1, 0, 0, 0, 0,
         '2026-11-27 00:00Z', '1:0/1:1');
    insert into sales_hourly values
        (1, 1, '2026-11-27 00:00Z', 1, 2, 12345678901234567890.5, 0, 0, 0),
        (1, 1, '2026-11-27 01:00Z', 1, 3, 30, 1, 1, 10),
        (1, 2, '2026-11-27 00:00Z', 1, 4, 40, 0, 0, 0),
        (2, 1, '2026-11-27 00:00Z', 1, 5, 50, 0, 0, 0);
    insert into promotion_eligibility values
        (1, 7, 1, 1, 'stock', '1:0/1:1', '2026-11-27 00:00Z'),
        (1, 7, 1, 2, 'time', null, '2026-11-27 00:00Z'),
        (1, 8, 1, 1, 'order', '1:0/1:1', '2026-11-27 00:00Z');";

async fn code(scene: &Scene, state: &str, cycle: i32, valid: &str) -> String {
    let id = Uuid::from_u128(u128::from(cycle.unsigned_abs()));
    let code = Codes::new("secret").code(&id, 0);
    let sql = format!(
        "insert into promotion
             (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code, state,
              discount_percent, issued_at, valid_until)
         values ('{id}', 1, 7, 1, 2, {cycle}, '{code}', '{state}', 15,
                 now() - interval '2 days' + {cycle} * interval '1 second', now() + interval '{valid}')"
    );
    scene.sink().await.batch_execute(&sql).await.unwrap();
    code
}

async fn open(name: &str) -> (Scene, Client) {
    let scene = Scene::start(name, "").await;
    scene.sink().await.batch_execute(ROWS).await.unwrap();
    let reader = scene.client(&["read"]).await;
    (scene, reader)
}

#[tokio::test]
async fn aggregates_are_read_page_by_page() {
    let (_scene, reader) = open("pages").await;
    let levels = reader.get("/v1/levels").await.expect(200).json();
    assert_eq!(levels["applied_until"], "2026-11-28T03:00:00+00:00");
    let level = json!({"store_id": 1, "product_id": 1, "on_hand": 10, "effective_at": "2026-11-27T00:00:00+00:00"});
    assert_eq!(levels["levels"][0], level);
    assert_eq!(
        (levels["levels"].as_array().unwrap().len(), &levels["next"]),
        (3, &Value::Null)
    );
    let one = reader
        .get("/v1/levels?store_id=1&product_id=2")
        .await
        .expect(200)
        .json();
    assert_eq!(one["levels"].as_array().unwrap().len(), 1);
    let absent = reader
        .get("/v1/levels?store_id=1&product_id=3")
        .await
        .expect(200)
        .json();
    assert_eq!(absent["levels"], json!([]));

    for (path, rows, count) in [
        ("/v1/levels?limit=1", "levels", 3),
        (
            "/v1/sales-hourly?store_id=1&from=2026-11-27T00:00:00Z&limit=1",
            "hours",
            3,
        ),
        (
            "/v1/inventory-hourly?store_id=1&from=2026-11-27T00:00:00Z&limit=1",
            "hours",
            24,
        ),
        ("/v1/eligibility?limit=1", "tuples", 3),
        ("/v1/eligibility?customer_id=7&limit=2", "tuples", 2),
    ] {
        let (whole, _) = path.rsplit_once("limit=").unwrap();
        let whole = reader
            .get(&format!("{whole}limit=1000"))
            .await
            .expect(200)
            .json();
        assert_eq!(whole[rows].as_array().unwrap().len(), count, "{whole}");
        assert_eq!(whole["next"], Value::Null);
        let mut found = Vec::new();
        let mut page = reader.get(path).await.expect(200).json();
        loop {
            found.extend(page[rows].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else {
                break;
            };
            page = reader
                .get(&format!("{path}&after={next}"))
                .await
                .expect(200)
                .json();
        }
        assert_eq!(Value::from(found), whole[rows], "{path}");
    }
    let path = "/v1/sales-hourly?store_id=1&product_id=1&from=2026-11-27T00:00:00%2B00:00&until=2026-11-27T01:00:00Z";
    let sales = reader.get(path).await.expect(200).json();
    assert_eq!(sales["hours"].as_array().unwrap().len(), 1);
    assert_eq!(sales["hours"][0]["revenue"], "12345678901234567890.500000");
    let path = "/v1/inventory-hourly?store_id=1&product_id=1&from=2026-11-27T00:00:00Z&until=2026-11-27T02:00:00Z";
    let hours = reader.get(path).await.expect(200).json();
    assert_eq!(hours["hours"][1]["opening"], 10);
    assert_eq!(hours["hours"][1]["average_on_hand"], "10.000000");

    for (path, field) in [
        ("/v1/levels?shop=1", "shop"),
        ("/v1/levels?store_id=x", "store_id"),
        ("/v1/levels?limit=1001", "limit"),
        ("/v1/levels?after=1", "after"),
        ("/v1/sales-hourly", "store_id"),
        ("/v1/sales-hourly?store_id=1&from=today", "from"),
        (
            "/v1/inventory-hourly?store_id=1&from=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z",
            "until",
        ),
        ("/v1/customers/x/codes", "customer_id"),
        ("/v1/codes/0?x=1", "x"),
    ] {
        reader.get(path).await.expect(422).names(field);
    }
}

#[tokio::test]
async fn codes_are_listed_told_of_and_checked() {
    let (scene, reader) = open("codes").await;
    let dispatched = code(&scene, "dispatched", 1, "1 day").await;
    let expired = code(&scene, "dispatched", 2, "-1 minute").await;
    let redeemed = code(&scene, "redeemed", 3, "1 day").await;
    let issued = code(&scene, "issued", 4, "1 day").await;
    let withdrawn = code(&scene, "withdrawn", 5, "1 day").await;

    let batch = format!("update promotion set source = 'batch' where code = '{expired}'");
    scene.sink().await.batch_execute(&batch).await.unwrap();

    // What is not out yet may be withdrawn, and is not listed; the newest comes first.
    let codes = reader.get("/v1/customers/7/codes").await.expect(200).json();
    let listed: Vec<&str> = codes["codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["code"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [&redeemed, &expired, &dispatched]);
    let told: Vec<_> = codes["codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["valid"].as_bool().unwrap(), c["source"].as_str().unwrap()))
        .collect();
    let expected = [(false, "stream"), (false, "batch"), (true, "stream")];
    assert_eq!(told, expected);
    let page = reader
        .get("/v1/customers/7/codes?limit=2")
        .await
        .expect(200)
        .json();
    let next = page["next"].as_str().unwrap();
    let last = reader
        .get(&format!("/v1/customers/7/codes?limit=2&after={next}"))
        .await
        .expect(200)
        .json();
    assert_eq!(last["codes"].as_array().unwrap().len(), 1);
    assert_eq!(last["codes"][0]["code"], dispatched.as_str());
    let other = reader.get("/v1/customers/8/codes").await.expect(200).json();
    assert_eq!(other["codes"], json!([]));

    for (code, source, state, valid) in [
        (&dispatched, "stream", "dispatched", true),
        (&expired, "batch", "dispatched", false),
        (&redeemed, "stream", "redeemed", false),
        (&issued, "stream", "issued", true),
        (&withdrawn, "stream", "withdrawn", false),
    ] {
        let typed = format!("{}-{}", &code[..5], code[5..].to_lowercase());
        let found = reader
            .get(&format!("/v1/codes/{}", escaped(&typed)))
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&found["source"], &found["state"], &found["valid"]),
            (&source.into(), &state.into(), &valid.into()),
            "{found}"
        );
        assert_eq!(found["code"], code.as_str());
    }
    let free = Codes::new("other").code(&Uuid::nil(), 0);
    reader
        .get(&format!("/v1/codes/{}", escaped(&free)))
        .await
        .expect(404);
    let wrong = if dispatched.starts_with('0') {
        "1"
    } else {
        "0"
    };
    let wrong = format!("{wrong}{}", &dispatched[1..]);
    reader
        .get(&format!("/v1/codes/{}", escaped(&wrong)))
        .await
        .expect(404);

    for (code, [customer, store, product], reason) in [
        (&dispatched, [7, 1, 2], None),
        (&issued, [7, 1, 2], None),
        (&dispatched, [8, 2, 3], Some("other_customer")),
        (&dispatched, [7, 2, 3], Some("other_store")),
        (&dispatched, [7, 1, 3], Some("other_product")),
        (&expired, [7, 1, 2], Some("expired")),
        (&expired, [7, 1, 3], Some("other_product")),
        (&redeemed, [7, 1, 2], Some("used")),
        (&withdrawn, [7, 1, 2], Some("unknown")),
        (&free, [7, 1, 2], Some("unknown")),
        (&wrong, [7, 1, 2], Some("unknown")),
    ] {
        let order = json!({"customer_id": customer, "store_id": store, "product_id": product});
        let answer = check(&reader, code, &order).await.expect(200).json();
        assert_eq!(answer["redeemable"], reason.is_none(), "{answer}");
        assert_eq!(answer["reason"], Value::from(reason), "{answer}");
    }
    check(&reader, &dispatched, &json!({"customer_id": 7}))
        .await
        .expect(422);
    check(&reader, &dispatched, &json!([])).await.expect(422);
    let extra = json!({"customer_id": 7, "store_id": 1, "product_id": 2, "x": 1});
    check(&reader, &dispatched, &extra).await.expect(422);
}

async fn check(reader: &Client, code: &str, order: &Value) -> Answer {
    let path = format!("/v1/codes/{}/check", escaped(code));
    reader.post(&path, JSON, order.to_string()).await
}

/// As a client escapes it that does not know which characters a path may have.
fn escaped(code: &str) -> String {
    percent_encoding::utf8_percent_encode(code, percent_encoding::NON_ALPHANUMERIC).to_string()
}

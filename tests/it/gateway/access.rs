//! Keys, scopes and rates.

use serde_json::json;
use tidewater::exit::ExitCode;
use uuid::Uuid;

use super::{Client, Scene, event, ids, list};
use crate::support::{Tidewater, until};

#[tokio::test]
async fn a_key_does_what_its_scopes_say_until_it_is_revoked() {
    let scene = Scene::start("scopes", "").await;
    let nobody = Client::new(&scene.address(), None);
    let answer = nobody.events(&event(Uuid::new_v4())).await.expect(401);
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer realm=\"tidewater\""
    );
    nobody.get("/openapi.json").await.expect(200);
    nobody.get("/v1/nothing").await.expect(404);
    let answer = nobody.get("/v1/events").await.expect(405);
    assert_eq!(answer.header("allow"), "POST");

    let key = scene.key("till", &["events:write"]);
    for wrong in [
        "",
        "x",
        "tw_",
        &key.replace("tw_", "tw"),
        &format!("{key}A"),
    ] {
        let client = Client::new(&scene.address(), Some(wrong.to_owned()));
        client.events(&event(Uuid::new_v4())).await.expect(401);
    }
    let sender = Client::new(&scene.address(), Some(key.clone()));
    until("the key to be known", async || {
        sender.events(&event(Uuid::new_v4())).await.status.as_u16() == 202
    })
    .await;
    // The right id with another secret.
    let swapped = format!("{}{}", &key[..20], &scene.key("other", &["read"])[20..]);
    let client = Client::new(&scene.address(), Some(swapped));
    let answer = client.events(&event(Uuid::new_v4())).await.expect(401);
    assert!(answer.header("www-authenticate").contains("invalid_token"));

    let answer = sender.get("/v1/levels").await.expect(403);
    assert!(answer.header("www-authenticate").contains("scope=\"read\""));
    let reader = scene.client(&["read"]).await;
    reader.get("/v1/levels").await.expect(200);
    reader.events(&event(Uuid::new_v4())).await.expect(403);
    let both = scene.client(&["read", "events:write"]).await;
    both.get("/v1/levels").await.expect(200);
    both.events(&event(Uuid::new_v4())).await.expect(202);

    Tidewater::run(&["keys", "revoke", "till"], &scene.config).expect(ExitCode::Success);
    let revoked = tokio::time::Instant::now();
    until("the key to be revoked", async || {
        sender.events(&event(Uuid::new_v4())).await.status.as_u16() == 401
    })
    .await;
    let seconds = revoked.elapsed().as_secs_f64();
    assert!(seconds < 5.0, "revoked after {seconds} s");
    both.get("/v1/levels").await.expect(200);
}

#[tokio::test]
async fn a_key_has_a_rate_of_its_own() {
    let limits =
        "events_per_second = 1\nevents_burst = 20\nbatch_events_max = 10\nreads_per_second = 5";
    let scene = Scene::start("rate", limits).await;
    let (one, two) = (scene.sender().await, scene.sender().await);
    one.events(&list(&ids(10))).await.expect(202);
    one.events(&list(&ids(9))).await.expect(202);
    let refused = ids(10);
    let answer = one.events(&list(&refused)).await.expect(429);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((5..=10).contains(&wait), "{wait}");
    two.events(&list(&ids(10))).await.expect(202);
    assert_eq!(scene.copies(&refused), [0; 10]);
    let reader = scene.client(&["read"]).await;
    until("reads to be refused", async || {
        let answer = reader.get("/v1/levels").await;
        answer.status.as_u16() == 429 && answer.header("retry-after") == "1"
    })
    .await;
    // What was rejected counts too: it was read.
    two.events(&json!([1, 2, 3, 4, 5, 6, 7, 8, 9]))
        .await
        .expect(422);
    two.events(&json!([1, 2, 3, 4, 5, 6, 7, 8, 9]))
        .await
        .expect(429);
}

//! The gateway beside the other roles, and what operators are shown of it.

use tidewater::exit::ExitCode;
use uuid::Uuid;

use super::{Client, Scene, event};
use crate::commands::{Shop, refused, streaming};
use crate::support::{Tidewater, free_port, until};

#[tokio::test(flavor = "multi_thread")]
async fn run_has_a_gateway_where_one_is_configured() {
    let shop = Shop::open("gateway_run").await;
    let http = format!("[http]\nlisten = \"127.0.0.1:{}\"\n", free_port());
    let config = format!(
        "{}[gateway]\nlisten = \"127.0.0.1:0\"\n{http}",
        shop.config()
    );
    let mut process = Tidewater::start(&["run"], &config);
    streaming(&mut process).await;
    until("the gateway to serve", async || {
        process.log().contains("serving applications")
    })
    .await;
    let create = [
        "keys",
        "create",
        "--json",
        "--name",
        "till",
        "--scope",
        "events:write",
        "--scope",
        "read",
    ];
    let made = Tidewater::run(&create, &config).expect(ExitCode::Success);
    let made: serde_json::Value = serde_json::from_str(&made.output).unwrap();
    let address = super::after(&process.log(), "serving applications address=");
    let client = Client::new(&address, Some(made["key"].as_str().unwrap().to_owned()));
    until("an event to be taken", async || {
        client.events(&event(Uuid::new_v4())).await.status.as_u16() == 202
    })
    .await;
    // The shop's one level comes from its database, through every role.
    until("the level to be read", async || {
        let levels = client.get("/v1/levels?store_id=1").await.expect(200).json();
        levels["levels"][0]["on_hand"] == 40 && levels["applied_until"].is_string()
    })
    .await;
    let status = Tidewater::run(&["status"], &config).output;
    assert!(status.contains("gateway.publish     idle"), "{status}");
    assert!(status.contains("gateway.accept      idle"), "{status}");
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_needs_is_named() {
    refused(&["gateway"], "", 2, &["[kafka]", "the gateway needs"]);
    let scene = Scene::start("taken", "").await;
    let taken = scene.config.replace("127.0.0.1:0", &scene.address());
    refused(
        &["gateway"],
        &taken,
        2,
        &["cannot listen on", "gateway.listen", "free port"],
    );
    let nowhere = format!("127.0.0.1:{}", free_port());
    let config = scene.config.replace(&scene.brokers, &nowhere);
    refused(
        &["gateway"],
        &config,
        20,
        &[&nowhere, "check kafka.brokers"],
    );
}

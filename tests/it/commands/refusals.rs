//! Bad input: each kind has an exit code of its own and says how it is mended.

use std::net::TcpListener;

use super::{Shop, login, refused, with_database, with_user};
use crate::support::{self, Postgres, Tidewater};

/// Asks for passwords over TCP, of everybody but the superuser.
const HBA: &str = "\
local all all                    trust
host  all postgres 127.0.0.1/32  trust
host  replication postgres 127.0.0.1/32  trust
host  all all      127.0.0.1/32  scram-sha-256
";

#[tokio::test]
async fn a_wrong_password() {
    let server = Postgres::start(&["wal_level=logical"]);
    std::fs::write(server.data().join("pg_hba.conf"), HBA).unwrap();
    let postgres = login(&server.url()).await;
    let roles = "create role till login replication password 'pencil'; select pg_reload_conf()";
    postgres.batch_execute(roles).await.unwrap();
    let shop = Shop::at(&server.url(), "password").await;
    let with = |password: &str| Shop {
        source: with_user(&shop.source, &format!("till:{password}")),
        sink: with_user(&shop.sink, &format!("till:{password}")),
        prefix: shop.prefix.clone(),
        slot: shop.slot.clone(),
        brokers: shop.brokers.clone(),
    };
    let wrong = with("eraser");
    let parts = ["refused till", "28P01", "check the password"];
    let ended = refused(&["replicate"], &wrong.source_config(), 11, &parts);
    assert!(!ended.log.contains("eraser"), "the password is shown");
    refused(&["migrate"], &wrong.config(), 31, &parts);
    let missing = wrong.source_config().replace(":eraser", "");
    refused(
        &["replicate"],
        &missing,
        11,
        &["asks till for a password", "url"],
    );

    // The right password: it is let in, and then lacks the rights of an owner.
    let right = with("pencil");
    refused(
        &["replicate"],
        &right.source_config(),
        12,
        &[
            "creating publication",
            "create publication",
            "\"public\".\"orders\"",
        ],
    );
}

#[tokio::test]
async fn a_role_that_may_not_replicate() {
    let shop = Shop::open("rights").await;
    let role = support::unique("till");
    let source = shop.source().await;
    let create = format!("create role {role} login");
    source.batch_execute(&create).await.unwrap();
    let config = shop
        .source_config()
        .replace("postgres@", &format!("{role}@"));
    let remedy = format!("alter role \"{role}\" replication");
    refused(&["replicate"], &config, 12, &[&remedy]);
    let drop = format!("drop role {role}");
    source.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn wal_level_is_not_logical() {
    let server = Postgres::start(&["wal_level=replica"]);
    let shop = Shop::at(&server.url(), "wal_level").await;
    let parts = [
        "wal_level is \"replica\"",
        "alter system set wal_level = logical",
    ];
    refused(&["replicate"], &shop.source_config(), 13, &parts);
}

#[tokio::test]
async fn unreachable_servers() {
    let shop = Shop::open("unreachable").await;
    let nowhere = format!("127.0.0.1:{}", support::free_port());
    let at = |url: &str| {
        let (_, host) = url.rsplit_once('@').unwrap();
        let (host, _) = host.split_once('/').unwrap();
        url.replace(host, &nowhere)
    };
    let config = shop
        .source_config()
        .replace(&shop.source, &at(&shop.source));
    let parts = [nowhere.as_str(), "check the host, the port"];
    refused(&["replicate"], &config, 10, &parts);

    let config = shop.config().replace(&shop.sink, &at(&shop.sink));
    refused(&["aggregate"], &config, 30, &parts);
    refused(&["migrate"], &config, 30, &parts);

    let config = shop.source_config().replace(&shop.brokers, &nowhere);
    refused(
        &["replicate"],
        &config,
        20,
        &[&nowhere, "check kafka.brokers"],
    );
}

#[tokio::test]
async fn a_topic_with_too_small_a_message_limit() {
    let shop = Shop::open("small").await;
    shop.make_topic("orders", vec![("max.message.bytes", "20000".to_owned())])
        .await;
    let topic = shop.topic("orders");
    let parts = [
        topic.as_str(),
        "max.message.bytes is 20000",
        "set max.message.bytes=",
        "or lower kafka.message_bytes_max",
    ];
    refused(&["replicate"], &shop.source_config(), 21, &parts);
}

#[tokio::test]
async fn a_position_topic_that_is_not_compacted() {
    let shop = Shop::open("compacted").await;
    let settings = tidewater::config::parse(&shop.source_config(), []).unwrap();
    let kafka = settings.kafka.unwrap();
    let topic = tidewater::kafka::topics::position(&shop.prefix, &shop.slot);
    let spec = tidewater::kafka::TopicSpec {
        partitions: 1,
        ..tidewater::kafka::TopicSpec::events(&kafka, topic.clone())
    };
    let admin = tidewater::kafka::Admin::new(&kafka).unwrap();
    admin.ensure_topic(&spec).await.unwrap();
    let parts = [topic.as_str(), "set cleanup.policy=compact"];
    refused(&["replicate"], &shop.source_config(), 21, &parts);
}

#[tokio::test]
async fn a_slot_that_is_not_ours() {
    let shop = Shop::open("plugin").await;
    let create = format!(
        "select pg_create_logical_replication_slot('{}', 'test_decoding')",
        shop.slot
    );
    shop.source().await.batch_execute(&create).await.unwrap();
    let drop = format!("pg_drop_replication_slot('{}')", shop.slot);
    let parts = ["plugin test_decoding", "configure another slot name", &drop];
    refused(&["replicate"], &shop.source_config(), 14, &parts);
}

#[tokio::test]
async fn a_slot_that_is_ahead_of_the_position() {
    let shop = Shop::open("ahead").await;
    shop.replicate_once().await;
    let source = shop.source().await;
    source
        .batch_execute("insert into stores values (2, 'Quay')")
        .await
        .unwrap();
    let advance = "select pg_replication_slot_advance($1, pg_current_wal_lsn())::text";
    source.query_one(advance, &[&shop.slot]).await.unwrap();
    let parts = [
        "changes from",
        "are missing",
        shop.slot.as_str(),
        "source.snapshot = \"when-needed\"",
    ];
    refused(&["replicate"], &shop.source_config(), 15, &parts);

    // A slot that is gone is no better.
    let drop = "select pg_drop_replication_slot($1)";
    source.query_one(drop, &[&shop.slot]).await.unwrap();
    refused(&["replicate"], &shop.source_config(), 15, &parts);
}

#[tokio::test]
async fn another_source_under_the_same_name() {
    let shop = Shop::open("moved").await;
    shop.replicate_once().await;
    let name = support::unique("elsewhere");
    let source = shop.source().await;
    let create = format!("create database {name}");
    source.batch_execute(&create).await.unwrap();
    let drop = "select pg_drop_replication_slot($1)";
    source.query_one(drop, &[&shop.slot]).await.unwrap();
    let url = with_database(&shop.source, &name);
    let table = "create table stores (store_id bigint primary key)";
    login(&url).await.batch_execute(table).await.unwrap();
    let config = shop.source_config().replace(&shop.source, &url);
    refused(&["replicate"], &config, 17, &["position adopt"]);
}

#[tokio::test]
async fn tables_that_are_not_as_configured() {
    let shop = Shop::open("tables").await;
    let config = shop.source_config();
    let nothing = config.replace("[kafka]", "tables = [\"other.*\"]\n[kafka]");
    refused(
        &["replicate"],
        &nothing,
        18,
        &["no table matches other.*", "source.tables"],
    );
    let source = shop.source().await;
    let publication = format!("create publication {} for table orders", shop.slot);
    source.batch_execute(&publication).await.unwrap();
    let remedy = format!("alter publication \"{}\" add table", shop.slot);
    refused(
        &["replicate"],
        &config,
        18,
        &["lacks", "public.inventory", &remedy],
    );
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let shop = Shop::open("port").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = format!("{}[http]\nlisten = \"{address}\"\n", shop.source_config());
    let parts = [address.as_str(), "http.listen", "choose a free port"];
    refused(&["replicate"], &config, 2, &parts);
}

#[test]
fn a_configuration_with_several_faults() {
    let config = "
        [source]
        url = \"postgres://till@localhost/shop?sslmode=perhaps\"
        slot = \"My-Slot\"
        tabels = [\"public.*\"]
        [kafka]
        brokers = \"127.0.0.1:9092\"
        partitions = 0
        [http]
        listen = \"somewhere\"";
    let parts = [
        "5 faults",
        "source.url: ",
        "source.slot: \"My-Slot\"",
        "source.tabels: there is no such key; did you mean source.tables?",
        "kafka.partitions: \"0\"",
        "http.listen: \"somewhere\"",
    ];
    refused(&["replicate"], config, 2, &parts);
    refused(&["replicate"], "[source", 2, &["write it as TOML"]);
}

#[tokio::test]
async fn sections_that_a_role_needs() {
    let shop = Shop::open("sections").await;
    let source = shop.source_config();
    let (without_kafka, _) = source.split_once("[kafka]").unwrap();
    refused(&["replicate"], without_kafka, 2, &["no [kafka]"]);
    refused(&["aggregate"], &source, 2, &["no [sink]"]);
    refused(&["migrate"], &source, 2, &["no [sink]"]);
    refused(&["rebuild"], &source, 2, &["no [sink]"]);
    refused(&["replicate"], "", 2, &["no [source]"]);
    refused(&["verify"], "", 2, &["kafka"]);
}

#[test]
fn wrong_arguments() {
    for arguments in [&["replicat"][..], &["run", "--fast"], &[]] {
        let ended = Tidewater::run(arguments, "");
        assert_eq!(ended.code(), Some(2), "{arguments:?}: {}", ended.log);
    }
}

#[tokio::test]
async fn a_sink_that_is_not_ours_to_change() {
    let shop = Shop::open("schema").await;
    let migrated = Tidewater::run(&["migrate"], &shop.config());
    assert_eq!(migrated.code(), Some(0), "{}", migrated.log);
    let newer = "insert into tidewater_schema_history (version, name, applied_on, checksum)
                 values (999, 'later', '', '')";
    shop.sink().await.batch_execute(newer).await.unwrap();
    refused(
        &["migrate"],
        &shop.config(),
        32,
        &["version 999", "upgrade tidewater"],
    );
    refused(
        &["aggregate"],
        &shop.config(),
        32,
        &["version 999", "upgrade tidewater"],
    );
}

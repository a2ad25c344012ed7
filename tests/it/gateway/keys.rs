//! `tidewater keys`, as it is typed and read.

use tidewater::connection::connect;
use tidewater::exit::ExitCode;

use crate::commands::refused;
use crate::support::{self, Ended, Tidewater};

fn config(url: &str) -> String {
    format!("[sink]\nurl = \"{url}\"\n")
}

fn run(arguments: &[&str], config: &str) -> Ended {
    Tidewater::run(arguments, config).expect(ExitCode::Success)
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked() {
    let name = support::unique("keys");
    let url = support::database_url(&name);
    let config = config(&url);
    refused(&["keys", "list"], "", 2, &["[sink]", "sink.url"]);
    run(&["migrate"], &config);
    let none = run(&["keys", "list"], &config).output;
    assert_eq!(
        none,
        "there are no keys: make one with tidewater keys create\n"
    );

    let create = [
        "keys",
        "create",
        "--name",
        "the till",
        "--scope",
        "events:write",
    ];
    let made = run(&[&create[..], &["--scope", "read"]].concat(), &config);
    let lines: Vec<&str> = made.output.lines().collect();
    let id = lines[0].strip_prefix("id      ").unwrap();
    assert_eq!(lines[1], "scopes  events:write, read");
    let key = lines[2].strip_prefix("key     ").unwrap();
    assert_eq!(lines[3], "it is not shown again: keep it like a password");
    assert!(
        key.starts_with(&format!("tw_{id}_")) && key.len() == 63,
        "{key}"
    );
    assert!(!made.log.contains(key), "{}", made.log);

    // Nowhere in the database is what its owner has.
    let sink = connect(&url.parse().unwrap()).await.unwrap();
    let row = sink
        .query_one("select k::text from api_key k", &[])
        .await
        .unwrap();
    let row: String = row.get(0);
    assert!(row.contains(id) && !row.contains(&key[20..]), "{row}");

    let listed = run(&["keys", "list"], &config).output;
    let expected = format!("{id}  the till              events:write,read         made 2");
    assert!(
        listed.starts_with(&expected) && listed.ends_with("Z  valid\n"),
        "{listed}"
    );
    assert!(!listed.contains(&key[20..]));
    let taken = [
        "there is a valid key named \"the till\"",
        "revoke that key first",
    ];
    refused(&create, &config, 2, &taken);
    let nameless = ["keys", "create", "--name", "", "--scope", "read"];
    refused(&nameless, &config, 2, &["1 to 100 characters"]);

    let revoked = run(&["keys", "revoke", "the till"], &config).output;
    assert_eq!(revoked, format!("revoked {id}\n"));
    let unknown = ["no valid key has the id or the name", "tidewater keys list"];
    refused(&["keys", "revoke", id], &config, 2, &unknown);
    let listed = run(&["keys", "list", "--json"], &config).output;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["key_id"], id);
    assert!(listed[0]["revoked_at"].is_string(), "{listed}");
    // The name is free again, and the id of a key revokes it too.
    let again = run(&[&create[..], &["--json"]].concat(), &config).output;
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    run(
        &["keys", "revoke", again["key_id"].as_str().unwrap()],
        &config,
    );

    let wrong = Tidewater::run(
        &["keys", "create", "--name", "x", "--scope", "write"],
        &config,
    );
    let wrong = wrong.expect(ExitCode::Configuration);
    assert!(
        wrong.log.contains("events:write, read, rules:write"),
        "{}",
        wrong.log
    );
    let help = run(&["keys", "--help"], "").output;
    assert!(
        help.contains("Examples:") && help.contains("in effect within two seconds"),
        "{help}"
    );
}

#[tokio::test]
async fn every_column_has_a_comment() {
    let url = support::database_url(&support::unique("comments"));
    run(&["migrate"], &config(&url));
    let sink = connect(&url.parse().unwrap()).await.unwrap();
    let bare = "
        select attname::text from pg_attribute
        where attrelid = 'api_key'::regclass and attnum > 0
          and col_description(attrelid, attnum) is null";
    assert_eq!(sink.query(bare, &[]).await.unwrap().len(), 0);
}

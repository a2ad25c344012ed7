//! The nightly batch, over real tables and beside a real stream.

mod codes;
mod commands;
mod compare;
mod days;
mod proof;

use tidewater::config::settings::Settings;
use tidewater::connection::Database;

use crate::commands::Shop;
use crate::support::{Ended, Tidewater};

/// Customers 5, 6, 7 and 11 are in buckets 1, 72, 59 and 90.
const BATCH_ARM: &str = "[retail.arms]\nstream = 50\nbatch = 45\nholdout = 5\n";

fn settings(config: &str) -> Settings {
    tidewater::config::parse(config, []).unwrap()
}

/// A shop whose sink has its schema.
async fn migrated(name: &str) -> Shop {
    let shop = Shop::open(name).await;
    let ended = Tidewater::run(&["migrate"], &shop.config());
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    shop
}

/// Runs the batch, which has to succeed.
#[track_caller]
fn batch(config: &str, arguments: &[&str]) -> Ended {
    let ended = Tidewater::run(&[&["batch"], arguments].concat(), config);
    assert_eq!(ended.code(), Some(0), "{}{}", ended.output, ended.log);
    ended
}

/// Rows of one text column.
async fn texts(database: &Database, sql: &str) -> Vec<String> {
    let rows = database.query(sql, &[]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| row.get(0)).collect()
}

//! Random histories of rows with TOAST values, of altered and truncated tables.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Twins;
use crate::model::random;
use crate::support;

/// Rows that the keys of a history name.
const KEYS: i64 = 40;

/// One table with a plain key, one with a key of two columns of which one is text, and one with partitions.
pub(super) const TABLES: &str = "
    create table one{t} (id bigint primary key, n integer, big text, note text);
    create table two{t} (word text, day date, big text, more jsonb, primary key (day, word));
    create table parts{t} (id bigint primary key, big text, n integer) partition by hash (id);
    create table p0_parts{t} partition of parts{t} for values with (modulus 2, remainder 0);
    create table p1_parts{t} partition of parts{t} for values with (modulus 2, remainder 1);
    insert into one{t} select n, n, md5(n::text), null from generate_series(1, 20) n;
    insert into two{t} select 'w' || n, '2026-01-01', repeat(md5(n::text), 200), '[1]' from generate_series(1, 20) n";

/// The same in each twin, and out of line when it is long.
fn big(rng: &mut ChaCha8Rng) -> String {
    let (from, parts) = (
        rng.random::<u32>(),
        [1, 100, 400].choose(rng).copied().unwrap(),
    );
    format!(
        "(select string_agg(md5(n::text), '') from generate_series({from}::bigint, {from}::bigint + {parts}) n)"
    )
}

/// A statement on a table or its twin.
pub(super) fn statement(rng: &mut ChaCha8Rng) -> String {
    let big = big(rng);
    let (id, to, n) = (
        rng.random_range(0..KEYS),
        rng.random_range(0..KEYS),
        rng.random_range(0..1000),
    );
    match rng.random_range(0..100) {
        0..15 => format!(
            "insert into one{{t}} (id, n, big) values ({id}, {n}, {big}) on conflict (id) do update set n = {n}"
        ),
        15..30 => format!("update one{{t}} set n = {n} where id = {id}"),
        30..36 => format!("update one{{t}} set big = {big} where id = {id}"),
        36..42 => format!(
            "update one{{t}} set id = {to} where id = {id} and not exists (select from one{{t}} where id = {to})"
        ),
        42..45 => format!("update one{{t}} set note = nullif('{n}', '7') where id > {id}"),
        45 => format!("update one{{t}} set big = big, note = note where id > {id}"),
        46..54 => format!("delete from one{{t}} where id = {id}"),
        54..62 => format!(
            "insert into two{{t}} values ('w{id}', '2026-01-01', {big}, '{{\"n\": {n}}}') on conflict do nothing"
        ),
        62..72 => format!("update two{{t}} set more = '[{n}]' where word = 'w{id}'"),
        72..76 => format!(
            "update two{{t}} set day = date '2026-01-01' + {n} where word = 'w{id}' and day = (select min(day) from two{{t}} where word = 'w{id}') and not exists (select from two{{t}} where word = 'w{id}' and day = date '2026-01-01' + {n})"
        ),
        76..80 => format!("delete from two{{t}} where word = 'w{id}'"),
        80..88 => format!(
            "insert into parts{{t}} values ({id}, {big}, {n}) on conflict (id) do update set n = {n}"
        ),
        88..92 => format!(
            "update parts{{t}} set id = {to} where id = {id} and not exists (select from parts{{t}} where id = {to})"
        ),
        92..98 => format!("update parts{{t}} set n = {n} where id = {id}"),
        _ => "truncate two{t}".to_owned(),
    }
}

/// A statement that alters a table, `number` names what it adds. None of one that is truncated, and none
/// that drops a column: then the catalog may no longer tell what was altered before, if that is read only now.
fn alteration(rng: &mut ChaCha8Rng, number: usize) -> String {
    match rng.random_range(0..5) {
        0 => format!("alter table one{{t}} add column c{number} integer default {number}"),
        1 => format!(
            "alter table one{{t}} add column c{number} text default 'it''s {{\"{number}\"}}, \\'"
        ),
        2 => format!("alter table one{{t}} add column c{number} timestamptz"),
        3 => format!(
            "alter table one{{t}} rename column note to note{number};
             alter table one{{t}} rename column note{number} to note"
        ),
        _ => format!("alter table parts{{t}} add column c{number} integer default {number}"),
    }
}

/// A history under one form of the events.
async fn check(name: &str, more: &str, tables: &[&str]) {
    let twins = Twins::new(name, TABLES, more).await;
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let replicator = twins.scene.stream(&twins.config()).await;
    for number in 0..600 {
        if number % 60 == 59 {
            // One alteration at a time: of those that are read late not everything can be known.
            support::caught_up(&twins.scene.database, &twins.scene.name).await;
            twins.run(&alteration(&mut rng, number)).await;
        } else {
            let count = rng.random_range(1..4);
            let statements: Vec<String> = (0..count).map(|_| statement(&mut rng)).collect();
            twins.run(&statements.join(";\n")).await;
        }
    }
    twins.scene.drain(replicator).await;
    for table in tables {
        assert!(twins.assert_same(table) > 50);
    }
}

/// All of them.
pub(super) const ALL: [&str; 3] = ["one", "two", "parts"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_whole_in_lossless_values() {
    check("lossless", "", &ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_whole_in_debeziums_values() {
    check("debezium", "[format]\nvalues = \"debezium\"\n", &ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_whole_when_they_are_flat() {
    let format = "[format]\nshape = \"flat\"\ndeletes = \"rewrite\"\ntruncate = \"skip\"\n";
    check("flat", format, &ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flat_rows_that_do_not_change_are_left_out() {
    let format = "[format]\nshape = \"flat\"\nskip_unchanged = true\n";
    check("same", format, &ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_whole_beside_their_schema() {
    check("schema", "[format]\nencoding = \"json-schema\"\n", &ALL).await;
}

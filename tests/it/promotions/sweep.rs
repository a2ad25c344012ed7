//! What turns with the clock, and who sweeps.

use tidewater::connection::Database;
use tidewater::retail::sweep::Sweeper;
use tidewater::retail::time::Timestamp;

use super::shop::{Shop, derive, now};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// Everything as of so long after the fixed moment.
async fn sweep(sweeper: &mut Sweeper, database: &Database, after: i64) -> usize {
    let at = now().micros() + after;
    let fresh = format!(
        "update consumer_offset set applied_until = timestamptz 'epoch' + {at} * interval '1 us'"
    );
    database.batch_execute(&fresh).await.unwrap();
    sweeper.set_at(Timestamp::from_micros(at));
    sweeper.evaluate().await.unwrap();
    sweeper.issue().await.unwrap()
}

async fn text(database: &Database, sql: &str) -> String {
    let row = database.query_one(sql, &[]).await.unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

async fn open(name: &str) -> (Shop, Sweeper) {
    let mut shop = Shop::with_one_eligible_tuple(name).await;
    let transaction = shop.database.transaction().await.unwrap();
    derive(&transaction).await;
    transaction.commit().await.unwrap();
    let sweeper = Sweeper::connect(&shop.connection, shop.policy.clone())
        .await
        .unwrap();
    (shop, sweeper)
}

#[tokio::test]
async fn a_cooldown_that_passes_gives_the_next_cycle() {
    let (shop, mut sweeper) = open("cooldown").await;
    let database = &shop.database;
    assert_eq!(sweep(&mut sweeper, database, 0).await, 1);
    database
        .batch_execute("update promotion set state = 'dispatched'")
        .await
        .unwrap();
    // Valid up to and including the last moment; then the cooldown; codes_max is 2.
    let states = "select string_agg(cycle || ' ' || state, ', ' order by cycle) from promotion";
    for (after, issued, expected) in [
        (24 * HOUR, 0, "1 dispatched"),
        (24 * HOUR + 1, 0, "1 expired"),
        (72 * HOUR, 0, "1 expired"),
        (72 * HOUR + 1, 1, "1 expired, 2 issued"),
        (200 * HOUR, 0, "1 expired, 2 issued"),
    ] {
        assert_eq!(
            sweep(&mut sweeper, database, after).await,
            issued,
            "{after}"
        );
        assert_eq!(text(database, states).await, expected, "{after}");
    }
}

#[tokio::test]
async fn an_edited_rule_is_in_effect_with_the_next_sweep() {
    let (shop, mut sweeper) = open("edited").await;
    let database = &shop.database;
    let tuples =
        "select string_agg(rule_id || ' ' || cause || ' ' || coalesce(cause_position, '-'),
                                    ', ' order by rule_id) from promotion_eligibility";
    let conditions = "select string_agg(rule_id || ' ' || holds, ', ' order by rule_id)
                      from promotion_condition";
    let mut after = 0;
    for (edit, eligible, holds) in [
        ("select", "1 time -", "1 true"),
        (
            "insert into promotion_rule (rule_id, name, habit_orders) values (2, 'new', 1)",
            "1 time -, 2 rule -",
            "1 true, 2 true",
        ),
        (
            "update promotion_rule set habit_orders = 3 where rule_id = 1",
            "2 rule -",
            "1 true, 2 true",
        ),
        (
            "update promotion_rule set on_hand_min = 101 where rule_id = 2",
            "",
            "1 true, 2 false",
        ),
        (
            "update promotion_rule set on_hand_min = 100 where rule_id = 2",
            "2 rule -",
            "1 true, 2 true",
        ),
        ("update promotion_rule set enabled = false", "", ""),
    ] {
        database.batch_execute(edit).await.unwrap();
        after += MINUTE;
        sweep(&mut sweeper, database, after).await;
        assert_eq!(text(database, tuples).await, eligible, "{edit}");
        assert_eq!(text(database, conditions).await, holds, "{edit}");
    }
}

#[tokio::test]
async fn what_waited_for_a_limit_gets_its_code_when_there_is_room() {
    let (shop, mut sweeper) = open("room").await;
    let database = &shop.database;
    let limited = "update promotion_rule set daily_limit = 1;
                   select put_code(1, 9, 9, 9, t(), 'dispatched')";
    database.batch_execute(limited).await.unwrap();
    assert_eq!(sweep(&mut sweeper, database, 0).await, 0);
    // Fifteen hours and a half later the day is another.
    assert_eq!(
        sweep(&mut sweeper, database, 15 * HOUR + 29 * MINUTE).await,
        0
    );
    assert_eq!(
        sweep(&mut sweeper, database, 15 * HOUR + 30 * MINUTE).await,
        1
    );
}

#[tokio::test]
async fn old_and_half_known_state_issues_nothing() {
    let (shop, mut sweeper) = open("old").await;
    let database = &shop.database;
    sweeper.evaluate().await.unwrap();
    for (change, issued) in [
        (
            "update consumer_offset set applied_until = moment() - interval '60 seconds'",
            0,
        ),
        (
            "update consumer_offset set applied_until = null where topic = 'orders'",
            0,
        ),
        (
            "update consumer_offset set applied_until = moment() - interval '59.999999 seconds'",
            1,
        ),
    ] {
        database.batch_execute(change).await.unwrap();
        assert_eq!(sweeper.issue().await.unwrap(), issued, "{change}");
    }
    let half = "update consumer_offset set snapshot_ended = false where topic = 'orders';
                update sink_identity set evaluated_at = null; delete from promotion_eligibility";
    database.batch_execute(half).await.unwrap();
    sweeper.evaluate().await.unwrap();
    let evaluated = "select evaluated_at::text from sink_identity";
    assert_eq!(text(database, evaluated).await, "");
    let eligible = "select count(*)::text from promotion_eligibility";
    assert_eq!(text(database, eligible).await, "0");
}

#[tokio::test]
async fn one_instance_sweeps_until_its_connection_ends() {
    let (shop, first) = open("owner").await;
    let second = Sweeper::connect(&shop.connection, shop.policy.clone())
        .await
        .unwrap();
    assert!(first.try_own().await.unwrap());
    assert!(!second.try_own().await.unwrap());
    drop(first);
    crate::support::until("the sweep to be free", async || {
        second.try_own().await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn tables_are_counted_before_their_first_evaluation() {
    const UNCOUNTED: &str = "
        select string_agg(relname, ' ' order by relname) from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' and reltuples < 0";
    let (shop, sweeper) = open("counted").await;
    let before = text(&shop.database, UNCOUNTED).await;
    assert!(before.contains("purchase_habit"), "{before}");
    sweeper.analyze_new_tables().await.unwrap();
    assert_eq!(text(&shop.database, UNCOUNTED).await, "");
    // Nothing is left to do.
    sweeper.analyze_new_tables().await.unwrap();
}

//! Each row of docs/debezium.md: what Debezium writes, and what tidewater does instead.

use std::collections::BTreeSet;

use serde_json::Value;

use super::run::{Captured, Topics, captured};

async fn defaults() -> &'static Captured {
    &captured().await["defaults"]
}

impl Captured {
    /// A member of every event of `public.explained_…`, as both write it.
    fn both(&self, table: &str, path: &[&str]) -> Vec<(String, String)> {
        let table = format!("public.explained_{table}");
        let (theirs, ours) = (&self.theirs[&table], &self.ours[&table]);
        assert_eq!(theirs.len(), ours.len(), "{table}");
        let both = theirs.iter().zip(ours);
        both.map(|(theirs, ours)| (theirs.member(path), ours.member(path)))
            .collect()
    }
}

/// The member of every event is the first for Debezium and the second for tidewater.
fn assert_all(found: &[(String, String)], theirs: &str, ours: &str) {
    assert!(!found.is_empty());
    for pair in found {
        assert_eq!((pair.0.as_str(), pair.1.as_str()), (theirs, ours));
    }
}

#[tokio::test]
async fn microseconds_in_arrays_of_times() {
    let found = defaults().await.both("times", &["after", "tia"]);
    assert_all(&found, "[14706000000]", "[14706000007]");
}

#[tokio::test]
async fn places_within_a_snapshot() {
    let Captured { theirs, ours } = defaults().await;
    let flags = |topics: &Topics| {
        let events = topics.values().flatten();
        let reads = events.filter(|event| event.member(&["op"]) == r#""r""#);
        let flags = reads.map(|event| event.raw["source"]["snapshot"].as_str().unwrap().to_owned());
        flags.collect::<BTreeSet<String>>()
    };
    let places = [
        "first",
        "first_in_data_collection",
        "last",
        "last_in_data_collection",
        "true",
    ];
    assert_eq!(flags(theirs), places.map(str::to_owned).into());
    assert_eq!(flags(ours), ["true"].map(str::to_owned).into());
}

/// What each event has at a path: Debezium's, and tidewater's.
#[track_caller]
fn assert_each(found: &[(String, String)], expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(theirs, ours)| (theirs.as_str(), ours.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn nulls_in_columns_with_a_default() {
    let found = defaults().await.both("nulls", &["after", "t"]);
    assert_all(&found, r#""q""#, "null");
}

#[tokio::test]
async fn names_in_the_stream() {
    let found = defaults().await.both("names", &["after", "n"]);
    let (read, streamed) = ((r#""n""#, r#""n""#), ("null", r#""n""#));
    assert_each(&found, &[read, streamed]);
}

#[tokio::test]
async fn generated_columns_that_are_not_published() {
    let found = defaults().await.both("generated", &["after", "g"]);
    assert_each(&found, &[("2", ""), ("", "")]);
}

#[tokio::test]
async fn far_dates_in_a_snapshot() {
    let found = defaults().await.both("dates", &["after", "da"]);
    let expected = [
        ("-622191234", "-2147472692"),
        ("-703383", "-735160"),
        ("-2147472692", "-2147472692"),
        ("-735160", "-735160"),
    ];
    assert_each(&found, &expected);
}

#[tokio::test]
async fn far_dates_in_arrays() {
    let found = defaults().await.both("date_lists", &["after", "daa"]);
    assert_all(&found, "[-622191234,-703383]", "[-2147472692,-735160]");
}

#[tokio::test]
async fn timestamps_before_christ_in_arrays() {
    let found = defaults().await.both("stamp_lists", &["after", "tsa"]);
    assert_all(
        &found,
        "[9223372036825200000,-63517953600000000]",
        "[9223372036825200000,-63517780800000000]",
    );
}

#[tokio::test]
async fn text_arrays_of_two_dimensions() {
    let found = defaults().await.both("matrices", &["after", "ta"]);
    assert_eq!(found.len(), 2);
    for (theirs, ours) in found {
        assert!(theirs.starts_with(r#"["[Ljava.lang.String;@"#), "{theirs}");
        assert_eq!(ours, "[null,null]");
    }
}

#[tokio::test]
async fn a_quote_in_a_default() {
    let found = defaults().await.both("quotes", &["before", "t"]);
    assert_eq!(found[2], (r#""it""#.to_owned(), r#""it's""#.to_owned()));
}

#[tokio::test]
async fn a_default_that_is_computed() {
    let found = defaults().await.both("sums", &["before", "t"]);
    assert_eq!(found[2], (r#""a""#.to_owned(), "null".to_owned()));
}

#[tokio::test]
async fn keys_of_a_table_whose_identity_is_another_index() {
    let Captured { theirs, ours } = defaults().await;
    let keys = |topics: &Topics| -> Vec<String> {
        let events = &topics["public.explained_keys"];
        let keys = events.iter().map(|event| event.key.clone().unwrap());
        keys.collect()
    };
    let expected = [r#"{"id":1}"#, r#"{"id":101}"#, r#"{"id":0}"#, r#"{"id":0}"#];
    assert_eq!(keys(theirs), expected);
    let (one, other) = (r#"{"code":"one0"}"#, r#"{"code":"one100"}"#);
    assert_eq!(keys(ours), [one, other, other, other]);
}

#[tokio::test]
async fn keys_of_a_table_with_a_unique_index_alone() {
    let Captured { theirs, ours } = defaults().await;
    let keys = |topics: &Topics| -> Vec<Option<String>> {
        let events = &topics["public.explained_unique"];
        events.iter().map(|event| event.key.clone()).collect()
    };
    let expected = [r#"{"a":0}"#, r#"{"a":100}"#].map(|key| Some(key.to_owned()));
    assert_eq!(keys(theirs), expected);
    assert_eq!(keys(ours), [None, None]);
}

#[tokio::test]
async fn tombstones_without_a_key() {
    let Captured { theirs, ours } = defaults().await;
    let empty = |topics: &Topics| {
        let events = topics["public.explained_keyless"].iter();
        let empty = events.filter(|event| event.key.is_none() && event.value.is_none());
        empty.count()
    };
    assert_eq!((empty(theirs), empty(ours)), (1, 0));
}

/// What both have in a topic that is no table's, without what is masked.
async fn raw(topic: &str) -> [Vec<Value>; 2] {
    let Captured { theirs, ours } = &captured().await["transactions"];
    [theirs, ours].map(|topics| {
        topics[topic]
            .iter()
            .map(|event| event.raw.clone())
            .collect()
    })
}

#[tokio::test]
async fn messages_between_transactions() {
    let [theirs, ours] = raw("message").await;
    let time = |event: &Value| event["source"]["ts_us"].as_i64().unwrap();
    // The last one is of a transaction that committed behind them.
    let [.., before, one, other, _] = theirs.as_slice() else {
        panic!("{theirs:?}");
    };
    assert!(!before["source"]["txId"].is_null() && one["source"]["txId"].is_null());
    assert_eq!([time(one), time(other)], [time(before); 2]);
    let [.., before, one, _, _] = ours.as_slice() else {
        panic!("{ours:?}");
    };
    assert!(time(one) > time(before));
}

#[tokio::test]
async fn messages_counted_by_address() {
    let [theirs, ours] = raw("message").await;
    let order = |event: &Value| event["transaction"]["data_collection_order"].as_i64();
    let orders = |events: &[Value]| events.iter().filter_map(order).collect::<Vec<_>>();
    assert_eq!(orders(&theirs), [1, 1, 1]);
    assert_eq!(orders(&ours), [1, 2, 1]);

    let [theirs, ours] = raw("transaction").await;
    let counted = |ends: &[Value], name: &str| -> Vec<i64> {
        let collections = ends
            .iter()
            .filter_map(|end| end["data_collections"].as_array());
        let named = collections.flatten().filter(|collection| {
            let found = collection["data_collection"].as_str().unwrap();
            found.contains(name)
        });
        named
            .map(|collection| collection["event_count"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(counted(&theirs, "LogicalDecodingMessageId@"), [1, 1, 1]);
    assert_eq!(counted(&ours, "LOGICAL_DECODING_MESSAGE"), [2, 1]);
}

#[tokio::test]
async fn the_order_of_what_is_counted() {
    let names = |ends: &[Value]| -> Vec<String> {
        let of = |end: &Value| end["data_collections"].as_array().cloned();
        let longest = ends.iter().filter_map(of).max_by_key(Vec::len).unwrap();
        let names = longest
            .iter()
            .map(|counted| counted["data_collection"].as_str().unwrap().to_owned());
        names.collect()
    };
    let [theirs, ours] = raw("transaction").await.map(|ends| names(&ends));
    let [first, second] = ["public.numbers", "public.times"].map(str::to_owned);
    assert_eq!(ours[..2], [first, second]);
    assert_ne!(theirs, ours);
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(theirs), sorted(ours));
}

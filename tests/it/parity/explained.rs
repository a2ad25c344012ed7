//! Each row of docs/debezium.md: what Debezium writes, and what tidewater does instead.

use std::collections::BTreeSet;

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
        let flags = reads.map(|event| event.snapshot.clone().unwrap());
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

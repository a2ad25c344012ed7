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

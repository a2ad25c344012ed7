//! The list against a model: whatever becomes of rows, and whenever the file is written or opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::example::{TABLE, open, row, table};
use super::*;
use crate::event::Lsn;
use crate::replicate::capture::Point;

async fn write(rows: &mut RowStore, lsn: u64) {
    rows.release(rows.end(), Point::from(Lsn(lsn)));
    rows.write(true, Instant::now());
    rows.written().await.unwrap();
}

fn listed(rows: &RowStore) -> BTreeSet<String> {
    let keys = rows.listed(TABLE, usize::MAX).unwrap();
    let set: BTreeSet<String> = keys.iter().map(|key| key.concat()).collect();
    assert_eq!(keys.len(), set.len(), "a key comes twice");
    assert_eq!(rows.has_listed(TABLE), !set.is_empty());
    set
}

#[tokio::test]
async fn what_is_listed_is_what_is_known_in_part() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut rows = open(directory.path(), true);
    let mut model: BTreeMap<String, bool> = BTreeMap::new();
    for number in 0..5_000_u64 {
        let key = format!("k{}", rng.random_range(0..40));
        match rng.random_range(0..100) {
            0..30 => {
                assert!(rows.put(TABLE, row(&key, None).as_slice()).unwrap());
                model.insert(key, true);
            }
            30..50 => {
                assert!(rows.put(TABLE, row(&key, Some("b")).as_slice()).unwrap());
                model.insert(key, false);
            }
            50..70 => {
                rows.fill(TABLE, row(&key, Some("b")).as_slice()).unwrap();
                model.entry(key).and_modify(|partial| *partial = false);
            }
            70..90 => {
                assert!(rows.remove(TABLE, row(&key, None).as_slice()).unwrap());
                model.remove(&key);
            }
            90..96 => write(&mut rows, 101 + number).await,
            96..98 => {
                write(&mut rows, 101 + number).await;
                drop(rows);
                rows = open(directory.path(), true);
            }
            98 => {
                rows.truncate(TABLE);
                model.clear();
            }
            _ => {
                // It cannot be known.
                rows.unlist(TABLE, row(&key, None).as_slice()).unwrap();
                model.entry(key).and_modify(|partial| *partial = false);
            }
        }
        let partial = model.iter().filter(|(_, partial)| **partial);
        let expected: BTreeSet<String> = partial.map(|(key, _)| key.clone()).collect();
        assert_eq!(listed(&rows), expected);
    }
}

#[tokio::test]
async fn a_list_is_kept_while_its_table_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut rows = open(directory.path(), false);
    rows.put(TABLE, row("a", None).as_slice()).unwrap();
    assert!(listed(&rows).is_empty(), "nobody reads the table");
    rows.expect(&table()).unwrap();
    for key in ["b", "c", "d"] {
        rows.put(TABLE, row(key, None).as_slice()).unwrap();
    }
    assert_eq!(rows.listed(TABLE, 2).unwrap().len(), 2);
    write(&mut rows, 101).await;
    rows.put(TABLE, row("e", None).as_slice()).unwrap();
    assert_eq!(rows.listed(TABLE, 4).unwrap(), [["b"], ["c"], ["d"], ["e"]]);
    // A read that is not gone on with leaves them to the next.
    rows.drop_list(TABLE);
    rows.remove(TABLE, row("c", None).as_slice()).unwrap();
    rows.put(TABLE, row("b", Some("b")).as_slice()).unwrap();
    assert!(!rows.has_listed(TABLE) && rows.listed(TABLE, 4).unwrap().is_empty());
    rows.keep_list(TABLE).unwrap();
    assert_eq!(rows.listed(TABLE, 9).unwrap().len(), 4);
    rows.remove(TABLE, row("c", None).as_slice()).unwrap();
    for key in ["b", "d"] {
        rows.fill(TABLE, row(key, Some("b")).as_slice()).unwrap();
    }
    assert_eq!(rows.listed(TABLE, 9).unwrap(), [["e"]]);
}

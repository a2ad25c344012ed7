//! A file that is written, opened again, damaged, and full.

use std::io::{Seek, SeekFrom, Write};

use super::super::example::{recorded, settings};
use super::*;
use crate::postgres::Partition;

fn put(file: &StoreFile, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error> {
    let entries = entries.iter();
    file.write(entries.map(|(key, value)| (key.as_slice(), Some(value.as_slice()))))
}

fn row(generation: u32, number: u32) -> Vec<u8> {
    let [table, generation, number] = [1_u32, generation, number].map(u32::to_be_bytes);
    [&[ROWS][..], &table, &generation, &number].concat()
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), 1 << 30);
    assert!(StoreFile::open(&settings).unwrap().is_none());
    let file = StoreFile::create(&settings).unwrap();
    assert_eq!(file.recorded().unwrap(), None);
    let table = TableRecord {
        generation: 3,
        identity: vec![0],
        layouts: Vec::new(),
        partitions: BTreeMap::from([(7, (700, Some(1)))]),
        rewrites: 2,
        publishing: Publishing::default(),
        awaited: true,
    };
    put(
        &file,
        &[
            (RECORDED.to_vec(), recorded(100).to_bytes()),
            (TableRecord::key(1).to_vec(), table.to_bytes()),
            (row(3, 1), b"one".to_vec()),
        ],
    )
    .unwrap();
    let held = StoreFile::open(&settings);
    assert!(matches!(held, Err(Error::InUse { .. })));
    drop(file);
    let file = StoreFile::open(&settings).unwrap().unwrap();
    assert_eq!(file.recorded().unwrap(), Some(recorded(100)));
    let reader = file.read().unwrap();
    assert_eq!(reader.tables().unwrap(), HashMap::from([(1, table)]));
    assert_eq!(reader.get(&row(3, 1)).unwrap().unwrap().value(), b"one");
    drop((reader, file));
    let file = StoreFile::create(&settings).unwrap();
    assert_eq!(file.recorded().unwrap(), None);
}

#[test]
fn rows_of_a_generation_that_is_gone_are_removed_little_by_little() {
    let directory = tempfile::tempdir().unwrap();
    let file = StoreFile::create(&settings(directory.path(), 1 << 30)).unwrap();
    let count = u32::try_from(REMOVED_MAX).unwrap() + 5;
    let mut rows: Vec<_> = (0..count)
        .map(|number| (row(0, number), Vec::new()))
        .collect();
    let partial = |generation| {
        let mut key = row(generation, 0);
        key[0] = PARTIAL;
        key
    };
    rows.extend([(partial(0), Vec::new()), (partial(1), Vec::new())]);
    put(&file, &rows).unwrap();
    put(&file, &[(row(1, 0), b"new".to_vec())]).unwrap();
    let gone = TableRecord::default().garbage_key(1);
    let left = |file: &StoreFile| {
        let reader = file.read().unwrap();
        (0..count)
            .filter(|number| reader.get(&row(0, *number)).unwrap().is_some())
            .count()
    };
    put(&file, &[(gone.clone(), Vec::new())]).unwrap();
    assert_eq!(left(&file), 6);
    put(&file, &[]).unwrap();
    assert_eq!(left(&file), 0);
    let reader = file.read().unwrap();
    assert!(reader.get(&gone).unwrap().is_none());
    assert_eq!(reader.get(&row(1, 0)).unwrap().unwrap().value(), b"new");
    let is_listed = |generation| reader.get(&partial(generation)).unwrap().is_some();
    assert!(!is_listed(0) && is_listed(1));
}

#[test]
fn a_full_file_keeps_what_it_had_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), 4 << 20);
    let file = StoreFile::create(&settings).unwrap();
    let mut written = 0;
    let error = loop {
        let key = row(0, written);
        match put(&file, &[(key, vec![7; 100_000])]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!((10..42).contains(&written), "{written}");
    assert!(!error.is_transient() && error.to_string().contains("row_store.bytes_max = 4194304"));
    drop(file);
    let size = fs::metadata(StoreFile::path(&settings)).unwrap();
    let on_disk = std::os::unix::fs::MetadataExt::blocks(&size) * 512;
    assert!(on_disk <= 4 << 20, "{on_disk}");
    let roomier = Settings {
        bytes_max: 1 << 30,
        ..settings
    };
    let file = StoreFile::open(&roomier).unwrap().unwrap();
    let reader = file.read().unwrap();
    for number in 0..written {
        assert!(reader.get(&row(0, number)).unwrap().is_some(), "{number}");
    }
    put(&file, &[(row(0, written), vec![7; 100_000])]).unwrap();
}

#[test]
fn a_damaged_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), 1 << 30);
    let file = StoreFile::create(&settings).unwrap();
    put(&file, &[(RECORDED.to_vec(), recorded(100).to_bytes())]).unwrap();
    drop(file);
    let path = StoreFile::path(&settings);
    let whole = fs::read(&path).unwrap();
    let damage = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        match StoreFile::open(&settings).map(|file| file.unwrap().recorded()) {
            Err(error) | Ok(Err(error)) => assert!(error.needs_snapshot(), "{error:?}"),
            Ok(Ok(found)) => panic!("{found:?}"),
        }
    };
    damage(&whole[..5000]);
    damage(b"not a database");
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&[0; 512]).unwrap();
}

#[test]
fn a_partition_that_comes_back_or_is_rewritten_is_noticed() {
    let mut table = TableRecord::default();
    let mut check = |partitions: &[(u32, u32, u32)], came_back, storage| {
        let partition = |(id, attached_by, storage): &(u32, u32, u32)| Partition {
            id: *id,
            attached_by: *attached_by,
            storage: Some(*storage),
        };
        let mut catalog = TableLayout {
            attributes: Vec::new(),
            storage: None,
            seen_at: Lsn(1),
            partitions: partitions.iter().map(partition).collect(),
        };
        assert_eq!(table.meet_partitions(&mut catalog), came_back);
        assert_eq!(catalog.storage, Some(storage));
    };
    check(&[(1, 700, 1), (2, 701, 2)], false, 0);
    check(&[(2, 701, 2), (3, 702, 3)], false, 0);
    check(&[(2, 701, 9), (3, 702, 3)], false, 1);
    check(&[(1, 703, 1), (2, 701, 9)], true, 1);
    check(&[(1, 703, 1)], false, 1);
}

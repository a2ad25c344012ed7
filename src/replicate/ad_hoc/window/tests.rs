//! The window against a server that is simulated: transactions that are logged before they are visible, a
//! stream that lags, and chunks that are read in between.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::postgres::RowBody;

const TABLE: u32 = 16385;
const KEYS: u8 = 4;
/// Just below the turn of the ids' low half.
const FIRST_XID: u64 = (1 << 32) - 6;

/// A row's version; `None`: it is not there.
type Version = Option<u64>;

#[derive(Clone, Copy, Debug)]
enum Write {
    Row(u8, Version),
    Truncate,
}

#[derive(Debug)]
struct Transaction {
    xid: u64,
    writes: Vec<Write>,
    /// Its place in the log.
    logged: Option<usize>,
    visible: bool,
}

/// Where a chunk is.
#[derive(Debug)]
enum Read {
    Not,
    Ordered,
    Snapshot(Visibility, BTreeMap<u8, u64>),
    Noted(Visibility, BTreeMap<u8, u64>, Lsn),
    Held,
}

struct Server {
    transactions: Vec<Transaction>,
    log: Vec<usize>,
    version: u64,
    window: Window,
    streamed: usize,
    read: Read,
    topic: Vec<(u8, Version, &'static str)>,
    published: usize,
}

impl Server {
    fn new() -> Server {
        let mut server = Server {
            transactions: Vec::new(),
            log: Vec::new(),
            version: 0,
            window: Window::new(FIRST_XID),
            streamed: 0,
            read: Read::Not,
            topic: Vec::new(),
            published: 0,
        };
        // Rows that no stream has told of.
        for key in 0..KEYS {
            server.write(key, 1);
        }
        for index in 0..server.transactions.len() {
            server.commit(index);
            server.show(index);
        }
        server.streamed = server.log.len();
        server
    }

    fn locked(&self, key: Option<u8>) -> bool {
        let holds = |write: &Write| match (write, key) {
            (Write::Row(held, _), Some(key)) => *held == key,
            (Write::Truncate, _) | (_, None) => true,
        };
        let mut alive = self.transactions.iter().filter(|t| !t.visible);
        alive.any(|transaction| transaction.writes.iter().any(holds))
    }

    /// A write in a transaction of its own, or in one that is under way.
    fn write(&mut self, key: u8, kind: u8) {
        let key_of = (kind % 8 != 7).then_some(key);
        if self.locked(key_of) {
            return;
        }
        self.version += 1;
        let write = match key_of {
            None => Write::Truncate,
            Some(key) => Write::Row(key, (kind % 8 < 5).then_some(self.version)),
        };
        let join = self
            .transactions
            .iter_mut()
            .find(|t| t.logged.is_none() && kind > 100);
        if let Some(transaction) = join {
            transaction.writes.push(write);
            return;
        }
        let xid = FIRST_XID + self.transactions.len() as u64;
        self.transactions.push(Transaction {
            xid,
            writes: vec![write],
            logged: None,
            visible: false,
        });
    }

    fn commit(&mut self, index: usize) {
        if let Some(transaction) = self.transactions.get_mut(index)
            && transaction.logged.is_none()
        {
            transaction.logged = Some(self.log.len());
            self.log.push(index);
        }
    }

    fn show(&mut self, index: usize) {
        if let Some(transaction) = self.transactions.get_mut(index) {
            transaction.visible |= transaction.logged.is_some();
        }
    }

    fn visibility(&self) -> Visibility {
        let ended = self.transactions.iter().filter(|t| t.visible);
        let xmax = ended.map(|t| t.xid + 1).max().unwrap_or(FIRST_XID);
        let running: Vec<u64> = self
            .transactions
            .iter()
            .filter(|t| !t.visible && t.xid < xmax)
            .map(|t| t.xid)
            .collect();
        let xmin = running.first().copied().unwrap_or(xmax);
        let running: Vec<String> = running.iter().map(u64::to_string).collect();
        Visibility::parse(&format!("{xmin}:{xmax}:{}", running.join(","))).unwrap()
    }

    fn rows(&self, through: impl Fn(&Transaction) -> bool) -> BTreeMap<u8, u64> {
        let mut rows = BTreeMap::new();
        for index in &self.log {
            let transaction = &self.transactions[*index];
            if !through(transaction) {
                continue;
            }
            for write in &transaction.writes {
                match write {
                    Write::Row(key, Some(version)) => _ = rows.insert(*key, *version),
                    Write::Row(key, None) => _ = rows.remove(key),
                    Write::Truncate => rows.clear(),
                }
            }
        }
        rows
    }

    /// The stream goes on by one transaction.
    fn stream(&mut self) {
        let Some(index) = self.log.get(self.streamed) else {
            return;
        };
        let transaction = &self.transactions[*index];
        self.streamed += 1;
        #[expect(clippy::cast_possible_truncation, reason = "as the stream has it")]
        self.window.begin(transaction.xid as u32);
        let watched = self.window.watches(TABLE);
        for write in &transaction.writes {
            match write {
                Write::Row(key, version) => {
                    if watched {
                        self.window.changed(&[*key], false);
                    }
                    self.topic.push((*key, *version, "change"));
                }
                Write::Truncate => {
                    if watched {
                        self.window.truncated();
                    }
                    for key in 0..KEYS {
                        self.topic.push((key, None, "truncate"));
                    }
                }
            }
        }
    }

    /// The chunk goes on by one step.
    fn read(&mut self) {
        self.read = match std::mem::replace(&mut self.read, Read::Not) {
            Read::Not => {
                self.window.open(TABLE);
                Read::Ordered
            }
            Read::Ordered => Read::Snapshot(self.visibility(), self.rows(|t| t.visible)),
            Read::Snapshot(visible, rows) => Read::Noted(visible, rows, self.end()),
            Read::Noted(visible, found, noted) => {
                let mut rows = Rows::default();
                for (key, version) in &found {
                    rows.push(
                        &[*key],
                        RowBody::Whole(format!("{key} {version}").as_bytes()),
                    );
                }
                let waiting = Vec::new();
                let arrived = self.window.arrived(Chunk {
                    rows,
                    visible,
                    waiting,
                    noted,
                });
                arrived.map_or(Read::Not, |()| Read::Held)
            }
            Read::Held => self.publish(),
        };
    }

    fn publish(&mut self) -> Read {
        if !self.window.is_due(Lsn(self.streamed as u64)) {
            return Read::Held;
        }
        for row in self.window.take().unwrap().left() {
            let (RowBody::Whole(row) | RowBody::Condensed(row, _)) = row;
            let text = std::str::from_utf8(row).unwrap();
            let (key, version) = text.split_once(' ').unwrap();
            let (key, version) = (key.parse().unwrap(), version.parse().unwrap());
            self.topic.push((key, Some(version), "read"));
        }
        self.published += 1;
        Read::Not
    }

    fn end(&self) -> Lsn {
        Lsn(self.log.len() as u64)
    }

    /// Everything ends, and one more chunk is published.
    fn finish(&mut self) {
        for index in 0..self.transactions.len() {
            self.commit(index);
            self.show(index);
        }
        let enough = self.published + 1;
        while self.streamed < self.log.len() || self.published < enough {
            self.stream();
            self.read();
        }
    }
}

fn play(actions: &[(u8, u8, u8)]) -> Server {
    let mut server = Server::new();
    for (action, which, kind) in actions {
        let alive: Vec<usize> = (0..server.transactions.len())
            .filter(|index| !server.transactions[*index].visible)
            .collect();
        let picked = alive.get(usize::from(*which) % alive.len().max(1)).copied();
        match action % 8 {
            0 | 1 => server.write(which % KEYS, *kind),
            2 | 3 => picked.into_iter().for_each(|index| server.commit(index)),
            4 => picked.into_iter().for_each(|index| server.show(index)),
            5 => server.stream(),
            _ => server.read(),
        }
    }
    server.finish();
    server
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_row_is_older_than_what_came_before_it_and_none_is_missing(
        actions in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 0..120)
    ) {
        let server = play(&actions);
        // What the log tells of each key, in order; a read tells one of its versions, or of one from before.
        let mut told: BTreeMap<u8, Vec<Version>> = BTreeMap::new();
        for key in 0..KEYS {
            told.insert(key, vec![Some(u64::from(key) + 1)]);
        }
        for index in server.log.iter().skip(usize::from(KEYS)) {
            for write in &server.transactions[*index].writes {
                match write {
                    Write::Row(key, version) => told.get_mut(key).unwrap().push(*version),
                    Write::Truncate => told.values_mut().for_each(|key| key.push(None)),
                }
            }
        }
        let mut last: BTreeMap<u8, usize> = BTreeMap::new();
        let mut shown: BTreeMap<u8, Version> = BTreeMap::new();
        for (key, version, what) in &server.topic {
            let at = last.entry(*key).or_insert(0);
            if *what == "read" {
                prop_assert_eq!(&told[key][*at], version, "key {} at {}", key, at);
            } else {
                *at += 1;
                prop_assert_eq!(&told[key][*at], version);
            }
            shown.insert(*key, *version);
        }
        shown.retain(|_, version| version.is_some());
        let shown: BTreeMap<u8, u64> = shown.into_iter().map(|(key, v)| (key, v.unwrap())).collect();
        prop_assert_eq!(shown, server.rows(|_| true));
    }
}

fn chunk(visible: &str, keys: &[&str], noted: u64) -> Chunk {
    let mut rows = Rows::default();
    for key in keys {
        rows.push(key.as_bytes(), RowBody::Whole(key.as_bytes()));
    }
    Chunk {
        rows,
        visible: Visibility::parse(visible).unwrap(),
        waiting: Vec::new(),
        noted: Lsn(noted),
    }
}

#[test]
fn a_transaction_that_waits_for_a_standby_is_waited_for() {
    let mut window = Window::new(100);
    window.open(TABLE);
    let waits = Chunk {
        waiting: vec![95],
        ..chunk("95:101:95", &["a"], 7)
    };
    assert_eq!(window.arrived(waits), Err(Again::Unseen));
    window.open(TABLE);
    let seen = Chunk {
        waiting: vec![94],
        ..chunk("95:101:95", &["a"], 7)
    };
    assert_eq!(window.arrived(seen), Ok(()));
    assert!(!window.is_due(Lsn(6)) && window.is_due(Lsn(7)));
    assert_eq!(window.take().unwrap().left().count(), 1);
}

#[test]
fn more_changes_than_are_kept_spoil_the_chunk() {
    let mut window = Window::new(100);
    window.open(TABLE);
    window.begin(101);
    let key = vec![b'k'; 1 << 20];
    for _ in 0..9 {
        window.changed(&key, false);
    }
    assert_eq!(
        window.arrived(chunk("101:101:", &["a"], 7)),
        Err(Again::Crowded)
    );
}

#[test]
fn a_chunk_is_spoiled_while_it_is_read_and_while_it_is_held() {
    let mut window = Window::new(100);
    window.open(TABLE);
    window.spoil(Again::Altered);
    assert_eq!(window.take_spoiled(), None, "it is still being read");
    assert_eq!(
        window.arrived(chunk("100:100:", &["a"], 7)),
        Err(Again::Altered)
    );
    window.open(TABLE);
    assert_eq!(window.arrived(chunk("100:100:", &["a"], 7)), Ok(()));
    window.spoil(Again::KeyMissing);
    assert!(!window.is_due(Lsn(7)));
    assert_eq!(window.take_spoiled(), Some(Again::KeyMissing));
    assert!(!window.watches(TABLE));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut window = Window::new(100);
    for xid in 0..STREAMED_MAX + 10 {
        window.begin(u32::try_from(xid).unwrap() + 100);
    }
    assert_eq!(window.streamed.len(), STREAMED_MAX);
    window.open(TABLE);
    let all = chunk("70000:70000:", &[], 7);
    assert_eq!(window.arrived(all), Ok(()));
    assert_eq!(window.streamed.len(), 1);
}

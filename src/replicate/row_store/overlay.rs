//! `Overlay`: changes of the store that are not in its file yet, oldest first. Pure.
//!
//! ```text
//!   written │ in Kafka, or told of there before │ published now │ in the filling batch
//!           ▲ base                              ▲ released      ▲ sealed           ▲ end
//! ```
//!
//! Reads go to the last change of a key, writes take the changes up to the released one, so the file is never
//! ahead of what Kafka has committed. Both are a hash and a copy; a change costs no allocation of its own.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use hashbrown::HashTable;

/// Changes in their order.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Keys and values of all entries, in their order.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Number of the first entry.
    base: u64,
    /// The last entry of each key.
    latest: HashTable<u64>,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Range<usize>,
    /// Up to where the value goes on after the key; `None`: the key is removed.
    value_end: Option<usize>,
    /// A later entry has the same key.
    superseded: Option<u64>,
}

/// What the overlay has of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Nothing: ask the file.
    Nothing,
    /// It is removed.
    Removed,
    /// Its value.
    Value(&'a [u8]),
}

impl Overlay {
    /// Number of the first entry.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Number of the entry that comes next.
    pub(super) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Memory of keys and values, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Memory of the entries from that one on, bytes.
    pub(super) fn bytes_from(&self, number: u64) -> usize {
        let entries = self.entries.len() - self.index(number);
        let start = self.start(number);
        self.bytes.len() - start + entries * size_of::<Entry>()
    }

    /// Removes a key, or gives it the value that `write` appends.
    pub(super) fn put(&mut self, key: &[u8], write: Option<impl FnOnce(&mut Vec<u8>)>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key = start..self.bytes.len();
        let value_end = write.map(|write| {
            write(&mut self.bytes);
            self.bytes.len()
        });
        let number = self.end();
        self.entries.push(Entry {
            key: key.clone(),
            value_end,
            superseded: None,
        });
        let (bytes, entries, base) = (&self.bytes, &self.entries, self.base);
        let key_of = |number: u64| key_at(bytes, entries, base, number);
        let hash = self.hasher.hash_one(bytes.get(key.clone()));
        let same = |other: &u64| key_of(*other) == bytes.get(key.clone());
        let rehash = |other: &u64| self.hasher.hash_one(key_of(*other));
        match self.latest.entry(hash, same, rehash) {
            hashbrown::hash_table::Entry::Occupied(mut latest) => {
                let before = std::mem::replace(latest.get_mut(), number);
                let index = usize::try_from(before - base).unwrap_or(usize::MAX);
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.superseded = Some(number);
                }
            }
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(number);
            }
        }
    }

    /// The last change of a key.
    pub(super) fn get(&self, key: &[u8]) -> Found<'_> {
        let hash = self.hasher.hash_one(Some(key));
        let key_of = |number: u64| key_at(&self.bytes, &self.entries, self.base, number);
        let found = self.latest.find(hash, |other| key_of(*other) == Some(key));
        let Some(entry) = found.and_then(|number| self.entries.get(self.index(*number))) else {
            return Found::Nothing;
        };
        let value = entry.value_end.map(|end| entry.key.end..end);
        match value.and_then(|value| self.bytes.get(value)) {
            Some(value) => Found::Value(value),
            None => Found::Removed,
        }
    }

    /// Keys that begin so and have a value, in no order.
    pub(super) fn keys(&self, prefix: &[u8]) -> impl Iterator<Item = &[u8]> {
        let last = self.entries.iter().filter(|entry| {
            let is_last = entry.superseded.is_none();
            is_last && entry.value_end.is_some()
        });
        let keys = last.filter_map(|entry| self.bytes.get(entry.key.clone()));
        keys.filter(move |key| key.starts_with(prefix))
    }

    /// The changes below that entry, each key's last one.
    pub(super) fn until(&self, number: u64) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let entries = self.entries.get(..self.index(number)).unwrap_or_default();
        let last = entries
            .iter()
            .filter(move |entry| entry.superseded.is_none_or(|later| later >= number));
        last.map(|entry| {
            let key = self.bytes.get(entry.key.clone()).unwrap_or_default();
            let value = entry.value_end.map(|end| entry.key.end..end);
            (key, value.and_then(|value| self.bytes.get(value)))
        })
    }

    /// Forgets the changes below that entry.
    pub(super) fn forget_until(&mut self, number: u64) {
        let count = self.index(number);
        let start = self.start(number);
        for (index, entry) in self.entries.iter().take(count).enumerate() {
            if entry.superseded.is_none() {
                let own = self.base + index as u64;
                let hash = self.hasher.hash_one(self.bytes.get(entry.key.clone()));
                if let Ok(latest) = self.latest.find_entry(hash, |other| *other == own) {
                    latest.remove();
                }
            }
        }
        self.entries.drain(..count);
        self.bytes.drain(..start);
        self.base += count as u64;
        for entry in &mut self.entries {
            entry.key = entry.key.start - start..entry.key.end - start;
            entry.value_end = entry.value_end.map(|end| end - start);
        }
    }

    fn index(&self, number: u64) -> usize {
        let index = number.saturating_sub(self.base);
        usize::try_from(index)
            .unwrap_or(usize::MAX)
            .min(self.entries.len())
    }

    /// Where that entry's bytes begin.
    fn start(&self, number: u64) -> usize {
        let entry = self.entries.get(self.index(number));
        entry.map_or(self.bytes.len(), |entry| entry.key.start)
    }
}

fn key_at<'b>(bytes: &'b [u8], entries: &[Entry], base: u64, number: u64) -> Option<&'b [u8]> {
    let entry = entries.get(usize::try_from(number - base).ok()?)?;
    bytes.get(entry.key.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn put(overlay: &mut Overlay, key: &str, value: Option<&str>) {
        let write =
            value.map(|value| move |out: &mut Vec<u8>| out.extend_from_slice(value.as_bytes()));
        overlay.put(key.as_bytes(), write);
    }

    #[test]
    fn the_last_change_of_a_key_is_found_and_the_last_below_a_number_is_written() {
        let mut overlay = Overlay::default();
        put(&mut overlay, "a", Some("1"));
        put(&mut overlay, "b", Some("1"));
        put(&mut overlay, "a", None);
        let sealed = overlay.end();
        put(&mut overlay, "b", Some("2"));
        assert_eq!(overlay.get(b"a"), Found::Removed);
        assert_eq!(overlay.get(b"b"), Found::Value(b"2"));
        assert_eq!(overlay.get(b"c"), Found::Nothing);
        put(&mut overlay, "bc", Some("3"));
        assert_eq!(overlay.keys(b"b").collect::<Vec<_>>(), [&b"b"[..], b"bc"]);
        assert_eq!(overlay.keys(b"a").count(), 0, "it is removed");
        put(&mut overlay, "bc", None);
        let written: Vec<_> = overlay.until(sealed).collect();
        assert_eq!(written, [(&b"b"[..], Some(&b"1"[..])), (&b"a"[..], None)]);
        overlay.forget_until(sealed);
        assert_eq!(overlay.get(b"a"), Found::Nothing);
        assert_eq!(overlay.get(b"b"), Found::Value(b"2"));
        assert_eq!(overlay.bytes(), 7 + 3 * size_of::<Entry>());
        assert_eq!(overlay.bytes_from(overlay.end()), 0);
    }

    /// A file that takes what is released at random moments, under an overlay, is at each of them what a
    /// plain map was when that entry was the last.
    #[test]
    fn file_and_overlay_together_are_a_map() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut overlay = Overlay::default();
        let mut file = BTreeMap::new();
        let mut model = BTreeMap::new();
        let mut past = BTreeMap::new();
        for _ in 0..20_000 {
            let key = format!("k{}", rng.random_range(0..200));
            let value = rng
                .random_bool(0.8)
                .then(|| format!("v{}", rng.random::<u32>()));
            put(&mut overlay, &key, value.as_deref());
            match value {
                Some(value) => model.insert(key.clone(), value),
                None => model.remove(&key),
            };
            past.insert(overlay.end(), model.clone());
            if rng.random_bool(0.02) {
                let number =
                    overlay.end() - rng.random_range(0..20).min(overlay.end() - overlay.base);
                for (key, value) in overlay.until(number) {
                    let key = String::from_utf8(key.to_vec()).unwrap();
                    match value {
                        Some(value) => file.insert(key, String::from_utf8(value.to_vec()).unwrap()),
                        None => file.remove(&key),
                    };
                }
                overlay.forget_until(number);
                if let Some(then) = past.get(&number) {
                    assert_eq!(file, *then);
                }
                past = past.split_off(&number);
            }
            let looked_for = format!("k{}", rng.random_range(0..200));
            let found = match overlay.get(looked_for.as_bytes()) {
                Found::Nothing => file.get(&looked_for).cloned(),
                Found::Removed => None,
                Found::Value(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
            };
            assert_eq!(found.as_ref(), model.get(&looked_for));
        }
    }
}

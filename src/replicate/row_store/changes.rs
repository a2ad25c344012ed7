//! Changes of many keys in one piece of memory, for one write of the file.

/// Keys, each with its new value or none.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    /// Where each change begins, where its value does, and whether it has one.
    places: Vec<(usize, usize, bool)>,
}

impl Changes {
    /// Adds a change.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.places.push((start, middle, value.is_some()));
    }

    /// Adds a new value; nothing, if `write_key` says that there is no key.
    pub(super) fn insert(
        &mut self,
        write_key: impl FnOnce(&mut Vec<u8>) -> bool,
        write_value: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        if !write_key(&mut self.bytes) {
            self.bytes.truncate(start);
            return;
        }
        let middle = self.bytes.len();
        write_value(&mut self.bytes);
        self.places.push((start, middle, true));
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Forgets them, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// In the order of the keys: neighbours in the file are written together.
    pub(super) fn sorted(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        let ends = self.places.iter().skip(1).map(|(start, ..)| *start);
        let ends = ends.chain([self.bytes.len()]);
        let change = |((start, middle, has_value), end): (&(usize, usize, bool), usize)| {
            let key = self.bytes.get(*start..*middle).unwrap_or_default();
            let value = self.bytes.get(*middle..end).unwrap_or_default();
            (key, has_value.then_some(value))
        };
        let mut changes: Vec<_> = self.places.iter().zip(ends).map(change).collect();
        changes.sort_unstable_by_key(|(key, _)| *key);
        changes
    }
}

//! `[row_store]`: where the source's rows are kept, and how many of them.

use super::resolve::Resolver;
use super::settings::{MissingRows, RowStore};
use crate::postgres::Patterns;

/// Least bound of the file, bytes: a database, a write and its predecessor.
const BYTES_MIN: i64 = 64 << 20;
/// Least memory for pages of it, bytes.
const CACHE_BYTES_MIN: i64 = 1 << 20;

/// Resolves it. The outer `None` is a fault, the inner one "switched off".
pub(super) fn row_store(resolver: &mut Resolver<'_>) -> Option<Option<RowStore>> {
    let bytes_max = resolver.number("row_store.bytes_max", BYTES_MIN, 1 << 60);
    let cache_bytes = resolver.number("row_store.cache_bytes", CACHE_BYTES_MIN, 1 << 40);
    let choices = [
        ("refuse", MissingRows::Refuse),
        ("as-sent", MissingRows::AsSent),
    ];
    let missing = resolver.choice("row_store.missing", &choices);
    let tables = resolver.list("row_store.tables")?;
    let tables = Patterns::new(&tables).map_err(|_| {
        resolver.fault("row_store.tables", &tables.join(", "));
    });
    let Some(path) = resolver.text("row_store.path") else {
        let set = [
            "row_store.bytes_max",
            "row_store.cache_bytes",
            "row_store.tables",
            "row_store.missing",
        ];
        let off = resolver.none_is_set(
            &set,
            "row_store.path is not set, so no rows are stored",
            "name a directory there, or remove this key",
        );
        return off.then_some(None);
    };
    if resolver.text("format.transactions").as_deref() == Some("true") {
        resolver.conflict(
            "row_store.path",
            "format.transactions counts again what it had published of a split transaction, from old rows \
             that the store no longer has"
                .to_owned(),
            "set format.transactions = false, or give the tables replica identity full instead of a store",
        );
    }
    Some(Some(RowStore {
        path: path.into(),
        bytes_max: u64::try_from(bytes_max?).ok()?,
        cache_bytes: usize::try_from(cache_bytes?).ok()?,
        tables: tables.ok()?,
        missing: missing?,
    }))
}

//! `[verify]`: the keys of the continuous verification.

use super::{Key, key};

/// Every key of the section.
pub(super) const KEYS: &[Key] = &[
    key(
        "verify.enabled",
        "",
        "true, false",
        "whether `run` verifies continuously; when not set, it does if another key of [verify] is set",
    ),
    key(
        "verify.chunks_per_minute",
        "6",
        "1 to 600",
        "chunks that are verified in a minute, over one table after another",
    ),
    key(
        "verify.chunk_rows",
        "1000",
        "10 to 100000",
        "rows of a chunk; the hours of one store and product are never divided",
    ),
];

//! `[console]`: the keys of the live page.

use super::{Key, key};

/// Every key of the section.
pub(super) const KEYS: &[Key] = &[
    key(
        "console.enabled",
        "",
        "true, false",
        "whether `run` has a console; when not set, it has one if another key of [console] is set",
    ),
    key(
        "console.listen",
        "127.0.0.1:8082",
        "address:port",
        "where the live page is served; whoever reaches it can read, and needs a key to edit",
    ),
    key(
        "console.certificate",
        "",
        "a path",
        "certificate that is shown, with those between it and the root, PEM: with it TLS alone is spoken",
    ),
    key(
        "console.private_key",
        "",
        "a path",
        "private key of that certificate, PEM; both files are read again when they change",
    ),
    key(
        "console.connections_max",
        "100",
        "1 to 10000",
        "most open connections; an open page takes one, and one more for each answer that is under way",
    ),
    key(
        "console.roles",
        "",
        "1 to 16 of address:port, comma-separated or an array",
        "http.listen of the processes whose stages are shown; without it that of this configuration",
    ),
];

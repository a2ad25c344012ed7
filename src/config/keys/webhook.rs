//! `[webhook]`: the keys of the receiver of codes.

use super::{Key, key};

/// Every key of the section.
pub(super) const KEYS: &[Key] = &[
    Key {
        secret: true,
        ..key(
            "webhook.url",
            "",
            "an http:// or https:// URL",
            "where each code is posted to once the promotions topic has it",
        )
    },
    Key {
        secret: true,
        ..key(
            "webhook.secret",
            "",
            "16 to 1000 characters",
            "key that requests are signed with",
        )
    },
    key(
        "webhook.timeout",
        "10s",
        "100ms to 5m",
        "how long the receiver may take for one code",
    ),
    key(
        "webhook.attempts_max",
        "12",
        "1 to 1000",
        "a code is parked after so many attempts",
    ),
    key(
        "webhook.allow_private",
        "false",
        "true, false",
        "whether the receiver may be on this host or in a private network",
    ),
    key(
        "webhook.certificates",
        "",
        "a path",
        "certificates to trust, PEM; the system's without it",
    ),
];

//! `[simulate]`: the keys of the simulated shop.

use super::{Key, key};

/// Every key of the section.
pub(super) const KEYS: &[Key] = &[
    key(
        "simulate.gateway_url",
        "http://127.0.0.1:8081",
        "an http:// or https:// URL",
        "the gateway that the events of simulated shoppers are posted to",
    ),
    Key {
        secret: true,
        ..key(
            "simulate.gateway_key",
            "",
            "a key of tidewater keys create",
            "key with the scope events:write, which they are posted with",
        )
    },
];

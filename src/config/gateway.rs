//! `[gateway]`: where it listens, and its limits.

use super::identity::identity;
use super::keys::KEYS;
use super::resolve::Resolver;
use super::settings::Gateway;

/// Resolves it. `None` only together with faults.
pub(super) fn gateway(resolver: &mut Resolver<'_>) -> Option<Gateway> {
    let enabled = enabled(resolver);
    let listen = resolver.parsed("gateway.listen");
    let identity = identity(resolver, "gateway");
    let mut number = |key: &str, least: i64, most: i64| {
        let number = resolver.number(&format!("gateway.{key}"), least, most);
        number.and_then(|number| usize::try_from(number).ok())
    };
    let events_per_second = number("events_per_second", 1, 1_000_000);
    let events_burst = number("events_burst", 1, 1_000_000);
    let reads_per_second = number("reads_per_second", 1, 1_000_000);
    let batch_events_max = number("batch_events_max", 1, 100_000);
    let body_bytes_max = number("body_bytes_max", 1 << 10, 64 << 20);
    let header_bytes_max = number("header_bytes_max", 8 << 10, 1 << 20);
    let connections_max = number("connections_max", 1, 100_000);
    let events_in_flight_max = number("events_in_flight_max", 1, 1_000_000);
    let bytes_in_flight_max = number("bytes_in_flight_max", 1 << 10, u32::MAX.into());
    let remembered_events = number("remembered_events", 0, 100_000_000);
    let read_connections = number("read_connections", 1, 100);
    let header_timeout = resolver.duration("gateway.header_timeout", "1s", "10m");
    let request_timeout = resolver.duration("gateway.request_timeout", "1s", "10m");
    let acknowledge_timeout = resolver.duration("gateway.acknowledge_timeout", "100ms", "5m");
    let drain_timeout = resolver.duration("gateway.drain_timeout", "0s", "10m");
    at_least(
        resolver,
        "events_burst",
        events_burst,
        "batch_events_max",
        batch_events_max,
    );
    at_least(
        resolver,
        "events_in_flight_max",
        events_in_flight_max,
        "batch_events_max",
        batch_events_max,
    );
    at_least(
        resolver,
        "bytes_in_flight_max",
        bytes_in_flight_max,
        "body_bytes_max",
        body_bytes_max,
    );
    let rate = |number: Option<usize>| u32::try_from(number?).ok()?.try_into().ok();
    Some(Gateway {
        enabled: enabled?,
        listen: listen?,
        identity: identity?,
        events_per_second: rate(events_per_second)?,
        events_burst: rate(events_burst)?,
        reads_per_second: rate(reads_per_second)?,
        batch_events_max: batch_events_max?,
        body_bytes_max: body_bytes_max?,
        header_bytes_max: header_bytes_max?,
        header_timeout: header_timeout?,
        request_timeout: request_timeout?,
        acknowledge_timeout: acknowledge_timeout?,
        drain_timeout: drain_timeout?,
        connections_max: connections_max?,
        events_in_flight_max: events_in_flight_max?,
        bytes_in_flight_max: bytes_in_flight_max?,
        remembered_events: remembered_events?,
        read_connections: read_connections?,
    })
}

/// Whether `run` has one.
fn enabled(resolver: &mut Resolver<'_>) -> Option<bool> {
    if resolver.is_set("gateway.enabled") {
        return resolver.choice("gateway.enabled", &[("true", true), ("false", false)]);
    }
    let mut keys = KEYS.iter().map(|key| key.path);
    Some(keys.any(|path| path.starts_with("gateway.") && resolver.is_set(path)))
}

/// One request must fit into what all of them share.
fn at_least(
    resolver: &mut Resolver<'_>,
    key: &str,
    value: Option<usize>,
    least_key: &str,
    least: Option<usize>,
) {
    if let (Some(value), Some(least)) = (value, least)
        && value < least
    {
        resolver.conflict(
            &format!("gateway.{key}"),
            format!("{value} is less than gateway.{least_key}, {least}"),
            "raise the one or lower the other",
        );
    }
}

//! `[gateway]`: the keys of the HTTP gateway.

use super::{Key, key};

/// Every key of the section.
pub(super) const KEYS: &[Key] = &[
    key(
        "gateway.enabled",
        "",
        "true, false",
        "whether `run` has a gateway; when not set, it has one if another key of [gateway] is set",
    ),
    key(
        "gateway.listen",
        "127.0.0.1:8081",
        "address:port",
        "where applications are served: a listener of its own, apart from metrics and health",
    ),
    key(
        "gateway.certificate",
        "",
        "a path",
        "certificate that is shown, with those between it and the root, PEM: with it TLS alone is spoken",
    ),
    key(
        "gateway.private_key",
        "",
        "a path",
        "private key of that certificate, PEM; both files are read again when they change",
    ),
    key(
        "gateway.events_per_second",
        "1000",
        "1 to 1000000",
        "events that one key may send in a second",
    ),
    key(
        "gateway.events_burst",
        "5000",
        "1 to 1000000, gateway.batch_events_max or more",
        "events that one key may send at once when it has sent none for a while",
    ),
    key(
        "gateway.reads_per_second",
        "100",
        "1 to 1000000",
        "reads that one key may make in a second, and at once",
    ),
    key(
        "gateway.batch_events_max",
        "1000",
        "1 to 100000",
        "most events of one request",
    ),
    key(
        "gateway.body_bytes_max",
        "1048576",
        "1024 to 67108864",
        "longest body of a request",
    ),
    key(
        "gateway.header_bytes_max",
        "16384",
        "8192 to 1048576",
        "longest head of a request",
    ),
    key(
        "gateway.header_timeout",
        "30s",
        "1s to 10m",
        "how long a request's head may take, and how long a connection may be idle",
    ),
    key(
        "gateway.request_timeout",
        "10s",
        "1s to 10m",
        "how long a request's body may take, and a read in the sink",
    ),
    key(
        "gateway.acknowledge_timeout",
        "5s",
        "100ms to 5m",
        "how long Kafka may take to acknowledge an event",
    ),
    key(
        "gateway.drain_timeout",
        "30s",
        "0s to 10m",
        "how long requests that are under way may take once the process is to end",
    ),
    key(
        "gateway.connections_max",
        "1000",
        "1 to 100000",
        "most open connections; more wait to be accepted",
    ),
    key(
        "gateway.events_in_flight_max",
        "20000",
        "1 to 1000000, gateway.batch_events_max or more",
        "most events that wait for Kafka; above it requests are answered 503",
    ),
    key(
        "gateway.bytes_in_flight_max",
        "67108864",
        "1024 to 4294967295, gateway.body_bytes_max or more",
        "most bytes of bodies that are read or wait for Kafka; above it requests are answered 503",
    ),
    key(
        "gateway.remembered_events",
        "300000",
        "0 to 100000000",
        "how many of the newest event ids are known, so that a repeat makes no second record",
    ),
    key(
        "gateway.read_connections",
        "4",
        "1 to 100",
        "connections to the sink for reads",
    ),
];

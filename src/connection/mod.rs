//! How to reach a PostgreSQL server: the connection URL, TLS, and a tokio-postgres client for
//! ordinary queries. The replication client (`postgres`) builds on the same settings.

/// placeholder
#[derive(Clone, Debug)]
pub struct Connection;

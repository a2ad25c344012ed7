//! The lease: a session-level advisory lock named after prefix and slot.
//!
//! It keeps two replicators from taking the stream from each other in turn; it is no fence (Kafka's
//! producer epoch is). "Held" means a round trip that finds our own lock under our own backend.

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::Error;

/// The name that both replicators of one stream agree on.
pub fn lease_name(prefix: &str, slot: &str) -> String {
    format!("{prefix}/{slot}")
}

/// The advisory lock's key: the first eight bytes of a hash, so that foreign locks don't collide.
fn key(name: &str) -> i64 {
    let digest = Sha256::digest(format!("tidewater lease {name}"));
    let first = digest.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// Takes the lease if nobody holds it; it lasts as long as the client's session.
pub async fn try_lease(client: &Client, name: &str) -> Result<bool, Error> {
    if holds_lease(client, name).await? {
        // The lock counts its takers; once is enough.
        return Ok(true);
    }
    let row = client
        .query_one("select pg_try_advisory_lock($1)", &[&key(name)])
        .await;
    Ok(row.map_err(Error::query("taking the lease"))?.get(0))
}

/// Whether this client's own backend holds the lease, by a round trip.
pub async fn holds_lease(client: &Client, name: &str) -> Result<bool, Error> {
    let holder = "select exists (select from pg_locks where pid = pg_backend_pid() and LOCK)";
    let row = client
        .query_one(&holder.replace("LOCK", LOCK), &[&key(name)])
        .await;
    Ok(row.map_err(Error::query("checking the lease"))?.get(0))
}

/// The backend that holds the lease, and its application's name, for messages.
pub async fn lease_holder(client: &Client, name: &str) -> Result<Option<(i32, String)>, Error> {
    let holder = "select pid, coalesce(application_name, '')
                    from pg_locks left join pg_stat_activity using (pid) where LOCK limit 1";
    let row = client
        .query_opt(&holder.replace("LOCK", LOCK), &[&key(name)])
        .await;
    let row = row.map_err(Error::query("finding the lease's holder"))?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// How `pg_locks` shows a granted lock on a 64-bit key, in this database.
const LOCK: &str = "locktype = 'advisory' and granted and objsubid = 1
    and database = (select oid from pg_database where datname = current_database())
    and classid::bigint = ($1::bigint >> 32) & 4294967295
    and objid::bigint = $1::bigint & 4294967295";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_same_in_every_version() {
        // Two versions of tidewater side by side during an upgrade must meet in one lock.
        assert_eq!(
            key(&lease_name("retail", "tidewater")),
            key("retail/tidewater")
        );
        assert_ne!(key("retail/a"), key("retail/b"));
    }
}

//! The lease: an advisory lock on the source, named after prefix and slot.
//!
//! It only prevents that two replicators take the stream from each other in turn; what keeps a second
//! one from publishing is Kafka's producer epoch. "Held" means a round trip that finds our own lock and
//! our own backend.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Error;
use crate::connection::Database;
use crate::postgres;

/// How often a waiting replicator asks again.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often it says that it is waiting, in polls.
const POLLS_PER_NOTICE: u32 = 30;

/// A held lease; given up when the connection is dropped.
pub(crate) struct Lease {
    control: Database,
    name: String,
}

impl Lease {
    /// Waits until the lease is ours. `None`: the shutdown came first.
    pub(crate) async fn acquire(
        control: Database,
        name: String,
        shutdown: &CancellationToken,
    ) -> Result<Option<Lease>, Error> {
        let mut polls = 0_u32;
        loop {
            if postgres::try_lease(&control, &name).await? {
                return Ok(Some(Lease { control, name }));
            }
            if polls.is_multiple_of(POLLS_PER_NOTICE) {
                tracing::warn!(lease = %name, "another replicator holds the lease: waiting for it to end");
            }
            polls += 1;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Proves by a round trip that the lease is still ours.
    pub(crate) async fn prove(&self) -> Result<(), Error> {
        if postgres::holds_lease(&self.control, &self.name).await? {
            Ok(())
        } else {
            Err(Error::LeaseLost {
                name: self.name.clone(),
            })
        }
    }
}

//! Replication: a published table's committed changes become records of its Kafka topic, each once.
//!
//! ```text
//!  source ─▶ stream ─▶ capture ─▶ batch ─▶ publisher ─▶ Kafka
//!    ▲         │ decides with `machine`       │
//!    └ confirm ┴───────── committed ◀─────────┘
//! ```
//!
//! [`run`] owns a thread with a runtime of its own, since reading hot data pauses it for fractions of a
//! millisecond. Each start does everything anew: lease, position, slot; so a transient failure of
//! either side is mended by starting over, and there is one way to resume, not two.

mod ad_hoc;
mod anchor;
mod begin;
mod capture;
mod described;
mod error;
mod fence;
mod heartbeat;
mod history;
mod lease;
mod machine;
mod members;
mod position;
mod primary;
mod publisher;
pub mod recording;
mod resume;
mod routes;
mod row_store;
mod schema;
mod snapshot;
mod start;
mod stored;
mod stream;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use ad_hoc::{Ask, Asked, ask, asked};
pub use error::Error;
pub use position::{Move, Moved, move_position, recorded};
pub use row_store::Error as RowStoreError;

use crate::config::settings::Settings;
use crate::event::Encoding;
use crate::registry::Registry;
use crate::step::{Role, Steps};
use crate::telemetry::{self, Health, Stage};

/// Pause before the first fresh start; doubles up to [`RESTART_PAUSE_MAX`].
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(200);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);
/// An event that stays in a stage for longer than this is stuck.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// What every start needs.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) steps: Steps,
    pub(crate) reading: Stage,
    pub(crate) publishing: Stage,
    pub(crate) shutdown: CancellationToken,
    /// Outlives the starts: what it has said once it is not asked again.
    pub(crate) registry: Option<Arc<Registry>>,
    /// Whether source, brokers and registry have answered once: from then on a failure is an outage.
    pub(crate) reached: AtomicBool,
}

impl Context {
    /// Whether everything has answered once.
    pub(crate) fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

/// Replicates until the shutdown, or until something fails that a fresh start cannot mend.
pub async fn run(
    settings: &Settings,
    health: &Health,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let context = Context {
        settings: settings.clone(),
        steps: Steps::open(&settings.steps, Role::Replicate).map_err(Error::Steps)?,
        reading: health.stage("replicate.read", STUCK_AFTER),
        publishing: health.stage("replicate.publish", STUCK_AFTER),
        shutdown,
        registry: registry(settings)?,
        reached: AtomicBool::new(false),
    };
    let thread = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        runtime.block_on(supervise(&context))
    });
    thread.await.unwrap_or(Err(Error::PublisherEnded))
}

/// The registry, where records are written in what needs one.
fn registry(settings: &Settings) -> Result<Option<Arc<Registry>>, Error> {
    let needed = settings.registry.as_ref();
    let needed = needed.filter(|_| settings.format.encoding == Encoding::Avro);
    Ok(needed.map(Registry::new).transpose()?.map(Arc::new))
}

/// Starts over after each transient failure. Until source and brokers have answered once that is bounded
/// by the configured time, so that a wrong address does not look like a slow start.
async fn supervise(context: &Context) -> Result<(), Error> {
    let patience = context
        .settings
        .source
        .as_ref()
        .map_or(Duration::ZERO, |s| s.start_timeout);
    let began = Instant::now();
    let mut pause = RESTART_PAUSE_MIN;
    loop {
        let (error, started) = match Box::pin(start::session(context)).await {
            Ok(()) => return Ok(()),
            Err(failure) => (failure.error, failure.streamed),
        };
        if started {
            pause = RESTART_PAUSE_MIN;
        }
        context.reading.failed(&error);
        let hopeless = !context.reached.load(Ordering::Relaxed) && began.elapsed() >= patience;
        if !error.is_transient() || hopeless || context.shutdown.is_cancelled() {
            return if context.shutdown.is_cancelled() && error.is_transient() {
                tracing::warn!(error = %telemetry::chain(&error), "ended before the stream was drained");
                Ok(())
            } else {
                Err(error)
            };
        }
        telemetry::restarted();
        tracing::warn!(error = %telemetry::chain(&error), ?pause, "replication interrupted: starting over");
        tokio::select! {
            () = context.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RESTART_PAUSE_MAX),
        }
    }
}

//! One batch, one sink transaction.
//!
//! ```text
//! claim offsets ─▶ load images ─▶ fold ─▶ images, hours, sales ─▶ lock pairs ─▶ habits ─▶ redemptions
//!     └── fewer rows than partitions: fenced                       ─▶ promotions ─▶ positions, commit
//! ```
//!
//! The order is what makes it right: the claim comes first, so that a zombie waits or fails before it
//! writes anything; sales rows and pairs are locked in key order, sales before pairs, so that two
//! instances cannot wait for each other; habits, redemptions and promotions come after the pairs' locks, in new
//! statements, so that they see what the other instance committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, histogram};
use tokio::sync::Notify;
use uuid::Uuid;

use super::change::{Keyed, Table, Whole, WholeKind};
use super::error::Error;
use super::evaluation::{Decided, Policy};
use super::fold::{Fold, Images, Keys, Streamed};
use super::partition::{PartitionId, Topics};
use super::recovery::Recovery;
use super::sequence::{Origin, Stamp, admit_whole};
use super::store::{Advance, Owned, Progress, Sink, Work};
use super::time::Timestamp;
use super::touched::{Touched, Unsettled};
use crate::config::settings::Retail;
use crate::connection::Connection;
use crate::step::Steps;
use crate::telemetry;

/// Records of one sink transaction.
#[derive(Debug)]
pub(super) struct Batch {
    /// Number of the assignment that its partitions are of.
    pub(super) assignment: u64,
    /// What they change.
    pub(super) content: Content,
    /// Offsets that they move.
    pub(super) progress: Vec<Progress>,
    /// Heartbeats that are answered with it.
    pub(super) applied_until: Vec<(PartitionId, Timestamp)>,
    /// When the first record came.
    pub(super) received_at: Instant,
}

/// What a batch changes.
#[derive(Debug)]
pub(super) enum Content {
    /// Rows, in the order of their partitions.
    Keyed(Vec<Keyed>),
    /// All keys of one partition.
    Whole(Whole),
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is committed.
    Applied,
    /// The partitions are another consumer's: nothing was written.
    Fenced,
}

/// Applies batches of the partitions that it owns.
#[derive(Debug)]
pub(super) struct Applier {
    connection: Connection,
    sink: Option<Sink>,
    topics: Topics,
    retail: Retail,
    policy: Arc<Policy>,
    /// Told of every commit that issued codes.
    issued: Arc<Notify>,
    /// What is done on a new connection before a code is issued.
    recovery: Recovery,
    steps: Steps,
    owner: Uuid,
    streamed: Streamed,
}

impl Applier {
    /// Owns nothing yet.
    pub(super) fn new(
        connection: Connection,
        topics: Topics,
        retail: Retail,
        issued: Arc<Notify>,
        recovery: Recovery,
        steps: Steps,
    ) -> Self {
        let owner = Uuid::new_v4();
        Applier {
            connection,
            sink: None,
            topics,
            policy: Arc::new(Policy::new(&retail)),
            retail,
            issued,
            recovery,
            steps,
            owner,
            streamed: Streamed::new(),
        }
    }

    /// Takes partitions over under a fresh owner; says where each continues.
    pub(super) async fn own(
        &mut self,
        partitions: &[PartitionId],
    ) -> Result<BTreeMap<PartitionId, i64>, Error> {
        let owner = Uuid::new_v4();
        let (topics, mapping) = (self.topics.clone(), Arc::clone(&self.retail.mapping));
        let sink = self.sink().await?;
        let owned = match sink.own(&topics, partitions, owner, &mapping).await {
            Ok(owned) => owned,
            Err(error) => {
                // The next attempt begins on a new connection.
                self.sink = None;
                return Err(error);
            }
        };
        self.owner = owner;
        self.streamed = Streamed::new();
        self.keep(&owned);
        Ok(owned
            .into_iter()
            .map(|(id, owned)| (id, owned.next_offset))
            .collect())
    }

    /// Tries once to apply the batch. After a transient error the same batch may be tried again.
    pub(super) async fn apply(&mut self, batch: &Batch) -> Result<Outcome, Error> {
        let began = Instant::now();
        let result = self.transact(batch).await;
        match result {
            Ok(Outcome::Applied) => {
                histogram!(telemetry::SINK_TRANSACTION_SECONDS).record(began.elapsed());
                measure(batch);
            }
            Ok(Outcome::Fenced) => {}
            // Whatever the transaction held is unknown: the next attempt begins on a new connection.
            Err(_) => self.sink = None,
        }
        result
    }

    async fn sink(&mut self) -> Result<&mut Sink, Error> {
        if self.sink.is_none() {
            let sink = Sink::connect(&self.connection).await?;
            self.recovery.complete().await?;
            self.sink = Some(sink);
        }
        self.sink.as_mut().ok_or(Error::Damaged {
            what: "no connection",
        })
    }

    fn keep(&mut self, owned: &[(PartitionId, Owned)]) {
        let positions = owned
            .iter()
            .filter_map(|(id, owned)| Some((*id, owned.streamed?)));
        self.streamed.extend(positions);
    }

    async fn transact(&mut self, batch: &Batch) -> Result<Outcome, Error> {
        let (owner, topics, retail) = (self.owner, self.topics.clone(), self.retail.clone());
        let (stood, steps) = (self.streamed.clone(), self.steps.clone());
        let policy = Arc::clone(&self.policy);
        steps.at("aggregate.begin");
        let work = self.sink().await?.begin().await?;
        match work.advance(&topics, &batch.progress, owner).await? {
            Advance::Moved => {}
            Advance::AlreadyApplied(owned) => {
                drop(work);
                self.keep(&owned);
                return Ok(Outcome::Applied);
            }
            Advance::Fenced => return Ok(Outcome::Fenced),
        }
        let Written {
            streamed,
            touched,
            unsettled,
            repeats,
        } = match &batch.content {
            Content::Keyed(changes) => {
                keyed(&work, changes, stood.clone(), &retail, &steps).await?
            }
            Content::Whole(change) => whole(&work, &topics, change, stood.clone(), &retail).await?,
        };
        // Before the decisions, which need to know how fresh the state is.
        work.write_applied_until(&topics, &batch.applied_until)
            .await?;
        let decided = finish(&work, &touched, &unsettled, &policy, &steps).await?;
        let moved: Vec<_> = streamed
            .iter()
            .filter(|(id, position)| stood.get(id) != Some(position))
            .map(|(id, position)| (*id, *position))
            .collect();
        work.write_streamed(&topics, &moved).await?;
        steps.at("aggregate.commit");
        work.commit().await?;
        steps.at("aggregate.committed");
        self.streamed = streamed;
        counter!(telemetry::RECORDS_REPEATED).increment(repeats);
        if decided.issued > 0 {
            self.issued.notify_one();
        }
        // Should it fail, the next attempt finds the batch applied, and the sweep what was missed.
        let missed = self.sink().await?.issue_missed(&policy, &decided.born);
        if missed.await? > 0 {
            self.issued.notify_one();
        }
        Ok(Outcome::Applied)
    }
}

/// What a batch wrote.
struct Written {
    streamed: Streamed,
    touched: Touched,
    unsettled: Unsettled,
    repeats: u64,
}

async fn keyed(
    work: &Work<'_>,
    changes: &[Keyed],
    streamed: Streamed,
    retail: &Retail,
    steps: &Steps,
) -> Result<Written, Error> {
    let keys = Keys::of(changes);
    let images = Images {
        levels: work.levels(&keys.pairs).await?,
        orders: work.orders(&keys.orders).await?,
        customers: work.customers(&keys.customers).await?,
    };
    let mut fold = Fold::new(images, streamed, retail.retract_deleted_orders);
    for change in changes {
        fold.apply(change);
    }
    steps.at("aggregate.write");
    work.write_levels(&fold.levels()).await?;
    work.write_orders(&fold.orders()).await?;
    work.write_customers(&fold.customers()).await?;
    work.write_stock_hours(fold.hours()).await?;
    work.write_sales(fold.sales()).await?;
    Ok(Written {
        repeats: fold.repeats(),
        streamed: fold.streamed().clone(),
        touched: fold.touched().clone(),
        unsettled: fold.unsettled(),
    })
}

async fn whole(
    work: &Work<'_>,
    topics: &Topics,
    change: &Whole,
    mut streamed: Streamed,
    retail: &Retail,
) -> Result<Written, Error> {
    let partition = PartitionId {
        table: change.table,
        partition: change.stamp.partition,
    };
    let (mut touched, mut unsettled) = (Touched::default(), Unsettled::default());
    let mut position = streamed.get(&partition).copied();
    let news = admit_whole(&mut position, &change.stamp);
    if news {
        work.apply_whole(change, retail.retract_deleted_orders, &mut touched)
            .await?;
        if change.table == Table::Orders {
            unsettled = work.carriers(change.stamp.partition).await?;
        }
    }
    if let Some(position) = position {
        streamed.insert(partition, position);
    }
    if change.kind == WholeKind::SnapshotEnd {
        work.write_snapshot_ended(topics, partition).await?;
    }
    Ok(Written {
        streamed,
        touched,
        unsettled,
        repeats: u64::from(!news),
    })
}

/// Locks, then what must see other instances' commits: habits, redemptions, and the promotion rules, which
/// ask what is redeemed.
async fn finish(
    work: &Work<'_>,
    touched: &Touched,
    unsettled: &Unsettled,
    policy: &Policy,
    steps: &Steps,
) -> Result<Decided, Error> {
    if !touched.is_empty() {
        work.lock_pairs(touched).await?;
        work.write_habits(touched).await?;
    }
    work.settle(policy, unsettled).await?;
    if touched.is_empty() {
        return Ok(Decided::default());
    }
    steps.at("aggregate.decide");
    work.evaluation(policy).await?.decide(touched).await
}

fn measure(batch: &Batch) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let latency = |stamp: &Stamp| {
        let committed =
            std::time::Duration::from_micros(u64::try_from(stamp.at.micros()).unwrap_or(0));
        if stamp.origin == Origin::Streamed {
            histogram!(telemetry::COMMIT_TO_APPLIED_SECONDS).record(now.saturating_sub(committed));
        }
    };
    match &batch.content {
        Content::Keyed(changes) => {
            for change in changes {
                latency(&change.stamp);
            }
            histogram!(telemetry::RETAIL_BATCH_RECORDS).record(changes.len() as f64);
            counter!(telemetry::RECORDS_APPLIED).increment(changes.len() as u64);
        }
        Content::Whole(change) => {
            latency(&change.stamp);
            histogram!(telemetry::RETAIL_BATCH_RECORDS).record(1.0);
            counter!(telemetry::RECORDS_APPLIED).increment(1);
        }
    }
}

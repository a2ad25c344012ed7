//! The publisher: a thread that turns closed batches into Kafka transactions.
//!
//! ```text
//! begin ─▶ events ─▶ position record ─▶ commit ─▶ outcome to the stream
//!   ▲          │ abortable                 │ time-out: the same commit again, never an abort
//!   └── abort ─┘                           └ fatal, stuck: ambiguous, see `recover`
//! ```
//!
//! The one subtle rule: librdkafka reports its own transaction time-out and a true fencing with the same
//! fatal error. So the stream first proves that the lease is still ours; then the producer is recreated,
//! which fences every other one, and the last committed position is read *before anything is produced*.
//! It is either the one acknowledged before (the kept batch is sent again), or the kept batch's own (it
//! was committed after all), or somebody else's: then this process has lost its place, and says so.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::tables::NewTopic;
use crate::config::settings::{Delivery, Kafka};
use crate::event::Batch;
use crate::kafka::{self, Entry, Isolation, PositionRecord, Producer, Reader};
use crate::step::Steps;
use crate::telemetry;

/// The position topic's index; the topics of the batches' records follow from 1.
pub(crate) const POSITION_TOPIC: u32 = 0;
/// Pause before a failed transaction is tried again; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long opening a producer and reading the position are tried again on the same handles: after that
/// a fresh start has new ones.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long one call into librdkafka may block before the shutdown flag is looked at again.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a commit or an abort may take while the brokers answer others: longer than any pause that
/// librdkafka makes between two attempts of its own.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// A closed batch with the position it ends at.
#[derive(Debug)]
pub(crate) struct Job {
    /// The records; empty when only progress is recorded.
    pub(crate) batch: Batch,
    /// Committed in the same Kafka transaction as the records.
    pub(crate) record: PositionRecord,
    /// Topics that the batch's topic indexes name for the first time, in the order of their indexes.
    pub(crate) new_topics: Vec<NewTopic>,
    /// What else is recorded in the transaction, or removed.
    pub(crate) entries: Vec<Entry>,
    /// Commit times of the source transactions in the batch, microseconds since 1970.
    pub(crate) commit_times_us: Vec<i64>,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Committed; the job comes back so that its memory is used again.
    Committed(Box<Job>),
    /// A fatal client error: fenced, or timed out. Decided by [`Publisher::recover`].
    Ambiguous(Box<Job>),
    /// The publisher has ended.
    Failed(Error),
}

enum Command {
    Publish(Box<Job>),
    Recover(Box<Job>),
}

/// The stream's side of the publisher thread.
#[derive(Debug)]
pub(crate) struct Publisher {
    commands: Option<SyncSender<Command>>,
    outcomes: UnboundedReceiver<Outcome>,
    thread: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Publisher {
    /// Starts the thread. `acknowledged` is the last committed record, `None` before the first.
    pub(crate) fn start(
        mut transactions: Transactions,
        acknowledged: Option<PositionRecord>,
    ) -> Result<Publisher, Error> {
        let (commands, jobs) = sync_channel(1);
        let (results, outcomes) = unbounded_channel();
        // From here on only the stream's end stops it: a shutdown lets it finish what it has begun.
        let stop = CancellationToken::new();
        transactions.stop = stop.clone();
        let worker = Worker {
            transactions,
            acknowledged,
            results,
        };
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || worker.run(&jobs))
            .map_err(Error::Thread)?;
        Ok(Publisher {
            commands: Some(commands),
            outcomes,
            thread: Some(thread),
            stop,
        })
    }

    /// Hands over a closed batch. At most one may be under way.
    pub(crate) fn publish(&self, job: Job) {
        self.command(Command::Publish(Box::new(job)));
    }

    /// Settles an ambiguous job. The caller has just proved that the lease is still held.
    pub(crate) fn recover(&self, job: Box<Job>) {
        self.command(Command::Recover(job));
    }

    fn command(&self, command: Command) {
        // A send fails only after the thread has ended, and then its outcome says why.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }

    /// The next outcome. Cancel-safe.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        self.outcomes
            .recv()
            .await
            .unwrap_or(Outcome::Failed(Error::PublisherEnded))
    }

    /// Publishes one job and waits for it: for the few records around a snapshot.
    pub(crate) async fn publish_and_wait(&mut self, job: Job) -> Result<Box<Job>, Error> {
        self.publish(job);
        match self.outcome().await {
            Outcome::Committed(job) => Ok(job),
            Outcome::Ambiguous(_) => Err(Error::Interrupted),
            Outcome::Failed(error) => Err(error),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.cancel();
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook; there is nothing left to undo.
            let _ = thread.join();
        }
    }
}

struct Worker {
    transactions: Transactions,
    acknowledged: Option<PositionRecord>,
    results: UnboundedSender<Outcome>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Command>) {
        while let Ok(command) = jobs.recv() {
            let outcome = match command {
                Command::Publish(job) => self.publish(job),
                Command::Recover(job) => self.recover(job),
            };
            let ended = matches!(outcome, Outcome::Failed(_));
            if self.results.send(outcome).is_err() || ended {
                return;
            }
        }
    }

    fn publish(&mut self, mut job: Box<Job>) -> Outcome {
        if let Err(error) = self.transactions.meet(&job.new_topics) {
            return Outcome::Failed(error);
        }
        let batch = Arc::new(std::mem::take(&mut job.batch));
        let mark = Mark {
            position: Some(&job.record),
            new_topics: &job.new_topics,
            entries: &job.entries,
        };
        let result = self.transactions.commit(&batch, mark);
        // The producer keeps a clone until nothing of the batch is in flight. After a commit it keeps
        // none; after a fatal error the records are copied for the producer that comes next.
        job.batch = Arc::try_unwrap(batch).unwrap_or_else(|shared| shared.duplicate());
        match result {
            Ok(()) => self.committed(job),
            Err(Error::Kafka(error)) if error.is_ambiguous() => {
                tracing::warn!(error = %error, "producer is fenced or timed out: checking the lease");
                Outcome::Ambiguous(job)
            }
            Err(error) => Outcome::Failed(error),
        }
    }

    fn committed(&mut self, mut job: Box<Job>) -> Outcome {
        job.new_topics.clear();
        self.acknowledged = Some(job.record.clone());
        Outcome::Committed(job)
    }

    fn recover(&mut self, job: Box<Job>) -> Outcome {
        let committed = match self.transactions.restart() {
            Ok(committed) => committed,
            Err(error) => return Outcome::Failed(error),
        };
        if committed == self.acknowledged {
            self.publish(job)
        } else if committed.as_ref() == Some(&job.record) {
            self.committed(job)
        } else {
            Outcome::Failed(Error::PositionMoved {
                expected: self.acknowledged.as_ref().map(PositionRecord::position),
                found: committed.as_ref().map(PositionRecord::position),
            })
        }
    }
}

/// What is recorded in the transaction of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark<'a> {
    position: Option<&'a PositionRecord>,
    new_topics: &'a [NewTopic],
    entries: &'a [Entry],
}

impl<'a> Mark<'a> {
    /// A position, and what else is recorded or removed with it.
    pub(crate) fn position(position: &'a PositionRecord, entries: &'a [Entry]) -> Self {
        Mark {
            position: Some(position),
            new_topics: &[],
            entries,
        }
    }
}

/// The Kafka transactions of one transactional id.
#[derive(Debug)]
pub(crate) struct Transactions {
    kafka: Kafka,
    transactional_id: String,
    producer: Option<Producer>,
    /// The position topic is the first; the others follow in the order of the batches' indexes.
    topics: Vec<String>,
    position_topic: String,
    steps: Steps,
    stop: CancellationToken,
}

impl Transactions {
    /// Opens the producer and fences every other one with this id.
    pub(crate) fn open(
        kafka: &Kafka,
        transactional_id: String,
        position_topic: String,
        steps: Steps,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let mut transactions = Transactions {
            kafka: kafka.clone(),
            transactional_id,
            producer: None,
            topics: Vec::new(),
            position_topic,
            steps,
            stop,
        };
        transactions.connect()?;
        Ok(transactions)
    }

    /// Makes topics known, so that `Record::topic` names them by index.
    pub(crate) fn register(&mut self, new_topics: &[String]) -> Result<(), Error> {
        for name in new_topics {
            let index = producer(&mut self.producer)?.topic(name)?;
            debug_assert_eq!(
                index as usize,
                self.topics.len() + 1,
                "topic indexes are dense"
            );
            self.topics.push(name.clone());
        }
        if !new_topics.is_empty() {
            producer(&mut self.producer)?.await_topics(CALL_TIMEOUT)?;
        }
        Ok(())
    }

    /// As [`Transactions::register`], for those of them that are not known yet: a batch that is sent
    /// again brings its topics again.
    fn meet(&mut self, new_topics: &[NewTopic]) -> Result<(), Error> {
        let unknown = |topic: &&NewTopic| !self.topics.contains(&topic.name);
        let names: Vec<String> = new_topics
            .iter()
            .filter(unknown)
            .map(|topic| topic.name.clone())
            .collect();
        self.register(&names)
    }

    /// Commits a batch that carries no position but progress of its own, and gives its memory back.
    pub(crate) fn publish(&mut self, batch: Batch, entries: &[Entry]) -> Result<Batch, Error> {
        let batch = Arc::new(batch);
        let mark = Mark {
            position: None,
            new_topics: &[],
            entries,
        };
        if let Err(error) = self.commit(&batch, mark) {
            // Fenced or timed out, which look alike: a fresh start finds out what was committed.
            let ambiguous = matches!(&error, Error::Kafka(kafka) if kafka.is_ambiguous());
            return Err(if ambiguous { Error::Interrupted } else { error });
        }
        let mut batch = Arc::try_unwrap(batch).unwrap_or_default();
        batch.clear();
        Ok(batch)
    }

    fn connect(&mut self) -> Result<(), Error> {
        // The old handle goes first: it still points into its batch.
        self.producer = None;
        let mut fresh = match self.kafka.delivery {
            Delivery::ExactlyOnce => Producer::transactional(&self.kafka, &self.transactional_id)?,
            Delivery::AtLeastOnce => Producer::idempotent(&self.kafka)?,
        };
        if self.kafka.delivery == Delivery::ExactlyOnce {
            self.steps.at("start.init-transactions");
            self.retry(|| fresh.init_transactions(CALL_TIMEOUT))?;
        }
        let index = fresh.topic(&self.position_topic)?;
        debug_assert_eq!(index, POSITION_TOPIC, "the position topic comes first");
        for name in &self.topics {
            fresh.topic(name)?;
        }
        self.retry(|| fresh.await_topics(CALL_TIMEOUT))?;
        self.producer = Some(fresh);
        Ok(())
    }

    /// Recreates the producer and reads the last committed position.
    fn restart(&mut self) -> Result<Option<PositionRecord>, Error> {
        self.connect()?;
        let (kafka, topic) = (&self.kafka, &self.position_topic);
        self.retry(|| kafka::read_last_committed(kafka, topic))
    }

    /// Commits the batch and its position, trying again for as long as the failure is passing.
    pub(crate) fn commit(&mut self, batch: &Arc<Batch>, mark: Mark<'_>) -> Result<(), Error> {
        let stop = self.stop.clone();
        let mut backoff = Backoff::new(&stop);
        loop {
            let failure = match self.attempt(batch, mark) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if failure.is_ambiguous() || !(failure.is_abortable() || failure.is_transient()) {
                return Err(failure.into());
            }
            if self.stop.is_cancelled() {
                // A commit that has timed out may yet succeed, and must not be aborted.
                return Err(Error::Interrupted);
            }
            tracing::warn!(error = %failure, "kafka transaction failed: aborting, then again");
            telemetry::transaction_aborted();
            if self.kafka.delivery == Delivery::ExactlyOnce {
                let producer = producer(&mut self.producer)?;
                let answers = || answers(&self.kafka, &self.position_topic);
                resume(&self.stop, STUCK_AFTER, answers, || {
                    producer.abort(CALL_TIMEOUT)
                })?;
            }
            backoff.wait(&failure)?;
        }
    }

    fn attempt(&mut self, batch: &Arc<Batch>, mark: Mark<'_>) -> Result<(), kafka::Error> {
        let Some(producer) = self.producer.as_mut() else {
            return Err(kafka::Error::Closed);
        };
        let exactly_once = self.kafka.delivery == Delivery::ExactlyOnce;
        if exactly_once {
            self.steps.at("publish.before-begin");
            producer.begin()?;
        }
        self.steps.at("publish.begun");
        producer.publish(batch)?;
        self.steps.at("publish.mid-produce");
        if !exactly_once {
            producer.flush(CALL_TIMEOUT)?;
        }
        mark.send(producer)?;
        self.steps.at("publish.before-commit");
        if exactly_once {
            let answers = || answers(&self.kafka, &self.position_topic);
            resume(&self.stop, STUCK_AFTER, answers, || {
                producer.commit(CALL_TIMEOUT)
            })?;
        } else {
            producer.flush(CALL_TIMEOUT)?;
        }
        self.steps.at("publish.committed");
        Ok(())
    }

    fn retry<T>(&self, mut call: impl FnMut() -> Result<T, kafka::Error>) -> Result<T, Error> {
        let (mut backoff, began) = (Backoff::new(&self.stop), Instant::now());
        loop {
            match call() {
                Err(error) if error.is_transient() && began.elapsed() < RETRY_MAX => {
                    tracing::warn!(%error, "kafka does not answer yet: trying again");
                    backoff.wait(&error)?;
                }
                result => return result.map_err(Error::from),
            }
        }
    }
}

impl Mark<'_> {
    /// The position last: who sees it finds the others.
    fn send(&self, producer: &mut Producer) -> Result<(), kafka::Error> {
        for topic in self.new_topics {
            if let Some(record) = &topic.record {
                let (key, value) = record.to_bytes(&topic.name);
                send(producer, &key, Some(&value))?;
            }
        }
        for entry in self.entries {
            send(producer, &entry.key, entry.value.as_deref())?;
        }
        if let Some(position) = self.position {
            let (key, value) = position.to_bytes();
            send(producer, &key, Some(&value))?;
        }
        Ok(())
    }
}

/// Sends a record to the position topic.
fn send(producer: &mut Producer, key: &[u8], value: Option<&[u8]>) -> Result<(), kafka::Error> {
    producer.send(POSITION_TOPIC, Some(0), Some(key), value)
}

fn producer(slot: &mut Option<Producer>) -> Result<&mut Producer, Error> {
    slot.as_mut().ok_or(Error::Kafka(kafka::Error::Closed))
}

/// Repeats a call that timed out: librdkafka goes on where it was.
///
/// After a broker has been stopped for longer than its session librdkafka was seen to look for the
/// transaction coordinator no more, for ever. So once the calls have taken `patience` although the brokers
/// answer another client, that is what is said, and another producer finds out what became of it.
fn resume(
    stop: &CancellationToken,
    patience: Duration,
    answers: impl Fn() -> bool,
    mut call: impl FnMut() -> Result<(), kafka::Error>,
) -> Result<(), kafka::Error> {
    let began = Instant::now();
    loop {
        match call() {
            Err(kafka::Error::Timeout { call, source }) if !stop.is_cancelled() => {
                let waited = began.elapsed();
                if waited >= patience && answers() {
                    return Err(kafka::Error::Stuck {
                        call,
                        waited,
                        source,
                    });
                }
            }
            result => return result,
        }
    }
}

/// Whether the brokers answer a client that is new to them.
fn answers(kafka: &Kafka, topic: &str) -> bool {
    Reader::offsets(kafka, topic, 0, Isolation::Uncommitted, CALL_TIMEOUT).is_ok()
}

/// Waits between attempts, and not at all once the process is to stop.
struct Backoff<'a> {
    stop: &'a CancellationToken,
    pause: Duration,
}

impl<'a> Backoff<'a> {
    fn new(stop: &'a CancellationToken) -> Self {
        Backoff {
            stop,
            pause: BACKOFF_MIN,
        }
    }

    fn wait(&mut self, cause: &kafka::Error) -> Result<(), Error> {
        let until = Instant::now() + self.pause;
        tracing::debug!(error = %cause, pause = ?self.pause, "waiting before the next attempt");
        while Instant::now() < until {
            if self.stop.is_cancelled() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(BACKOFF_MIN.min(until.saturating_duration_since(Instant::now())));
        }
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT as TIMED_OUT;

    use super::*;
    use crate::kafka::ClientError;

    fn timeout() -> Result<(), kafka::Error> {
        Err(kafka::Error::Timeout {
            call: "abort_transaction",
            source: ClientError::new(TIMED_OUT, "timed out".to_owned()),
        })
    }

    #[test]
    fn a_call_is_resumed_until_the_brokers_answer_others() {
        let stop = CancellationToken::new();
        let (calls, asked) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let call = || {
            calls.set(calls.get() + 1);
            timeout()
        };
        let answers = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        let stuck = resume(&stop, Duration::ZERO, answers, call).unwrap_err();
        assert!(stuck.is_ambiguous(), "{stuck}");
        assert_eq!((calls.get(), asked.get()), (3, 3));
    }

    #[test]
    fn nobody_is_asked_before_the_patience_is_at_an_end() {
        let stop = CancellationToken::new();
        let calls = std::cell::Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            if calls.get() < 5 { timeout() } else { Ok(()) }
        };
        resume(&stop, Duration::from_mins(1), || unreachable!(), call).unwrap();
        assert_eq!(calls.get(), 5);
    }
}

//! A start: lease, identity, fence, position, slot — in this order, each for a reason.
//!
//! 1. The lease first, so that two replicators do not fence each other in turn.
//! 2. The last committed record, possibly stale, tells whether this is the source it was written for: a
//!    foreign source is refused before anybody is fenced, and so are topics that are not the ones that
//!    events went to.
//! 3. `init_transactions` ends whatever a predecessor had under way; only then is the position read that
//!    streaming starts from.
//! 4. A walsender that a dead predecessor left on the slot is terminated, now that the lease is ours.
//! 5. After START_REPLICATION, and before the first status, the slot is read again: if it is past our
//!    position the server has skipped data without a word.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ad_hoc::AdHoc;
use super::capture::{Capture, MessageTopic, Point};
use super::fence::Fences;
use super::lease::Lease;
use super::machine::{Limits, Progress};
use super::members::{self, News, Relistings, Watch};
use super::publisher::{Publisher, Transactions};
use super::resume::{self, PositionFound, SlotFound, Start};
use super::stored::Stored;
use super::stream::{Loop, Stream};
use super::tables::{Tables, Topic};
use super::{Context, Error, heartbeat, history, primary};
use crate::config::settings::{Delivery, Format, Kafka, Settings, Source, Truncate, Values};
use crate::connection::{self, Connection, Database};
use crate::event::selection::digest;
use crate::event::{self, Encoder, Epoch, Lsn, SourceName, TruncateFormat, ValueFormat};
use crate::kafka::{
    self, AdHocRecords, Admin, MemberRecords, PositionRecord, Recorded, SnapshotProgress,
    SnapshotRecords, TopicSpec, topics,
};
use crate::postgres::{
    self, Patterns, Publication, PublishedTable, ReplicationStream, Server, Session, SessionKind,
    SystemIdentity, TableName,
};

/// First epoch of a source.
const FIRST_EPOCH: Epoch = 1;
/// How long a broker may take to answer the first question.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

/// A session that failed.
pub(super) struct Failure {
    /// Why.
    pub(super) error: Error,
    /// Whether it had come as far as streaming.
    pub(super) streamed: bool,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure {
            error: error.into(),
            streamed: false,
        }
    }
}

/// One session: starts, and streams until the shutdown or a failure.
pub(super) async fn session(context: &Context) -> Result<(), Failure> {
    let Some(mut opening) = Opening::open(context).await? else {
        return Ok(());
    };
    opening.tables.read_schemas()?;
    let Some(point) = opening.begin().await? else {
        return Ok(());
    };
    let (news, received) = unbounded_channel();
    let watch = opening.watch(news)?;
    let mut stream = opening.stream(point, received).await?;
    tracing::info!(resume = %point.resume, split = point.is_split(), "streaming");
    let result = tokio::select! {
        result = stream.run(&context.shutdown) => result,
        error = heartbeat::run(context.source()?) => Err(error),
        error = watch.run() => Err(error),
    };
    if result.is_ok() {
        // Whoever comes next finds the slot free. Everything is confirmed already.
        if let Err(error) = stream.source.close().await {
            tracing::debug!(%error, "the stream was not closed in order");
        }
    }
    result.map_err(|error| Failure {
        error,
        streamed: true,
    })
}

/// What a start has gathered.
pub(super) struct Opening<'a> {
    pub(super) context: &'a Context,
    pub(super) lease: Lease,
    pub(super) session: Session,
    pub(super) identity: SystemIdentity,
    /// The primary to write to, if the source is a standby.
    pub(super) primary: Option<&'a Connection>,
    pub(super) publication: Publication,
    pub(super) tables: Tables,
    pub(super) heartbeat: Topic,
    /// Where changes are told of that are too large; without it they end replication.
    pub(super) passed_over: Option<u32>,
    pub(super) publisher: Publisher,
    pub(super) position_topic: String,
    /// The last record committed, or the one that the first will follow.
    pub(super) record: PositionRecord,
    /// What is recorded of a snapshot that the record says is under way, or not yet passed.
    pub(super) progress: SnapshotRecords,
    /// What is recorded of ad hoc snapshots.
    pub(super) ad_hoc: AdHocRecords,
    /// What is recorded of the publication's tables.
    pub(super) members: MemberRecords,
    /// Those that got another column list, with what had put them into the publication before.
    relisted: HashMap<u32, String>,
    relistings: Relistings,
    /// Tables of the publication that are read.
    pub(super) known: HashSet<u32>,
    pub(super) found: PositionFound,
    /// The row store that goes on, or has begun.
    pub(super) stored: Option<Stored>,
}

impl<'a> Opening<'a> {
    /// Gathers it. `None`: the shutdown came while the lease was held by another.
    async fn open(context: &'a Context) -> Result<Option<Self>, Error> {
        let (source, kafka) = (context.source()?, context.kafka()?);
        let control = connection::connect(&source.connection).await?;
        let server = inspect(&control, source).await?;
        let admin = Admin::new(kafka)?;
        admin.reach(REACH_TIMEOUT)?;
        context.reach_registry().await?;
        let name = postgres::lease_name(&kafka.prefix, &source.slot);
        let Some(lease) = Lease::acquire(control, name, &context.shutdown).await? else {
            return Ok(None);
        };
        context.steps.at("start.leased");

        let mut session = open_session(source).await?;
        let identity = postgres::identify_system(&mut session).await?;
        let catalog = connection::connect(&source.connection).await?;
        let patterns = Patterns::new(&source.tables).map_err(Error::Patterns)?;
        let writer = primary::of(source, &server);
        let (publication, relisted, relistings) =
            publish(context, writer, &catalog, &patterns).await?;

        let position_topic = topics::position(&kafka.prefix, &source.slot);
        admin
            .ensure_topic(&TopicSpec::position(kafka, position_topic.clone()))
            .await?;
        let stale = kafka::read_recorded_now(kafka, &position_topic)?;
        check_source(stale.position.as_ref(), &identity, &position_topic)?;
        let mut tables = Tables::new(context, patterns, admin, catalog, stale.topics)?;
        tables.schema_topic().await?;
        let passed_over = tables.passed_over_topic().await?.map(|topic| topic.index);
        let heartbeat = TopicSpec::heartbeat(kafka, topics::heartbeat(&kafka.prefix));
        let heartbeat = tables.topic(heartbeat).await?;
        for TableName { schema, name } in publication.tables.iter().map(|found| &found.table) {
            if !tables.is_outbox(schema, name) {
                tables.table_topic(schema, name).await?;
            }
        }
        let options_hash = options_hash(source, &context.settings);
        let (transactions, recorded) = fence(context, &position_topic)?;
        let last = recorded.position;
        check_source(last.as_ref(), &identity, &position_topic)?;
        if let Some(last) = &last {
            history::check(&mut session, last, &identity, &options_hash).await?;
        }
        context.steps.at("start.fenced");

        let found = position_found(last.as_ref(), identity.timeline, kafka.delivery);
        let publisher = Publisher::start(transactions, last.clone())?;
        let mut record = last.unwrap_or_else(|| first_record(source, &identity));
        (record.timeline, record.options_hash) = (identity.timeline, options_hash);
        Ok(Some(Opening {
            context,
            lease,
            session,
            identity,
            primary: writer,
            publication,
            tables,
            heartbeat,
            passed_over,
            publisher,
            position_topic,
            record,
            progress: recorded.progress,
            ad_hoc: recorded.ad_hoc,
            members: recorded.members,
            relisted,
            relistings,
            known: HashSet::new(),
            found,
            stored: None,
        }))
    }

    /// Creates or resumes. `None`: there is nothing to stream.
    async fn begin(&mut self) -> Result<Option<Point>, Error> {
        let source = self.context.source()?;
        let slot_found = self.find_slot().await?;
        let slot_found = self.open_rows(slot_found)?;
        let start = resume::decide(slot_found, self.found, source.snapshot);
        tracing::info!(?start, slot = %source.slot, "start decided");
        match start {
            Start::Resume(_) => Ok(Some(self.point())),
            Start::Snapshot {
                truncate_first,
                drop_slot,
                new_epoch,
            } => {
                if new_epoch {
                    self.record.epoch += 1;
                }
                if drop_slot {
                    postgres::drop_slot(&mut self.session, &source.slot).await?;
                }
                self.snapshot(&source.slot, false, truncate_first)
                    .await
                    .map(Some)
            }
            Start::SnapshotBesideSlot => {
                self.refuse_filled_topics()?;
                let point = self.snapshot(&temporary_slot(source), true, false).await?;
                postgres::drop_slot(&mut self.session, &temporary_slot(source)).await?;
                Ok(Some(point))
            }
            Start::ResumeSnapshot => {
                let point = self.resume_snapshot(&temporary_slot(source)).await?;
                Ok(Some(point))
            }
            Start::SnapshotOnly => {
                let again = self.found != PositionFound::Missing;
                self.snapshot(&temporary_slot(source), true, again).await?;
                Ok(None)
            }
            Start::StreamExists => Err(Error::StreamExists {
                slot: source.slot.clone(),
            }),
            Start::StreamFromNewSlot => {
                if slot_found != SlotFound::Missing {
                    postgres::drop_slot(&mut self.session, &source.slot).await?;
                }
                let export = postgres::SnapshotExport::Nothing;
                let creation =
                    postgres::create_slot(&mut self.session, &source.slot, false, export);
                let created =
                    primary::logging(self.primary, self.tables.catalog(), creation).await?;
                self.stream_without_snapshot(created.consistent_point)
                    .await
                    .map(Some)
            }
            Start::StreamFromSlot(lsn) => self.stream_without_snapshot(lsn).await.map(Some),
            Start::HistoryLost { from, until } => Err(Error::HistoryLost {
                slot: source.slot.clone(),
                from,
                until: until.map_or_else(|| "the present".to_owned(), |lsn| lsn.to_string()),
            }),
        }
    }

    /// The slot as it is, with nobody reading it.
    async fn find_slot(&self) -> Result<SlotFound, Error> {
        let source = self.context.source()?;
        let slot = postgres::read_slot(self.tables.catalog(), &source.slot).await?;
        if let Some(state) = &slot {
            postgres::check_slot(&source.slot, state)?;
        }
        let found = match &slot {
            None => SlotFound::Missing,
            Some(state) if state.is_lost() => SlotFound::Lost,
            Some(state) => SlotFound::At(state.confirmed_flush_lsn.unwrap_or_default()),
        };
        if slot.is_some() {
            postgres::terminate_walsender(self.tables.catalog(), &source.slot).await?;
        }
        Ok(found)
    }

    /// Where the record says that streaming goes on.
    pub(super) fn point(&self) -> Point {
        Point::of(&self.record)
    }

    fn refuse_filled_topics(&self) -> Result<(), Error> {
        let (source, kafka) = (self.context.source()?, self.context.kafka()?);
        let selection = &self.context.settings.selection;
        let tables = self.publication.tables.iter();
        let topic = |published: &PublishedTable| {
            let TableName { schema, name } = &published.table;
            // What an outbox was routed to before, its rows alone could tell.
            let routed = selection.outbox(schema, name).is_some();
            (!routed).then(|| topics::routed(selection, &kafka.prefix, schema, name))
        };
        // Tables may share a topic.
        let topics: BTreeSet<String> = tables.filter_map(topic).collect();
        for topic in topics {
            if !kafka::Reader::is_empty(kafka, &topic, REACH_TIMEOUT)? {
                return Err(Error::PositionMissing {
                    slot: source.slot.clone(),
                    position_topic: self.position_topic.clone(),
                    topic,
                });
            }
        }
        Ok(())
    }

    /// An encoder for this source and epoch.
    pub(super) fn encoder(&self) -> Result<Encoder, Error> {
        let kafka = self.context.kafka()?;
        let name = SourceName {
            prefix: kafka.prefix.clone(),
            database: self.identity.database.clone(),
        };
        Ok(encoder(
            &self.context.settings,
            &name,
            kafka.message_bytes_max,
        ))
    }

    /// Has standbys keep a copy of the slot, if they are to.
    async fn copy_slot(&mut self) -> Result<(), Error> {
        let source = self.context.source()?;
        if !source.slot_failover {
            return Ok(());
        }
        let catalog = self.tables.catalog();
        if postgres::enable_failover(&mut self.session, catalog, &source.slot).await? {
            tracing::info!(slot = %source.slot, "standbys keep a copy of the slot from now on");
        }
        Ok(())
    }

    /// Watches the publication's tables. A stream that an earlier version began has recorded nothing of them: those
    /// that there are now are known.
    fn watch(&mut self, news: UnboundedSender<News>) -> Result<Watch<'a>, Error> {
        if !self.members.begun {
            let entries = members::know_all(&mut self.members, &self.publication.tables);
            let read = Vec::new();
            // The stream has not begun, and holds the other end.
            let _ = news.send(News { entries, read });
        }
        self.known = members::read(&self.members, &self.ad_hoc);
        let records = std::mem::take(&mut self.members);
        let (source, kafka) = (self.context.source()?, self.context.kafka()?);
        let relisted = std::mem::take(&mut self.relisted);
        let relisted = (relisted, Arc::clone(&self.relistings));
        let settings = &self.context.settings;
        Watch::new(settings, source, &kafka.prefix, records, relisted, news)
    }

    /// Starts the walsender at the point, and checks that it can serve it.
    async fn stream(
        mut self,
        point: Point,
        news: UnboundedReceiver<News>,
    ) -> Result<Stream, Error> {
        let encoder = self.encoder()?;
        let (source, held) = (
            self.context.source()?,
            held_bytes_max(self.context.kafka()?),
        );
        let fences = self.record.fences;
        let fences = fences.map(|record| Fences::new(&record, &self.progress));
        self.copy_slot().await?;
        let rows = self.take_rows().await?;
        // What only the row store lacks is sent again.
        let resume = rows
            .as_ref()
            .map_or(point.resume, |rows| rows.point().resume);
        let mut stream = start_replication(self.session, source, resume).await?;
        stream.set_message_bytes_max(held);
        self.context.steps.at("start.streaming");
        check_not_skipped(&self.tables, source, resume).await?;
        let settings = &self.context.settings;
        let messages = MessageTopic {
            outline: self.tables.messages(&encoder).await?,
            selection: Arc::clone(&settings.selection),
        };
        let transactions = if settings.format.transactions {
            Some(self.tables.transactions(&encoder).await?)
        } else {
            None
        };
        let near = postgres::next_xid(self.tables.catalog()).await?;
        let name = self.lease.name().to_owned();
        let epoch = self.record.epoch;
        let ad_hoc = AdHoc::new(
            name,
            self.context,
            epoch,
            encoder.clone(),
            self.ad_hoc,
            self.passed_over,
        )?;
        let capture = Capture::new(encoder, epoch, self.heartbeat.index, point)
            .fenced(fences)
            .remembering(near)
            .telling(messages)
            .passing_over(self.passed_over)
            .storing(rows)
            .skipping(settings.format.skip);
        let capture = match transactions {
            Some(outline) => capture.counting(outline),
            None => capture,
        };
        let now = Instant::now();
        Ok(Stream {
            ad_hoc,
            source: stream,
            capture,
            tables: self.tables,
            publisher: self.publisher,
            lease: self.lease,
            record: self.record,
            progress: Progress::new(point.resume, now),
            limits: Limits::DEFAULT,
            steps: self.context.steps.clone(),
            reading: self.context.reading.clone(),
            publishing: self.context.publishing.clone(),
            state: Loop::new(now),
            news,
            relistings: self.relistings,
        })
    }
}

impl Context {
    /// The last thing that has to answer before whatever fails is an outage. Later the registry is asked
    /// only for what it has not been asked yet.
    async fn reach_registry(&self) -> Result<(), Error> {
        if let Some(registry) = self.registry.as_ref().filter(|_| !self.reached()) {
            registry.reach().await?;
        }
        self.reached.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// `[source]`
    pub(super) fn source(&self) -> Result<&Source, Error> {
        section(self.settings.source.as_ref(), "source")
    }

    /// `[kafka]`
    pub(super) fn kafka(&self) -> Result<&Kafka, Error> {
        section(self.settings.kafka.as_ref(), "kafka")
    }
}

pub(super) fn section<'s, T>(section: Option<&'s T>, name: &'static str) -> Result<&'s T, Error> {
    section.ok_or(Error::SectionMissing(name))
}

/// Largest message of the server that is held, bytes. A bytea is sent in hexadecimal digits, three for two of
/// its record's; columns that are left out are sent all the same.
pub(super) fn held_bytes_max(kafka: &Kafka) -> usize {
    const HELD_BYTES_MIN: usize = 8 << 20;
    kafka
        .message_bytes_max
        .saturating_mul(2)
        .max(HELD_BYTES_MIN)
}

/// The server, which can do what is asked of it.
async fn inspect(control: &Database, source: &Source) -> Result<Server, Error> {
    let slot = postgres::read_slot(control, &source.slot).await?;
    let server = postgres::inspect_server(control).await?;
    server.check(slot.is_some())?;
    server.check_standby(source.slot_failover, source.writes_itself())?;
    Ok(server)
}

/// The publication as it is to be, and those of its tables that got another column list.
async fn publish(
    context: &Context,
    writer: Option<&Connection>,
    catalog: &Database,
    patterns: &Patterns,
) -> Result<(Publication, HashMap<u32, String>, Relistings), Error> {
    let (source, settings) = (context.source()?, &context.settings);
    let name = &source.publication;
    let publication = primary::ensure_publication(writer, catalog, name, patterns).await?;
    let mut told = HashSet::new();
    let (told, relistings) = (&mut told, Relistings::default());
    let relisted =
        members::list_columns(settings, source, catalog, patterns, told, &relistings).await?;
    if relisted.is_empty() {
        return Ok((publication, relisted, relistings));
    }
    let publication = postgres::check_publication(catalog, name, patterns).await?;
    Ok((publication, relisted, relistings))
}

/// Start-up options beside those that every session has, which fix how values look.
pub(super) fn session_options(source: &Source) -> Vec<(&'static str, String)> {
    vec![(
        "logical_decoding_work_mem",
        format!("{}kB", source.decoding_memory_bytes >> 10),
    )]
}

pub(super) async fn open_session(source: &Source) -> Result<Session, Error> {
    let options = session_options(source);
    let options: Vec<(&str, &str)> = options
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let kind = SessionKind::Replication;
    Ok(Session::connect(&source.connection, kind, &options).await?)
}

/// What decides which messages the server sends.
pub(super) fn stream_options(publication: &str) -> [(&'static str, &str); 3] {
    [
        ("proto_version", "1"),
        ("publication_names", publication),
        ("messages", "true"),
    ]
}

/// Hash of [`stream_options`] and of all that decides what a change becomes: the rest of a transaction
/// that was published in part must look like its beginning.
fn options_hash(source: &Source, settings: &Settings) -> String {
    let options = stream_options(&source.publication);
    let format = format!("{:?}", settings.format);
    let options = options.iter().flat_map(|(name, value)| [*name, *value]);
    digest(options.chain([format.as_str(), settings.selection.digest.as_str()]))
}

async fn start_replication(
    session: Session,
    source: &Source,
    resume: Lsn,
) -> Result<ReplicationStream, Error> {
    let publication = connection::quote_identifier(&source.publication);
    let options = stream_options(&publication);
    Ok(session
        .start_replication(&source.slot, resume, &options)
        .await?)
}

async fn check_not_skipped(tables: &Tables, source: &Source, resume: Lsn) -> Result<(), Error> {
    let slot = postgres::read_slot(tables.catalog(), &source.slot).await?;
    match slot.and_then(|state| state.confirmed_flush_lsn) {
        Some(confirmed) if confirmed <= resume => Ok(()),
        confirmed => Err(Error::HistoryLost {
            slot: source.slot.clone(),
            from: resume,
            until: confirmed.map_or_else(|| "the present".to_owned(), |lsn| lsn.to_string()),
        }),
    }
}

/// Initialises every transactional id that may be in use, which ends whatever a predecessor had under
/// way, and reads what is recorded.
///
/// Workers of a predecessor can be alive only under a record that says that a snapshot is under way: he
/// starts them after it is committed, and joins them before he commits the next. So with the stream's id
/// fenced that record can be seen below whatever they have under way, and is not waited for behind it.
/// Only the stream's id moves the position, so with the workers fenced too, what is recorded is the truth,
/// and of a snapshot's progress it is all.
pub(super) fn fence(
    context: &Context,
    position_topic: &str,
) -> Result<(Transactions, Recorded), Error> {
    let (source, kafka) = (context.source()?, context.kafka()?);
    let open = |id: String| {
        Transactions::open(
            kafka,
            id,
            position_topic.to_owned(),
            context.steps.clone(),
            context.shutdown.child_token(),
        )
    };
    let id = transactional_id(kafka, source);
    let transactions = open(id.clone())?;
    let visible = kafka::read_recorded_now(kafka, position_topic)?.position;
    let unfinished = visible.filter(|record| record.snapshot != SnapshotProgress::Done);
    for worker in 0..unfinished.map_or(0, |record| record.snapshot_workers) {
        drop(open(format!("{id}.snapshot.{worker}"))?);
    }
    Ok((transactions, kafka::read_recorded(kafka, position_topic)?))
}

/// The stream's transactional id; never per instance, or a zombie would not be fenced.
pub(super) fn transactional_id(kafka: &Kafka, source: &Source) -> String {
    format!("tidewater.{}.{}", kafka.prefix, source.slot)
}

pub(super) fn temporary_slot(source: &Source) -> String {
    format!("{}_snapshot", source.slot)
}

/// What was recorded, as far as a snapshot's progress can be trusted. On another timeline chunks may show
/// what never happened there; without transactions rows may be in a topic that no record tells of, and a
/// fence would drop their deletes.
fn position_found(
    last: Option<&PositionRecord>,
    timeline: u32,
    delivery: Delivery,
) -> PositionFound {
    let Some(record) = last else {
        return PositionFound::Missing;
    };
    let trusted = record.timeline == timeline && delivery == Delivery::ExactlyOnce;
    match record.snapshot {
        SnapshotProgress::Reading if trusted => PositionFound::Reading(record.resume_lsn),
        SnapshotProgress::Begun | SnapshotProgress::Reading => {
            PositionFound::Snapshot(record.resume_lsn)
        }
        SnapshotProgress::Done => PositionFound::Streaming(record.resume_lsn),
    }
}

pub(super) fn first_record(source: &Source, identity: &SystemIdentity) -> PositionRecord {
    PositionRecord {
        snapshot_workers: source.snapshot_workers,
        ..PositionRecord::new(
            FIRST_EPOCH,
            &identity.system_id,
            identity.timeline,
            &identity.database,
        )
    }
}

pub(super) fn check_source(
    record: Option<&PositionRecord>,
    identity: &SystemIdentity,
    topic: &str,
) -> Result<(), Error> {
    let Some(record) = record else { return Ok(()) };
    if record.system_id == identity.system_id && record.database == identity.database {
        return Ok(());
    }
    Err(Error::SourceChanged {
        topic: topic.to_owned(),
        recorded: format!("{} database {}", record.system_id, record.database),
        found: format!("{} database {}", identity.system_id, identity.database),
    })
}

/// An encoder of that source's changes, as the settings ask for.
pub(super) fn encoder(settings: &Settings, name: &SourceName, record_bytes_max: usize) -> Encoder {
    let format = event_format(settings.format, record_bytes_max);
    Encoder::new(name, format).selecting(Arc::clone(&settings.selection))
}

fn event_format(format: Format, record_bytes_max: usize) -> event::Format {
    event::Format {
        values: match format.values {
            Values::Lossless => ValueFormat::Lossless,
            Values::Debezium => ValueFormat::Debezium,
        },
        truncate: match format.truncate {
            Truncate::EachPartition => TruncateFormat::EachPartition,
            Truncate::Once => TruncateFormat::Once,
            Truncate::Skip => TruncateFormat::Skip,
        },
        handling: format.handling,
        tombstones: format.tombstones,
        skip_unchanged: format.skip_unchanged,
        shape: format.shape,
        headers: format.headers,
        encoding: format.encoding,
        record_bytes_max,
    }
}

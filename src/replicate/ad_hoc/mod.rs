//! Ad hoc snapshots: tables read again while the stream goes on.
//!
//! ```text
//!  message in the log ─▶ capture ─▶ Requests ──────────────┐ recorded with the position
//!                                      │ the next table     ▼
//!  reader thread ◀── order ── AdHoc ◀──┘            Kafka transaction of the stream:
//!       └── chunk ──▶ Window ── what is left of it ──▶ changes, then reads, then the position
//!                       ▲ keys that changed
//!                    capture
//! ```
//!
//! A request is a message in the log (`message`), so it has its place there. What becomes of it is recorded in the
//! position topic, in the transaction that moves the position past it; a chunk's progress in that of its rows. So
//! after a crash it goes on chunk by chunk. The reader's thread never holds up the stream; what of a chunk may be
//! published, and when, is the `window`'s to say.

mod command;
mod encoding;
mod feed;
mod gate;
mod message;
mod publish;
mod reader;
mod requests;
mod routes;
mod rows;
mod visibility;
mod whole;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::reader::{ChunkOrder, Description, Order, Reader, Setup, Which};
use self::requests::{Next, Requests};
use super::Error;
use super::capture::CapturedTable;
use super::members::News;
use super::row_store::{FedTable, RowStore};
use super::snapshot::Pace;
use crate::event::{Encoder, Epoch, Lsn, Position, Table};
use crate::kafka::{AdHocRecords, Entry, RequestTable};
use crate::telemetry;

use command::request_id;
pub use command::{Ask, Asked, ask, asked};
pub(crate) use gate::Gate;
pub(crate) use reader::{Found, Told};
#[cfg(test)]
pub(crate) use rows::Rows;
pub(crate) use rows::write_key;
#[cfg(test)]
pub(crate) use visibility::Visibility;
#[cfg(test)]
pub(crate) use window::Chunk;
pub(crate) use window::{Again, Window};

/// Pause before what failed is tried again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Pause before a chunk is read again.
const AGAIN_PAUSE: Duration = Duration::from_millis(20);
/// How often progress is logged.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);
/// Bounds of a chunk, rows.
const CHUNK_ROWS_MIN: u64 = 16;
const CHUNK_ROWS_MAX: u64 = 20_000;
/// Rows that are read by their keys at once.
const LISTED_ROWS_MAX: usize = 1_000;
/// Bytes of table data that one chunk should hold: what is encoded at once while the stream waits.
const CHUNK_BYTES: u64 = 1 << 20;

/// The ad hoc snapshots of one stream.
pub(crate) struct AdHoc {
    /// The lease's name: whom a message is to.
    name: String,
    epoch: Epoch,
    setup: Setup,
    /// Of its own: the stream's is in the midst of a transaction.
    encoder: Encoder,
    /// Where rows are told of that are too large; without it they end their request.
    passed_over: Option<u32>,
    requests: Requests,
    reader: Option<Reader>,
    doing: Doing,
    /// The table that is read.
    table: Option<Reading>,
    /// Whether it is known what the rows that are held are routed to.
    routed: bool,
    /// Rows that are held, of a table without a key.
    part: Option<whole::Part>,
    pace: Pace,
    pause: Duration,
    not_before: Instant,
    noticed: Instant,
}

/// What is under way.
#[derive(Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// The reader looks up the tables of a request, or one of them.
    Asking(String, Option<u32>),
    /// The reader reads a chunk that begins with that key.
    Reading,
    /// What the table's topic shows is to be voided before it is read.
    Voiding,
    /// The chunk waits for its place in the stream.
    Holding(Held),
    /// A table without a key waits for the stream to stand still.
    Stopping,
    /// The reader makes the point that it is read at.
    Anchoring,
    /// The stream has to run up to that point.
    RunningUp(Lsn),
    /// The reader reads on; whether these are the first rows.
    ReadingPart(Lsn, bool),
    /// Rows wait for their place in the stream.
    HoldingPart(Lsn, bool),
    /// It is not time yet to read on.
    Pacing(Lsn),
}

/// A request, and a table of it.
type Addressed = Option<(String, Option<u32>)>;

/// What is known of the chunk that the window holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// The key that the next chunk begins with; none: every key is passed.
    next: Option<Vec<String>>,
    /// The row store lists rows that are to be read by their keys.
    listed: bool,
    read_at_us: i64,
    /// Its rows are to be stored first.
    fed: Fed,
}

/// Whether what is held of a chunk is in the row store.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fed {
    /// It is not to be.
    Unstored,
    /// Not yet: the table as it was then.
    Waiting(Box<FedTable>),
    /// It is when the store's file has the changes below that one.
    Until(u64),
}

/// The table that is read.
struct Reading {
    request: String,
    oid: u32,
    description: Arc<Description>,
    /// How its rows are encoded, once that is known.
    captured: Option<CapturedTable>,
    /// `(epoch, resume LSN when the first chunk's read began, 0)`.
    begun: Option<Position>,
    /// Rows of the next chunk.
    rows: u64,
}

impl AdHoc {
    /// Goes on with what is recorded.
    pub(crate) fn new(
        name: String,
        context: &super::Context,
        epoch: Epoch,
        encoder: Encoder,
        recorded: AdHocRecords,
        passed_over: Option<u32>,
    ) -> Result<AdHoc, Error> {
        let (source, kafka) = (context.source()?, context.kafka()?);
        let now = Instant::now();
        Ok(AdHoc {
            name,
            epoch,
            setup: Setup {
                source: source.clone(),
                kafka: kafka.clone(),
                selection: Arc::clone(&context.settings.selection),
                stored: context.row_store()?.map(|rows| rows.tables.clone()),
            },
            encoder,
            passed_over,
            requests: Requests::new(recorded),
            reader: None,
            doing: Doing::Nothing,
            table: None,
            routed: false,
            part: None,
            pace: Pace::new(source.snapshot_rows_per_second, 0),
            pause: PAUSE_MIN,
            not_before: now,
            noticed: now,
        })
    }

    /// Takes up what a message of the log asks for.
    pub(crate) fn take_up(&mut self, content: &[u8], now_us: i64) {
        match message::Message::command(content, &self.name) {
            Ok(None) => {}
            Ok(Some(command)) => self.requests.take_up(command, now_us),
            Err(error) => {
                tracing::warn!(%error, "a request for a snapshot cannot be read: it is passed over");
            }
        }
    }

    /// Takes up what became of the publication's tables.
    pub(crate) fn join(&mut self, news: News, now_us: i64) {
        for entry in news.entries {
            self.requests.note(entry);
        }
        if !news.read.is_empty() {
            self.requests.join(request_id(), news.read, now_us);
        }
    }

    /// Whether something is to be recorded.
    pub(crate) fn has_entries(&self) -> bool {
        self.requests.has_entries()
    }

    /// What is to be recorded with the next position.
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        self.requests.take_entries()
    }

    /// Tables that nobody reads any more.
    pub(crate) fn take_unread(&mut self) -> Vec<u32> {
        self.requests.take_unread()
    }

    /// What the reader tells next; never, while it is asked for nothing. Cancel-safe.
    pub(crate) async fn told(&mut self) -> Told {
        let is_asked = match self.doing {
            Doing::Asking(..) | Doing::Reading | Doing::Anchoring | Doing::ReadingPart(..) => true,
            Doing::Nothing
            | Doing::Voiding
            | Doing::Holding(_)
            | Doing::Stopping
            | Doing::RunningUp(_)
            | Doing::HoldingPart(..)
            | Doing::Pacing(_) => false,
        };
        match &mut self.reader {
            Some(reader) if is_asked => reader.told().await,
            _ => std::future::pending().await,
        }
    }

    /// What the reader has told.
    pub(crate) fn try_told(&mut self) -> Option<Told> {
        self.reader.as_mut()?.try_told()
    }

    /// When there is something to do, if there is.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let idle = self.doing == Doing::Nothing && self.requests.has_next();
        let waits = idle || matches!(self.doing, Doing::Pacing(_));
        waits.then_some(self.not_before)
    }

    /// Whether rows are held.
    fn is_holding(&self) -> bool {
        matches!(
            self.doing,
            Doing::Voiding | Doing::Holding(_) | Doing::HoldingPart(..)
        )
    }

    /// Whether rows are held that may be published between two transactions, the first of which ends at `resume`.
    pub(crate) fn is_due(&self, window: &Window, resume: Lsn) -> bool {
        match self.doing {
            Doing::Holding(_) => window.is_due(resume),
            Doing::Voiding | Doing::HoldingPart(..) => true,
            Doing::Nothing
            | Doing::Asking(..)
            | Doing::Reading
            | Doing::Stopping
            | Doing::Anchoring
            | Doing::RunningUp(_)
            | Doing::ReadingPart(..)
            | Doing::Pacing(_) => false,
        }
    }

    /// How far the stream may go: a table without a key is read while it stands still.
    pub(crate) fn gate(&self) -> Option<Gate> {
        match self.doing {
            Doing::Stopping | Doing::Anchoring => Some(Gate::Here),
            Doing::RunningUp(point)
            | Doing::ReadingPart(point, _)
            | Doing::HoldingPart(point, _)
            | Doing::Pacing(point) => Some(Gate::At(point)),
            Doing::Nothing
            | Doing::Asking(..)
            | Doing::Reading
            | Doing::Voiding
            | Doing::Holding(_) => None,
        }
    }

    /// The stream stands where the gate is.
    pub(crate) fn stopped(&mut self) -> Result<(), Error> {
        match self.doing {
            Doing::Stopping => {
                if let Some(table) = &self.table {
                    let order = Order::Anchor(Arc::clone(&table.description));
                    self.doing = Doing::Anchoring;
                    return self.order(order);
                }
            }
            Doing::RunningUp(point) => {
                if let Some(table) = &mut self.table {
                    table.begun = Some(Position::new(self.epoch, point, 0));
                    let name = &table.description.published.table;
                    tracing::info!(table = %name, %point, "the stream stands while a table without a key is read");
                }
                self.doing = Doing::ReadingPart(point, true);
                return self.order(Order::Rows);
            }
            Doing::Nothing
            | Doing::Asking(..)
            | Doing::Reading
            | Doing::Voiding
            | Doing::Holding(_)
            | Doing::Anchoring
            | Doing::ReadingPart(..)
            | Doing::HoldingPart(..)
            | Doing::Pacing(_) => {}
        }
        Ok(())
    }

    /// Begins what is next, when it is time to. `resume`: where the stream stands.
    pub(crate) fn proceed(
        &mut self,
        (window, rows): (&mut Window, Option<&RowStore>),
        resume: Lsn,
        now: Instant,
        now_us: i64,
    ) -> Result<Option<Watched>, Error> {
        if let Some(again) = window.take_spoiled() {
            self.again(again, now);
        }
        if self.is_interrupted() {
            window.shut();
            self.table = None;
            if self.is_holding() {
                self.doing = Doing::Nothing;
            }
        }
        if now < self.not_before {
            return Ok(None);
        }
        if let Doing::Pacing(point) = self.doing {
            self.doing = Doing::ReadingPart(point, false);
            self.order(Order::Rows)?;
        }
        if self.doing != Doing::Nothing {
            return Ok(None);
        }
        match self.requests.next(now_us) {
            None => self.table = None,
            Some(Next::LookUp { request, patterns }) => {
                self.doing = Doing::Asking(request, None);
                self.order(Order::LookUp(patterns))?;
            }
            Some(Next::Table { request, oid, .. }) => {
                let reading = self.table.as_ref();
                if reading.is_none_or(|table| (&table.request, table.oid) != (&request, oid)) {
                    self.table = None;
                    self.doing = Doing::Asking(request, Some(oid));
                    self.order(Order::Describe(oid))?;
                } else if reading.is_some_and(|table| table.description.read.key.is_empty()) {
                    // A truncate comes first there in any case.
                    self.doing = Doing::Stopping;
                } else if self.requests.is_void(&request, oid) {
                    self.doing = Doing::Voiding;
                } else {
                    return self.read_chunk(rows, resume);
                }
            }
        }
        Ok(None)
    }

    /// Whether the table that is read is no longer to be read.
    fn is_interrupted(&self) -> bool {
        // A table without a key that is begun is voided, and has to be read to its end.
        let wanted = |table: &Reading| self.requests.is_wanted(&table.request, table.oid);
        let open = self.gate().is_none();
        open && self.table.as_ref().is_some_and(|table| !wanted(table))
    }

    fn order(&mut self, order: Order) -> Result<(), Error> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::start(self.setup.clone())?,
        };
        reader.order(order);
        self.reader = Some(reader);
        Ok(())
    }

    fn read_chunk(
        &mut self,
        rows: Option<&RowStore>,
        resume: Lsn,
    ) -> Result<Option<Watched>, Error> {
        let Some(table) = &mut self.table else {
            return Ok(None);
        };
        let position = Position::new(self.epoch, resume, 0);
        table.begun.get_or_insert(position);
        let limit = self.setup.source.snapshot_rows_per_second;
        let most = table.rows.min(limit.unwrap_or(u64::MAX)).max(1);
        let which = if self.requests.has_passed(&table.request, table.oid) {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let listed = rows.map(|rows| rows.listed(table.oid, most.min(LISTED_ROWS_MAX)));
            Which::Listed(listed.transpose()?.unwrap_or_default())
        } else {
            Which::From(self.requests.reached(&table.request, table.oid))
        };
        let order = ChunkOrder {
            table: Arc::clone(&table.description),
            which,
            rows: most,
        };
        let key = table.description.read.key.iter();
        let watched = Watched {
            relation: table.oid,
            key: key.map(|column| column.name.clone()).collect(),
        };
        telemetry::snapshot_chunk_planned();
        self.doing = Doing::Reading;
        self.order(Order::Chunk(order))?;
        Ok(Some(watched))
    }

    /// Takes what the reader has told.
    pub(crate) fn take(&mut self, told: Told, window: &mut Window, now: Instant, now_us: i64) {
        let (asked, reading) = match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Asking(request, oid) => (Some((request, oid)), None),
            Doing::ReadingPart(point, first) => (None, Some((point, first))),
            Doing::Nothing
            | Doing::Reading
            | Doing::Voiding
            | Doing::Holding(_)
            | Doing::Stopping
            | Doing::Anchoring
            | Doing::RunningUp(_)
            | Doing::HoldingPart(..)
            | Doing::Pacing(_) => (None, None),
        };
        self.routed = false;
        match told {
            Told::LookedUp(found) => {
                let (request, _) = asked.unwrap_or_default();
                self.requests.looked_up(&request, found, now_us);
            }
            Told::Described(described) => self.described(asked, *described, now_us),
            Told::Gone => self.gone(asked, now_us),
            Told::Anchored(point) => self.doing = Doing::RunningUp(point),
            Told::Rows(part) => {
                self.pause = PAUSE_MIN;
                if let Some((point, first)) = reading {
                    self.part = Some(*part);
                    self.doing = Doing::HoldingPart(point, first);
                }
            }
            Told::Altered => {
                window.shut();
                self.table = None;
                self.not_before = now + AGAIN_PAUSE;
            }
            Told::Failed(error) => {
                window.shut();
                self.table = None;
                self.failed(&error, now, now_us);
            }
            Told::Chunk(read) => {
                self.pause = PAUSE_MIN;
                // What is interrupted meanwhile is not held; `proceed` sees to that.
                match window.arrived(read.chunk) {
                    Err(again) => self.again(again, now),
                    Ok(()) => {
                        self.doing = Doing::Holding(Held {
                            next: read.next,
                            listed: false,
                            read_at_us: read.read_at_us,
                            fed: read
                                .fed
                                .map_or(Fed::Unstored, |table| Fed::Waiting(Box::new(table))),
                        });
                    }
                }
            }
        }
    }

    /// The table that was asked for, if it is wanted still.
    fn asked(&mut self, asked: Addressed, now_us: i64) -> Option<(String, u32, RequestTable)> {
        let (request, oid) = asked?;
        let next = self.requests.next(now_us)?;
        match next {
            Next::Table {
                request: wanted,
                oid: wanted_oid,
                table,
            } if wanted == request && Some(wanted_oid) == oid => Some((request, wanted_oid, table)),
            Next::Table { .. } | Next::LookUp { .. } => None,
        }
    }

    fn described(&mut self, asked: Addressed, description: Description, now_us: i64) {
        let Some((request, oid, table)) = self.asked(asked, now_us) else {
            return;
        };
        let same = !description.read.key.is_empty()
            && table.identity == description.identity
            && table.begun.is_some_and(|begun| begun.epoch == self.epoch);
        if !same {
            if table.begun.is_some() {
                tracing::warn!(
                    table = %table.table,
                    "the table is read from its beginning: it has no key, or was altered, truncated or \
                     rewritten since its snapshot was begun"
                );
            }
            self.requests.begin_anew(&request, oid, &description);
        }
        let begun = table.begun.filter(|_| same);
        self.table = Some(Reading {
            request,
            oid,
            rows: chunk_rows(
                description.published.rows_estimate,
                description.published.bytes,
            ),
            description: Arc::new(description),
            captured: None,
            begun,
        });
    }

    fn gone(&mut self, asked: Addressed, now_us: i64) {
        if let Some((request, oid, table)) = self.asked(asked, now_us) {
            tracing::warn!(table = %table.table, "the table is gone or not published any more: it is passed over");
            self.requests.table_finished(&request, oid, now_us);
        }
    }

    fn failed(&mut self, error: &Error, now: Instant, now_us: i64) {
        let text = telemetry::chain(error);
        if error.is_transient() || error.is_lock_timeout() {
            tracing::warn!(error = %text, pause = ?self.pause, "an ad hoc snapshot is held up: trying again");
            self.not_before = now + self.pause;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            return;
        }
        self.requests.fail_next(text, now_us);
    }

    /// The chunk is read again, and a smaller one where that helps.
    fn again(&mut self, again: Again, now: Instant) {
        tracing::debug!(?again, "a chunk is read again");
        telemetry::snapshot_chunk_read_again();
        self.doing = Doing::Nothing;
        self.not_before = now + AGAIN_PAUSE;
        match (again, &mut self.table) {
            (Again::Crowded, Some(table)) => table.rows = (table.rows / 2).max(CHUNK_ROWS_MIN),
            // Its identity may be another.
            (Again::Altered | Again::KeyMissing, _) => self.table = None,
            (Again::Crowded | Again::Unseen, _) => {}
        }
    }

    /// The table of the chunk that is held, unless it is known how its rows are encoded.
    pub(crate) fn unplanned(&self) -> Option<Table> {
        let table = self.table.as_ref().filter(|_| self.is_holding())?;
        table
            .captured
            .is_none()
            .then(|| table.description.table.clone())
    }

    /// The rows of the table that is read are encoded so.
    pub(crate) fn plan(&mut self, captured: CapturedTable) {
        if let Some(table) = &mut self.table {
            table.captured = Some(captured);
        }
    }

    /// Whether a chunk is held whose rows can be encoded.
    pub(crate) fn is_planned(&self) -> bool {
        let table = self.table.as_ref().filter(|_| self.is_holding());
        let captured = table.and_then(|table| table.captured.as_ref());
        captured.is_some_and(|captured| self.routed || !captured.plan.is_routed())
    }
}

/// A relation whose changes are to be told, and the names of its key's columns.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) relation: u32,
    pub(crate) key: Vec<String>,
}

/// Rows of a chunk of about [`CHUNK_BYTES`], given the estimates of the whole table.
fn chunk_rows(rows: i64, bytes: i64) -> u64 {
    let (rows, bytes) = (
        u64::try_from(rows).unwrap_or(0),
        u64::try_from(bytes).unwrap_or(0),
    );
    if rows == 0 || bytes == 0 {
        return CHUNK_ROWS_MAX / 4;
    }
    (CHUNK_BYTES / (bytes / rows).max(1)).clamp(CHUNK_ROWS_MIN, CHUNK_ROWS_MAX)
}

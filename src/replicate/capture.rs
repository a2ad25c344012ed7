//! pgoutput messages become records of the filling batch.
//!
//! Counts ordinals (from 1, every insert, update, delete, truncate and message of a transaction as the
//! server sent them, before any filter of ours), keeps the last transaction boundary, and skips what a
//! split transaction had already published when the process ended.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::Error;
use super::fence::Fences;
use super::machine::Fill;
use super::row_store::{self, RowStore};
use crate::event::{
    Batch, BatchEnd, Change, Encoder, Epoch, LogicalMessage, Lsn, Operations, Outline, Plan,
    Position, Transaction,
};
use crate::kafka::PositionRecord;
use crate::pgoutput::{self, Message, Relation};
use crate::postgres::Excess;
use reached::Reached;
use rows::Wanted;

mod messages;
mod outbox;
mod passed_over;
mod reached;
mod rows;
mod transactions;
mod watch;

pub(crate) use messages::MessageTopic;
pub(crate) use outbox::Unmet;
use watch::Watch;

/// Changes that are read for the row store alone are written when they are this much, bytes.
const FED_BYTES: usize = 4 << 20;

/// Where a batch ends: what its position record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// Streaming resumes here: everything below has been published.
    pub(crate) resume: Lsn,
    /// Commit LSN of the last transaction with a published change.
    pub(crate) commit_lsn: Lsn,
    /// Its last published ordinal.
    pub(crate) ordinal: u64,
    /// The LSN of that change, to recognise it by.
    pub(crate) last_change_lsn: Lsn,
}

/// Behind whole transactions.
impl From<Lsn> for Point {
    fn from(resume: Lsn) -> Self {
        Point {
            resume,
            ..Point::default()
        }
    }
}

impl Point {
    /// Where a record says that streaming goes on.
    pub(crate) fn of(record: &PositionRecord) -> Self {
        Point {
            resume: record.resume_lsn,
            commit_lsn: record.commit_lsn,
            ordinal: record.ordinal,
            last_change_lsn: record.last_change_lsn,
        }
    }

    /// Whether it lies behind another one.
    pub(crate) fn is_past(&self, other: &Point) -> bool {
        let split = |point: &Point| {
            let split = Some((point.commit_lsn, point.ordinal));
            split.filter(|_| point.is_split())
        };
        (self.resume, split(self)) > (other.resume, split(other))
    }

    /// Whether a transaction was published in part.
    pub(crate) fn is_split(&self) -> bool {
        self.commit_lsn >= self.resume && self.ordinal > 0
    }
}

/// A message of the stream, as it has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Where it stands in the log.
    pub(crate) lsn: Lsn,
    /// The message, or what was kept of it.
    pub(crate) data: &'a [u8],
    /// How large it was, if it was too large to be held.
    pub(crate) excess: Option<Excess>,
}

/// A table that changes are captured from.
#[derive(Debug)]
pub(crate) struct CapturedTable {
    /// How its rows are encoded.
    pub(crate) plan: Plan,
    /// Partitions of its topic.
    pub(crate) partitions: i32,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Of its begin message.
    begin_lsn: Lsn,
    commit_lsn: Lsn,
    commit_time_us: i64,
    xid: u32,
    ordinal: u64,
    last_change_lsn: Lsn,
    /// Whether its begin was published, or would have been.
    begun: bool,
    /// Whether it was told that it updates an outbox.
    warned: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Boundary {
    point: Point,
    end: BatchEnd,
    requests: usize,
    /// Changes of the row store.
    rows: u64,
}

/// The filling batch and what is needed to fill it.
pub(crate) struct Capture {
    encoder: Encoder,
    epoch: Epoch,
    tables: HashMap<u32, CapturedTable>,
    /// Announced, and not changed since. A partition that is published through its root is announced too,
    /// and never changes: described at once, it would get a topic of its own.
    announced: HashMap<u32, Relation>,
    /// Published, but not wanted.
    ignored: HashSet<u32>,
    /// Whether any table is an outbox.
    routes: bool,
    heartbeat_topic: u32,
    messages: MessageTopic,
    /// Where changes are told of that are too large; without it they end the stream.
    passed_over: Option<u32>,
    /// Of the message that is being applied.
    excess: Option<Excess>,
    batch: Batch,
    /// Where the batch goes back to, if what is applied was published before.
    taken_back: Option<BatchEnd>,
    commit_times_us: Vec<i64>,
    boundary: Boundary,
    open: Option<Open>,
    oldest: Option<Instant>,
    /// Until the stream has passed what was published before.
    published: Option<Reached>,
    /// Until it has passed what was stored before.
    stored: Option<Reached>,
    /// Where the last transaction that is read for the row store alone ended.
    fed: Lsn,
    /// The last change was published before.
    feeding: bool,
    rows: Option<RowStore>,
    skipped: Operations,
    /// Until the stream has passed the last point that its snapshot was read at.
    fences: Option<Fences>,
    last_commit_lsn: Option<Lsn>,
    watch: Watch,
    /// Requests for snapshots that stand in the transactions of the batch.
    requests: Vec<Vec<u8>>,
}

/// A closed batch.
#[derive(Debug)]
pub(crate) struct Closed {
    /// The records.
    pub(crate) batch: Batch,
    /// Where it ends.
    pub(crate) point: Point,
    /// Commit times of its whole transactions, microseconds since 1970.
    pub(crate) commit_times_us: Vec<i64>,
    /// Requests for snapshots in it, in their order.
    pub(crate) requests: Vec<Vec<u8>>,
}

impl Capture {
    /// Captures from `start` on; if that is inside a split transaction, what it had published is
    /// skipped.
    pub(crate) fn new(encoder: Encoder, epoch: Epoch, heartbeat_topic: u32, start: Point) -> Self {
        Capture {
            encoder,
            epoch,
            tables: HashMap::new(),
            announced: HashMap::new(),
            ignored: HashSet::new(),
            routes: false,
            heartbeat_topic,
            messages: MessageTopic::default(),
            passed_over: None,
            excess: None,
            batch: Batch::default(),
            taken_back: None,
            commit_times_us: Vec::new(),
            boundary: Boundary {
                point: start,
                ..Boundary::default()
            },
            open: None,
            oldest: None,
            published: Some(Reached::new(start)),
            stored: None,
            fed: start.resume,
            feeding: false,
            rows: None,
            skipped: Operations::default(),
            fences: None,
            last_commit_lsn: None,
            watch: Watch::new(0),
            requests: Vec::new(),
        }
    }

    /// Drops what a resumed snapshot has told of.
    pub(crate) fn fenced(self, fences: Option<Fences>) -> Self {
        Capture { fences, ..self }
    }

    /// Publishes the messages that are selected, to that topic.
    pub(crate) fn telling(self, messages: MessageTopic) -> Self {
        Capture { messages, ..self }
    }

    /// Passes over changes that are too large, and tells of them in that topic.
    pub(crate) fn passing_over(self, topic: Option<u32>) -> Self {
        Capture {
            passed_over: topic,
            ..self
        }
    }

    /// Shows whole old rows, and keeps the rows as they are.
    pub(crate) fn storing(self, rows: Option<RowStore>) -> Self {
        let point = rows.as_ref().map(RowStore::point);
        Capture {
            rows,
            stored: point.map(Reached::new),
            // Until something shows that it is not behind what was published.
            feeding: point.is_some(),
            fed: point.map_or(self.fed, |point| point.resume),
            ..self
        }
    }

    /// Tells of transactions, in records of their begins and ends and in each event.
    pub(crate) fn counting(mut self, outline: Outline) -> Self {
        self.encoder = self.encoder.counting(outline);
        self
    }

    /// Leaves out what is in the set; it is counted all the same.
    pub(crate) fn skipping(self, skipped: Operations) -> Self {
        Capture { skipped, ..self }
    }

    /// The encoder, for compiling plans.
    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Makes a relation's changes known. Replaces an earlier version.
    pub(crate) fn describe(&mut self, relation: u32, mut table: CapturedTable) {
        self.encoder.count_by_name(&mut table.plan);
        self.ignored.remove(&relation);
        self.routes |= table.plan.is_routed();
        self.tables.insert(relation, table);
    }

    /// A relation's changes are counted and left out.
    pub(crate) fn ignore(&mut self, relation: u32) {
        self.tables.remove(&relation);
        self.ignored.insert(relation);
    }

    /// Makes a relation's rows known to the row store, if there is one.
    pub(crate) fn describe_rows(
        &mut self,
        relation: &Relation,
        described: Option<row_store::Described>,
    ) {
        let xid = self.open.map_or(0, |open| open.xid);
        if let Some(rows) = &mut self.rows {
            rows.describe(relation, described, xid);
        }
    }

    /// The row store, if there is one.
    pub(crate) fn rows(&mut self) -> Option<&mut RowStore> {
        self.rows.as_mut()
    }

    /// What the row store covers may be confirmed; without one, everything.
    pub(crate) fn confirmable(&self) -> Lsn {
        let point = self.rows.as_ref().map(RowStore::point);
        point.map_or(Lsn(u64::MAX), |point| point.resume)
    }

    /// The row store's write under way has ended; never if there is none. Cancel-safe.
    pub(crate) async fn rows_written(&mut self) -> Result<(), row_store::Error> {
        match &mut self.rows {
            Some(rows) => rows.written().await,
            None => std::future::pending().await,
        }
    }

    /// Where the next change of the open transaction stands.
    pub(crate) fn next_position(&self) -> Position {
        let open = self.open.as_ref();
        let (commit_lsn, ordinal) = open.map_or((self.boundary.point.resume, 0), |open| {
            (open.commit_lsn, open.ordinal + 1)
        });
        Position::new(self.epoch, commit_lsn, ordinal)
    }

    /// What the batch holds.
    pub(crate) fn fill(&self) -> Fill {
        // What is read for the row store alone is in no batch: to close one would move the position back.
        let rows = self.rows.as_ref().filter(|_| !self.feeding);
        let rows = rows.map_or(0, RowStore::open_bytes);
        Fill {
            bytes: self.batch.bytes.len().max(rows),
            records: self.batch.records.len(),
            whole_records: self.boundary.end.records,
            oldest: self.oldest,
        }
    }

    /// Where the last whole transaction ended.
    pub(crate) fn resume(&self) -> Lsn {
        self.boundary.point.resume
    }

    /// Whether a transaction is under way.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The server has sent everything below `lsn`, and says so between two transactions: nothing
    /// there concerns us.
    pub(crate) fn advance(&mut self, lsn: Lsn) {
        if self.open.is_none() {
            let is_ahead = |point: &Reached| point.is_ahead_of(lsn);
            self.feeding &= self.published.as_ref().is_some_and(is_ahead);
            let point = &mut self.boundary.point;
            point.resume = point.resume.max(lsn);
        }
    }

    /// Applies one message, unless something is returned: it has to be made known first, and then the message is
    /// to be applied again.
    pub(crate) fn apply(
        &mut self,
        arrival: Arrival<'_>,
        now: Instant,
        now_us: i64,
    ) -> Result<Option<Unmet>, Error> {
        let Arrival { lsn, data, excess } = arrival;
        self.excess = excess;
        let message = pgoutput::parse(data).map_err(|source| Error::Malformed { lsn, source })?;
        let undescribed = self.undescribed(&message).map(Unmet::Relation);
        if let Some(unmet) = undescribed.or_else(|| self.unrouted(&message)) {
            return Ok(Some(unmet));
        }
        match message {
            Message::Begin {
                final_lsn,
                commit_time_us,
                xid,
            } => {
                self.begin(lsn, final_lsn, commit_time_us, xid)?;
            }
            Message::Commit { end_lsn, .. } => self.commit(lsn, end_lsn, now)?,
            Message::Relation(relation) => {
                self.announced.insert(relation.id, relation);
            }
            Message::Insert { relation, new } => {
                self.note_row(relation, Some(new), None, true);
                if let Some(wanted) = self.wanted(Operations::INSERT, relation, lsn, now_us)? {
                    self.insert(relation, wanted, new)?;
                }
            }
            Message::Update { relation, old, new } => {
                self.note_row(relation, Some(new), old, false);
                if let Some(wanted) = self.wanted(Operations::UPDATE, relation, lsn, now_us)? {
                    self.update(relation, wanted, old, new)?;
                }
            }
            Message::Delete { relation, old } => {
                self.note_row(relation, None, Some(old), false);
                if let Some(wanted) = self.wanted(Operations::DELETE, relation, lsn, now_us)? {
                    self.delete(relation, wanted, old)?;
                }
            }
            Message::Truncate { relations, .. } => {
                self.note_truncate(relations);
                if let Some(wanted) = self.wanted(Operations::TRUNCATE, 0, lsn, now_us)? {
                    self.truncate(relations, wanted)?;
                }
            }
            Message::Message {
                transactional,
                lsn: at,
                prefix,
                content,
            } => {
                let message = LogicalMessage {
                    transactional,
                    prefix,
                    content,
                };
                if transactional {
                    self.message(lsn, now_us, &message)?;
                } else {
                    self.lone_message(at, now, now_us, &message)?;
                }
            }
            Message::Origin { .. } | Message::Type(_) => {}
        }
        if let Some(end) = self.taken_back.take() {
            self.batch.cut(end);
        }
        Ok(None)
    }

    /// Takes an announced relation that the message is the first to change.
    #[inline]
    fn undescribed(&mut self, message: &Message<'_>) -> Option<Relation> {
        if self.announced.is_empty() {
            return None;
        }
        match message {
            Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } => self.announced.remove(relation),
            Message::Truncate { relations, .. } => relations
                .iter()
                .find_map(|relation| self.announced.remove(&relation)),
            Message::Begin { .. }
            | Message::Commit { .. }
            | Message::Relation(_)
            | Message::Type(_)
            | Message::Origin { .. }
            | Message::Message { .. } => None,
        }
    }

    fn begin(&mut self, lsn: Lsn, commit_lsn: Lsn, time_us: i64, xid: u32) -> Result<(), Error> {
        if self.open.is_some() {
            return Err(Error::OutOfPlace {
                message: "begin",
                lsn,
            });
        }
        for reached in [&mut self.published, &mut self.stored] {
            if let Some(point) = *reached {
                *reached = point.at_begin(commit_lsn)?;
            }
        }
        self.watch.window.begin(xid);
        self.encoder.begin(&Transaction {
            epoch: self.epoch,
            commit_lsn,
            commit_time_us: time_us,
            xid: Some(xid),
            last_commit_lsn: self.last_commit_lsn,
        });
        self.open = Some(Open {
            begin_lsn: lsn,
            commit_lsn,
            commit_time_us: time_us,
            xid,
            ordinal: 0,
            last_change_lsn: Lsn::ZERO,
            begun: false,
            warned: false,
        });
        Ok(())
    }

    fn commit(&mut self, lsn: Lsn, end_lsn: Lsn, now: Instant) -> Result<(), Error> {
        let open = self.open.take().ok_or(Error::OutOfPlace {
            message: "commit",
            lsn,
        })?;
        self.last_commit_lsn = Some(open.commit_lsn);
        let fed = self
            .published
            .is_some_and(|point| point.is_past(open.commit_lsn));
        self.tell_end(&open, lsn)?;
        for reached in [&mut self.published, &mut self.stored] {
            if let Some(point) = *reached {
                *reached = point.at_commit(&open)?;
            }
        }
        if self.batch.records.len() > self.boundary.end.records {
            self.commit_times_us.push(open.commit_time_us);
            self.oldest.get_or_insert(now);
        }
        let point = Point {
            resume: end_lsn,
            ..reached(&open)
        };
        // What was published before moves nothing but the row store.
        let published = if fed { self.boundary.point } else { point };
        self.fed = end_lsn;
        if fed && self.stored.is_none() {
            self.release(point);
        }
        self.set_boundary(published);
        Ok(())
    }

    /// The boundary is where the batch ends now.
    fn set_boundary(&mut self, point: Point) {
        self.boundary = Boundary {
            point,
            end: self.batch.end(),
            requests: self.requests.len(),
            rows: self.rows.as_ref().map_or(0, RowStore::end),
        };
    }

    /// All that was read has been published before, up to that point: it may be written.
    fn release(&mut self, point: Point) {
        if let Some(rows) = &mut self.rows {
            rows.release(rows.end(), point);
        }
    }

    /// As [`Capture::change`]; `None` for an operation or a table that nobody wants.
    fn wanted(
        &mut self,
        operation: Operations,
        relation: u32,
        lsn: Lsn,
        now_us: i64,
    ) -> Result<Option<Wanted>, Error> {
        let before = self.open;
        let counted = self.change(lsn, now_us)?;
        if counted.publish {
            self.tell_begin(lsn)?;
        }
        let ignored = !self.ignored.is_empty() && self.ignored.contains(&relation);
        let mut wanted = Wanted {
            publish: counted.publish && !ignored && !self.skipped.contains(operation),
            ..counted
        };
        if let (Some(rows), Some(open)) = (&mut self.rows, before) {
            let every = operation == Operations::TRUNCATE;
            wanted.store = counted.store && (every || rows.stores(relation));
            if wanted.store {
                rows.reach(relation, open.commit_lsn);
            }
            if counted.store && !counted.publish && rows.open_bytes() >= FED_BYTES {
                let resume = self.fed;
                self.release(Point {
                    resume,
                    ..reached(&open)
                });
            }
        }
        Ok((wanted.publish || wanted.store).then_some(wanted))
    }

    /// Counts a change of the open transaction, and tells whether it was published and stored before. One
    /// that was published is encoded again where events are counted, and taken back.
    fn change(&mut self, lsn: Lsn, now_us: i64) -> Result<Wanted, Error> {
        let open = self.open.as_mut().ok_or(Error::OutOfPlace {
            message: "change",
            lsn,
        })?;
        open.ordinal += 1;
        open.last_change_lsn = lsn;
        self.encoder.count_from_here();
        let is_new = |reached: &Option<Reached>| match reached {
            None => Ok(true),
            Some(point) => point.covers(open).map(|covered| !covered),
        };
        let new = is_new(&self.published)?;
        self.feeding = !new;
        if !new && self.encoder.is_counting() {
            self.taken_back = Some(self.batch.end());
        }
        Ok(Wanted {
            change: Change {
                lsn,
                ordinal: open.ordinal,
                now_us,
            },
            publish: new || self.encoder.is_counting(),
            store: self.rows.is_some() && is_new(&self.stored)?,
        })
    }

    /// Takes the fences when the stream has passed them at `resume`.
    pub(crate) fn take_passed_fences(&mut self, resume: Lsn) -> Option<Fences> {
        self.fences.take_if(|fences| fences.are_passed(resume))
    }

    /// Takes the batch up to the last boundary, or all of it, and goes on in `spare`.
    pub(crate) fn close(&mut self, split: bool, spare: Batch, spare_times: Vec<i64>) -> Closed {
        let within = self.open.as_ref().filter(|_| split);
        let point = within.map_or(self.boundary.point, |open| Point {
            resume: self.boundary.point.resume,
            ..reached(open)
        });
        // A boundary within a transaction is where a start began. Which rows it has, only the stream can tell
        // once it is there; to say so of those at hand would leave the others out of the file for good.
        let is_known = within.is_some() || !self.boundary.point.is_split();
        if let Some(rows) = self.rows.as_mut().filter(|_| is_known && !self.feeding) {
            let end = if within.is_some() {
                rows.end()
            } else {
                self.boundary.rows
            };
            rows.seal(end);
        }
        let mut batch = std::mem::replace(&mut self.batch, spare);
        self.batch.clear();
        if !split {
            batch.move_tail(self.boundary.end, &mut self.batch);
        }
        let mut times = std::mem::replace(&mut self.commit_times_us, spare_times);
        self.commit_times_us.clear();
        if split {
            times.clear();
        }
        let whole = if split {
            self.requests.len()
        } else {
            self.boundary.requests
        };
        let requests = self.requests.drain(..whole).collect();
        self.oldest = None;
        self.boundary = Boundary {
            point: self.boundary.point,
            rows: self.boundary.rows,
            ..Boundary::default()
        };
        Closed {
            batch,
            point,
            commit_times_us: times,
            requests,
        }
    }
}

fn reached(open: &Open) -> Point {
    Point {
        resume: Lsn::ZERO,
        commit_lsn: open.commit_lsn,
        ordinal: open.ordinal,
        last_change_lsn: open.last_change_lsn,
    }
}

#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod watch_tests;

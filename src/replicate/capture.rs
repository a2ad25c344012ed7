//! pgoutput messages become records of the filling batch.
//!
//! Counts ordinals (from 1, every insert, update, delete, truncate and message of a transaction as the
//! server sent them, before any filter of ours), keeps the last transaction boundary, and skips what a
//! split transaction had already published when the process ended.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use passed_over::exceeds;

use super::Error;
use super::fence::{Fence, Fences, KeyMissing};
use super::machine::Fill;
use crate::event::{
    Batch, Change, EncodeError, Encoder, Epoch, LogicalMessage, Lsn, OldRow, Operations,
    PassedRows, Plan, Position, Transaction,
};
use crate::kafka::PositionRecord;
use crate::pgoutput::{self, Message, OldTuple, Relation, RelationIds, Tuple};
use crate::postgres::Excess;

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
    commit_lsn: Lsn,
    commit_time_us: i64,
    ordinal: u64,
    last_change_lsn: Lsn,
}

#[derive(Clone, Copy, Debug, Default)]
struct Boundary {
    point: Point,
    records: usize,
    bytes: usize,
    headers: usize,
    requests: usize,
}

/// The filling batch and what is needed to fill it.
#[derive(Debug)]
pub(crate) struct Capture {
    encoder: Encoder,
    epoch: Epoch,
    tables: HashMap<u32, CapturedTable>,
    /// Announced, and not changed since. A partition that is published through its root is announced too,
    /// and never changes: described at once, it would get a topic of its own.
    announced: HashMap<u32, Relation>,
    /// Published, but not wanted.
    ignored: HashSet<u32>,
    heartbeat_topic: u32,
    messages: MessageTopic,
    /// Where changes are told of that are too large; without it they end the stream.
    passed_over: Option<u32>,
    /// Of the message that is being applied.
    excess: Option<Excess>,
    batch: Batch,
    commit_times_us: Vec<i64>,
    boundary: Boundary,
    open: Option<Open>,
    oldest: Option<Instant>,
    skip: Option<Point>,
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
            heartbeat_topic,
            messages: MessageTopic::default(),
            passed_over: None,
            excess: None,
            batch: Batch::default(),
            commit_times_us: Vec::new(),
            boundary: Boundary {
                point: start,
                ..Boundary::default()
            },
            open: None,
            oldest: None,
            skip: start.is_split().then_some(start),
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

    /// Leaves out what is in the set; it is counted all the same.
    pub(crate) fn skipping(self, skipped: Operations) -> Self {
        Capture { skipped, ..self }
    }

    /// The encoder, for compiling plans.
    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Makes a relation's changes known. Replaces an earlier version.
    pub(crate) fn describe(&mut self, relation: u32, table: CapturedTable) {
        self.ignored.remove(&relation);
        self.tables.insert(relation, table);
    }

    /// A relation's changes are counted and left out.
    pub(crate) fn ignore(&mut self, relation: u32) {
        self.tables.remove(&relation);
        self.ignored.insert(relation);
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
        Fill {
            bytes: self.batch.bytes.len(),
            records: self.batch.records.len(),
            whole_records: self.boundary.records,
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
            let point = &mut self.boundary.point;
            point.resume = point.resume.max(lsn);
        }
    }

    /// Applies one message, unless a relation is returned: it has to be described first, and then the
    /// message is to be applied again.
    pub(crate) fn apply(
        &mut self,
        arrival: Arrival<'_>,
        now: Instant,
        now_us: i64,
    ) -> Result<Option<Relation>, Error> {
        let Arrival { lsn, data, excess } = arrival;
        self.excess = excess;
        let message = pgoutput::parse(data).map_err(|source| Error::Malformed { lsn, source })?;
        if let Some(relation) = self.undescribed(&message) {
            return Ok(Some(relation));
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
                self.note_row(relation, Some(new), None);
                if let Some(change) = self.wanted(Operations::INSERT, relation, lsn, now_us)? {
                    self.insert(relation, change, new)?;
                }
            }
            Message::Update { relation, old, new } => {
                self.note_row(relation, Some(new), old);
                if let Some(change) = self.wanted(Operations::UPDATE, relation, lsn, now_us)? {
                    self.update(relation, change, old, new)?;
                }
            }
            Message::Delete { relation, old } => {
                self.note_row(relation, None, Some(old));
                if let Some(change) = self.wanted(Operations::DELETE, relation, lsn, now_us)? {
                    self.delete(relation, change, old)?;
                }
            }
            Message::Truncate { relations, .. } => {
                self.note_truncate(relations);
                if let Some(change) = self.wanted(Operations::TRUNCATE, 0, lsn, now_us)? {
                    self.truncate(relations, change)?;
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
        if let Some(skip) = self.skip.filter(|skip| skip.commit_lsn < commit_lsn) {
            return Err(split_differs(&skip, commit_lsn));
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
            commit_lsn,
            commit_time_us: time_us,
            ordinal: 0,
            last_change_lsn: Lsn::ZERO,
        });
        Ok(())
    }

    fn commit(&mut self, lsn: Lsn, end_lsn: Lsn, now: Instant) -> Result<(), Error> {
        let open = self.open.take().ok_or(Error::OutOfPlace {
            message: "commit",
            lsn,
        })?;
        self.last_commit_lsn = Some(open.commit_lsn);
        if let Some(skip) = self.skip.take_if(|skip| skip.commit_lsn == open.commit_lsn)
            && open.ordinal < skip.ordinal
        {
            return Err(split_differs(&skip, open.last_change_lsn));
        }
        if self.batch.records.len() > self.boundary.records {
            self.commit_times_us.push(open.commit_time_us);
            self.oldest.get_or_insert(now);
        }
        self.boundary = Boundary {
            point: Point {
                resume: end_lsn,
                ..reached(&open)
            },
            records: self.batch.records.len(),
            bytes: self.batch.bytes.len(),
            headers: self.batch.headers.len(),
            requests: self.requests.len(),
        };
        Ok(())
    }

    /// As [`Capture::change`]; `None` for an operation or a table that is left out, too.
    fn wanted(
        &mut self,
        operation: Operations,
        relation: u32,
        lsn: Lsn,
        now_us: i64,
    ) -> Result<Option<Change>, Error> {
        let change = self.change(lsn, now_us)?;
        let ignored = !self.ignored.is_empty() && self.ignored.contains(&relation);
        Ok(change.filter(|_| !ignored && !self.skipped.contains(operation)))
    }

    /// Counts a change of the open transaction; `None` when it was published before.
    fn change(&mut self, lsn: Lsn, now_us: i64) -> Result<Option<Change>, Error> {
        let open = self.open.as_mut().ok_or(Error::OutOfPlace {
            message: "change",
            lsn,
        })?;
        open.ordinal += 1;
        open.last_change_lsn = lsn;
        if let Some(skip) = &self.skip
            && published_before(skip, open)?
        {
            return Ok(None);
        }
        Ok(Some(Change {
            lsn,
            ordinal: open.ordinal,
            now_us,
        }))
    }

    #[inline]
    fn insert(&mut self, relation: u32, change: Change, new: Tuple<'_>) -> Result<(), Error> {
        let plan = plan(&self.tables, relation, change.lsn)?;
        if let Some(fence) = fence(self.fences.as_ref(), self.open, relation)
            && hides(fence, plan, new, change.lsn, self.excess)?
        {
            return Ok(());
        }
        let result = match self.excess {
            None => self.encoder.insert(plan, change, new, &mut self.batch),
            Some(excess) => Err(exceeds(excess, plan)),
        };
        self.finish(result, relation, change, || PassedRows::Insert(new))
    }

    #[inline]
    fn update(
        &mut self,
        relation: u32,
        change: Change,
        old: Option<OldTuple<'_>>,
        new: Tuple<'_>,
    ) -> Result<(), Error> {
        let plan = plan(&self.tables, relation, change.lsn)?;
        let (encoder, batch) = (&mut self.encoder, &mut self.batch);
        let (mut hidden, excess) = ((false, false), self.excess);
        if let Some(fence) = fence(self.fences.as_ref(), self.open, relation) {
            let hides = |row| hides(fence, plan, row, change.lsn, excess);
            let hides_new = hides(new)?;
            let hides_old = match old {
                None => hides_new,
                Some(OldRow::Key(old) | OldRow::Full(old)) => hides(old)?,
            };
            hidden = (hides_old, hides_new);
        }
        // The halves differ only where the key does.
        let result = match (hidden, old) {
            ((true, true), _) => Ok(()),
            _ if excess.is_some() => excess.map_or(Ok(()), |excess| Err(exceeds(excess, plan))),
            ((false, false), old) => encoder.update(plan, change, old, new, batch),
            ((true, false), Some(old)) => encoder.arrive(plan, change, old, new, batch),
            ((false, true), Some(old)) => encoder.delete(plan, change, old, batch),
            _ => Ok(()),
        };
        self.finish(result, relation, change, || PassedRows::Update(old, new))
    }

    #[inline]
    fn delete(&mut self, relation: u32, change: Change, old: OldTuple<'_>) -> Result<(), Error> {
        let plan = plan(&self.tables, relation, change.lsn)?;
        if let Some(fence) = fence(self.fences.as_ref(), self.open, relation) {
            let (OldRow::Key(row) | OldRow::Full(row)) = old;
            if hides(fence, plan, row, change.lsn, self.excess)? {
                return Ok(());
            }
        }
        let result = match self.excess {
            None => self.encoder.delete(plan, change, old, &mut self.batch),
            Some(excess) => Err(exceeds(excess, plan)),
        };
        self.finish(result, relation, change, || PassedRows::Delete(old))
    }

    /// Takes the fences when the stream has passed them at `resume`.
    pub(crate) fn take_passed_fences(&mut self, resume: Lsn) -> Option<Fences> {
        self.fences.take_if(|fences| fences.are_passed(resume))
    }

    fn truncate(&mut self, relations: RelationIds<'_>, change: Change) -> Result<(), Error> {
        for relation in relations.iter() {
            if self.ignored.contains(&relation)
                || fence(self.fences.as_ref(), self.open, relation).is_some()
            {
                continue;
            }
            let table = self.tables.get(&relation).ok_or(Error::UnknownRelation {
                relation,
                lsn: change.lsn,
            })?;
            let truncated =
                self.encoder
                    .truncate(&table.plan, change, table.partitions, &mut self.batch);
            encoded(truncated, change.lsn)?;
        }
        Ok(())
    }

    /// Takes the batch up to the last boundary, or all of it, and goes on in `spare`.
    pub(crate) fn close(&mut self, split: bool, spare: Batch, spare_times: Vec<i64>) -> Closed {
        let point = match (&self.open, split) {
            (Some(open), true) => Point {
                resume: self.boundary.point.resume,
                ..reached(open)
            },
            _ => self.boundary.point,
        };
        let mut batch = std::mem::replace(&mut self.batch, spare);
        self.batch.clear();
        if !split {
            let Boundary {
                records,
                bytes,
                headers,
                ..
            } = self.boundary;
            batch.move_tail(records, bytes, headers, &mut self.batch);
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

/// Whether the open transaction's latest change had been published before the process ended.
fn published_before(skip: &Point, open: &Open) -> Result<bool, Error> {
    if open.commit_lsn != skip.commit_lsn {
        return Ok(open.commit_lsn < skip.commit_lsn);
    }
    if open.ordinal == skip.ordinal && open.last_change_lsn != skip.last_change_lsn {
        return Err(split_differs(skip, open.last_change_lsn));
    }
    Ok(open.ordinal <= skip.ordinal)
}

fn split_differs(skip: &Point, found: Lsn) -> Error {
    Error::SplitDiffers {
        commit_lsn: skip.commit_lsn,
        ordinal: skip.ordinal,
        expected: skip.last_change_lsn,
        found,
    }
}

/// The fence that a change of the open transaction may lie behind.
#[inline]
fn fence(fences: Option<&Fences>, open: Option<Open>, relation: u32) -> Option<Fence<'_>> {
    fences?.of(relation, open?.commit_lsn)
}

/// A key that was too large to be kept hides nothing: the change is told of, at worst once more.
fn hides(
    fence: Fence<'_>,
    plan: &Plan,
    row: Tuple<'_>,
    lsn: Lsn,
    excess: Option<Excess>,
) -> Result<bool, Error> {
    match fence.hides(plan, row) {
        Ok(hides) => Ok(hides),
        Err(KeyMissing { .. }) if excess.is_some() => Ok(false),
        Err(KeyMissing { column }) => Err(Error::KeyMissing {
            table: plan.full_name(),
            column,
            lsn,
        }),
    }
}

fn plan(tables: &HashMap<u32, CapturedTable>, relation: u32, lsn: Lsn) -> Result<&Plan, Error> {
    let table = tables
        .get(&relation)
        .ok_or(Error::UnknownRelation { relation, lsn })?;
    Ok(&table.plan)
}

fn encoded(result: Result<(), EncodeError>, lsn: Lsn) -> Result<(), Error> {
    result.map_err(|source| Error::Encode { lsn, source })
}

mod message;
mod passed_over;
mod watch;

pub(crate) use message::MessageTopic;
use watch::Watch;

#[cfg(test)]
mod tests;

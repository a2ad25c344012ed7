//! The requests: what is asked for, what is read of it, and what is to be recorded.

use std::collections::BTreeMap;

use super::message::Command;
use super::reader::{Description, Found};
use crate::event::Position;
use crate::kafka::{AdHocRecords, Entry, RequestState, RequestTable, SnapshotRequest};

/// Requests that have ended stay recorded, so many of them.
const ENDED_KEPT: usize = 16;
/// Requests that have not ended, at most: what is recorded of them is bounded.
const OPEN_MAX: usize = 64;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The tables of those patterns are to be looked up.
    LookUp {
        request: String,
        patterns: Vec<String>,
    },
    /// A table is to be read.
    Table {
        request: String,
        oid: u32,
        table: RequestTable,
    },
}

/// What is left of a table behind a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Rows from that key on.
    From(Vec<String>),
    /// Rows that the row store lists.
    Listed,
    Nothing,
}

/// How far the request under way is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) request: String,
    pub(super) rows: u64,
    pub(super) rows_remaining: u64,
    pub(super) minutes_remaining: Option<u64>,
}

/// All requests that are recorded.
#[derive(Debug)]
pub(super) struct Requests {
    records: AdHocRecords,
    /// To be recorded.
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Tables that nobody reads any more.
    unread: Vec<u32>,
}

impl Requests {
    /// Those that are recorded.
    pub(super) fn new(records: AdHocRecords) -> Requests {
        Requests {
            records,
            entries: BTreeMap::new(),
            unread: Vec::new(),
        }
    }

    /// Does what a command says. One that comes twice, or too late, changes nothing.
    pub(super) fn take_up(&mut self, command: Command, now_us: i64) {
        match command {
            Command::Start { id, tables } => self.start(id, tables, now_us),
            Command::Pause { id } => self.turn(&id, RequestState::Paused, now_us),
            Command::Resume { id } => self.turn(&id, RequestState::Reading, now_us),
            Command::Cancel { id } => self.turn(&id, RequestState::Cancelled, now_us),
        }
    }

    fn start(&mut self, id: String, tables: Vec<String>, now_us: i64) {
        if self.records.request(&id).is_some() {
            return;
        }
        let number = self.next_number();
        let open = self.records.requests.iter();
        let open = open.filter(|request| !request.state.has_ended()).count();
        let crowded = open >= OPEN_MAX;
        let request = SnapshotRequest {
            id,
            number,
            tables,
            joined: false,
            state: if crowded {
                RequestState::Failed
            } else {
                RequestState::TakenUp
            },
            reason: crowded.then(|| format!("{OPEN_MAX} requests are waiting already")),
            taken_up_us: now_us,
            began_us: None,
            ended_us: crowded.then_some(now_us),
            tables_total: 0,
            tables_finished: 0,
            rows: 0,
            rows_estimate: 0,
        };
        tracing::info!(request = %request.id, tables = %request.tables.join(" "), "a snapshot was asked for");
        self.records.requests.push(request);
        self.record_request(self.records.requests.len() - 1);
        self.forget_old();
    }

    /// Ended requests beyond those that are kept go.
    fn forget_old(&mut self) {
        let ended = |request: &&SnapshotRequest| request.state.has_ended();
        let mut surplus = self.records.requests.iter().filter(ended).count();
        let entries = &mut self.entries;
        self.records.requests.retain(|request| {
            let goes = request.state.has_ended() && surplus > ENDED_KEPT;
            if goes {
                surplus -= 1;
                let Entry { key, value } = request.forget();
                entries.insert(key, value);
            }
            !goes
        });
    }

    fn turn(&mut self, id: &str, to: RequestState, now_us: i64) {
        let index = self.index(id);
        let Some(request) = index.and_then(|index| self.records.requests.get_mut(index)) else {
            tracing::warn!(request = %id, "a message names a request that is not known: it is passed over");
            return;
        };
        let turns = match to {
            RequestState::Paused => {
                matches!(request.state, RequestState::TakenUp | RequestState::Reading)
            }
            RequestState::Reading => request.state == RequestState::Paused,
            RequestState::Cancelled => !request.state.has_ended(),
            RequestState::TakenUp | RequestState::Finished | RequestState::Failed => false,
        };
        if !turns {
            return;
        }
        if to == RequestState::Cancelled {
            self.end(id, to, None, now_us);
            return;
        }
        // Its tables may not have been looked up before it was paused.
        let looked_up = request.tables_total > 0;
        request.state = if to == RequestState::Reading && !looked_up {
            RequestState::TakenUp
        } else {
            to
        };
        tracing::info!(request = %id, state = request.state.name(), "a snapshot is paused or resumed");
        self.record(id);
    }

    /// Ends a request.
    fn end(&mut self, id: &str, state: RequestState, reason: Option<String>, now_us: i64) {
        let Some(request) = self.request_mut(id) else {
            return;
        };
        request.state = state;
        request.ended_us = Some(now_us);
        if let Some(reason) = &reason {
            tracing::warn!(request = %id, %reason, "an ad hoc snapshot failed");
        } else {
            let (rows, state) = (request.rows, state.name());
            tracing::info!(request = %id, rows, state, "an ad hoc snapshot has ended");
        }
        request.reason = reason;
        self.record(id);
        for (oid, _) in self.records.tables.remove(id).unwrap_or_default() {
            let Entry { key, value } = RequestTable::forget(id, oid);
            self.entries.insert(key, value);
            self.leave(oid);
        }
        self.forget_old();
    }

    /// A table is read, or is not to be: unless another request has begun with it, nobody reads it any more.
    fn leave(&mut self, oid: u32) {
        if !self.records.begun().any(|begun| begun == oid) {
            self.unread.push(oid);
        }
    }

    /// Tables that nobody reads any more.
    pub(super) fn take_unread(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.unread)
    }

    /// A request cannot be carried out.
    pub(super) fn fail(&mut self, id: &str, reason: String, now_us: i64) {
        self.end(id, RequestState::Failed, Some(reason), now_us);
    }

    /// The one under way cannot.
    pub(super) fn fail_next(&mut self, reason: String, now_us: i64) {
        if let Some(id) = self.under_way().map(|request| request.id.clone()) {
            self.fail(&id, reason, now_us);
        }
    }

    fn under_way(&self) -> Option<&SnapshotRequest> {
        let mut requests = self.records.requests.iter();
        requests
            .find(|request| matches!(request.state, RequestState::TakenUp | RequestState::Reading))
    }

    /// Whether [`Requests::next`] has something.
    pub(super) fn has_next(&self) -> bool {
        self.under_way().is_some()
    }

    /// What is next. A request with nothing left ends.
    pub(super) fn next(&mut self, now_us: i64) -> Option<Next> {
        loop {
            let request = self.under_way()?;
            if request.state == RequestState::TakenUp {
                return Some(Next::LookUp {
                    request: request.id.clone(),
                    patterns: request.tables.clone(),
                });
            }
            let id = request.id.clone();
            let tables = self.records.tables.get(&id).into_iter().flatten();
            let left = tables.filter(|(_, table)| !table.finished);
            let Some((oid, table)) = left.min_by_key(|(_, table)| table.number) else {
                self.end(&id, RequestState::Finished, None, now_us);
                continue;
            };
            return Some(Next::Table {
                oid: *oid,
                table: table.clone(),
                request: id,
            });
        }
    }

    /// Whether a table of a request is the one to be read.
    pub(super) fn is_wanted(&self, id: &str, oid: u32) -> bool {
        let request = self.under_way().filter(|request| request.id == id);
        let table = self.table(id, oid);
        request.is_some() && table.is_some_and(|table| !table.finished)
    }

    /// The tables of a request, unless it was paused or ended meanwhile.
    pub(super) fn looked_up(&mut self, id: &str, found: Vec<Found>, now_us: i64) {
        let waits = |request: &SnapshotRequest| request.state == RequestState::TakenUp;
        if !self.records.request(id).is_some_and(waits) {
            return;
        }
        if found.is_empty() {
            let reason = "no table that the publication has matches".to_owned();
            self.fail(id, reason, now_us);
            return;
        }
        self.set_tables(id, found);
    }

    /// The tables that a request reads.
    fn set_tables(&mut self, id: &str, found: Vec<Found>) {
        let mut tables = BTreeMap::new();
        for (number, found) in (0..).zip(found) {
            let table = RequestTable {
                number,
                table: found.published.table.to_string(),
                topic: found.topic,
                whole_topic: found.whole_topic,
                void: found.void,
                begun: None,
                identity: String::new(),
                reached: None,
                passed: false,
                rows: 0,
                rows_estimate: u64::try_from(found.published.rows_estimate).unwrap_or(0),
                finished: false,
            };
            tables.insert(found.published.id, table);
        }
        let total = tables.len() as u64;
        let estimate = tables.values().map(|table| table.rows_estimate).sum();
        if let Some(request) = self.request_mut(id) {
            request.state = RequestState::Reading;
            request.tables_total = total;
            request.rows_estimate = estimate;
        }
        let oids: Vec<u32> = tables.keys().copied().collect();
        self.records.tables.insert(id.to_owned(), tables);
        for oid in oids {
            self.record_table(id, oid);
        }
        self.record(id);
    }

    /// Tables have joined the publication, and are to be read. There may be any number of such requests: a table is
    /// in one of them once each time that it joins.
    pub(super) fn join(&mut self, id: String, found: Vec<Found>, now_us: i64) {
        let names = found.iter().map(|found| found.published.table.to_string());
        let request = SnapshotRequest {
            id: id.clone(),
            number: self.next_number(),
            tables: names.collect(),
            joined: true,
            state: RequestState::TakenUp,
            reason: None,
            taken_up_us: now_us,
            began_us: None,
            ended_us: None,
            tables_total: 0,
            tables_finished: 0,
            rows: 0,
            rows_estimate: 0,
        };
        tracing::info!(
            request = %id,
            tables = %request.tables.join(" "),
            "tables have joined the publication: their rows are read beside the stream"
        );
        self.records.requests.push(request);
        self.set_tables(&id, found);
    }

    fn next_number(&self) -> u64 {
        let last = self.records.requests.last();
        last.map_or(0, |request| request.number + 1)
    }

    /// Whether what the topic shows of a table has to be voided before it is read.
    pub(super) fn is_void(&self, id: &str, oid: u32) -> bool {
        self.table(id, oid).is_some_and(|table| table.void)
    }

    /// That has been done.
    pub(super) fn voided(&mut self, id: &str, oid: u32) {
        if let Some(table) = self.table_mut(id, oid) {
            table.void = false;
        }
        self.record_table(id, oid);
    }

    /// Something else is to be recorded with the requests.
    pub(super) fn note(&mut self, entry: Entry) {
        self.entries.insert(entry.key, entry.value);
    }

    /// A table is read from its beginning.
    pub(super) fn begin_anew(&mut self, id: &str, oid: u32, described: &Description) {
        let mut published = 0;
        if let Some(table) = self.table_mut(id, oid) {
            published = std::mem::take(&mut table.rows);
            table.begun = None;
            table.reached = None;
            table.passed = false;
            table.identity.clone_from(&described.identity);
            let estimate = u64::try_from(described.published.rows_estimate);
            table.rows_estimate = estimate.unwrap_or(0);
        }
        if let Some(request) = self.request_mut(id) {
            request.rows -= published.min(request.rows);
        }
        self.record_table(id, oid);
        self.record(id);
    }

    /// The key that the next chunk of a table begins with.
    pub(super) fn reached(&self, id: &str, oid: u32) -> Option<Vec<String>> {
        self.table(id, oid)?.reached.clone()
    }

    /// Whether every key of a table has been passed: what is left is listed.
    pub(super) fn has_passed(&self, id: &str, oid: u32) -> bool {
        self.table(id, oid).is_some_and(|table| table.passed)
    }

    /// A chunk is published, so many rows were read for it.
    pub(super) fn chunk_published(
        &mut self,
        id: &str,
        oid: u32,
        begun: Position,
        left: Left,
        rows: usize,
        now_us: i64,
    ) {
        let rows = rows as u64;
        if let Some(table) = self.table_mut(id, oid) {
            table.begun = Some(begun);
            table.rows += rows;
            table.passed = left == Left::Listed;
            table.reached = match left {
                Left::From(key) => Some(key),
                Left::Listed | Left::Nothing => None,
            };
        }
        if let Some(request) = self.request_mut(id) {
            request.rows += rows;
            request.began_us.get_or_insert(now_us);
        }
        self.record_table(id, oid);
        self.record(id);
    }

    /// All of a table is read. The lowest point that the tables of its topic were begun at, if now all of them
    /// are read: its end is to be marked then. The request ends with its last table.
    pub(super) fn table_finished(&mut self, id: &str, oid: u32, now_us: i64) -> Option<Position> {
        let table = self.table_mut(id, oid)?;
        table.finished = true;
        let (name, rows) = (table.table.clone(), table.rows);
        let (topic, whole) = (
            table.topic.clone(),
            table.whole_topic && table.begun.is_some(),
        );
        tracing::info!(request = %id, table = %name, rows, "a table is read again");
        if let Some(request) = self.request_mut(id) {
            request.tables_finished += 1;
        }
        self.leave(oid);
        self.record_table(id, oid);
        self.record(id);
        let tables = self.records.tables.get(id).into_iter().flatten();
        let of_topic = tables.filter(|(_, table)| table.topic == topic);
        let of_topic: Vec<&RequestTable> = of_topic.map(|(_, table)| table).collect();
        let ended = whole && of_topic.iter().all(|table| table.finished);
        let lowest = of_topic.iter().filter_map(|table| table.begun).min();
        let lowest = lowest.filter(|_| ended);
        // Its end is recorded with that of its last table.
        self.next(now_us);
        lowest
    }

    /// How far the request under way is.
    pub(super) fn progress(&self, now_us: i64) -> Option<Progress> {
        let request = self.under_way()?;
        let remaining = request.rows_estimate.saturating_sub(request.rows);
        let elapsed_us = now_us - request.began_us?;
        // Both fit by far.
        let minutes = (elapsed_us as f64 / 6e7 * remaining as f64 / request.rows as f64).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate in minutes"
        )]
        let minutes = minutes.is_finite().then_some(minutes.max(0.0) as u64);
        Some(Progress {
            request: request.id.clone(),
            rows: request.rows,
            rows_remaining: remaining,
            minutes_remaining: minutes,
        })
    }

    /// Whether something is to be recorded.
    pub(super) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// What is to be recorded.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        let entries = std::mem::take(&mut self.entries).into_iter();
        entries.map(|(key, value)| Entry { key, value }).collect()
    }

    fn index(&self, id: &str) -> Option<usize> {
        let mut requests = self.records.requests.iter();
        requests.position(|request| request.id == id)
    }

    fn request_mut(&mut self, id: &str) -> Option<&mut SnapshotRequest> {
        let mut requests = self.records.requests.iter_mut();
        requests.find(|request| request.id == id)
    }

    fn table(&self, id: &str, oid: u32) -> Option<&RequestTable> {
        self.records.tables.get(id)?.get(&oid)
    }

    fn table_mut(&mut self, id: &str, oid: u32) -> Option<&mut RequestTable> {
        self.records.tables.get_mut(id)?.get_mut(&oid)
    }

    fn record(&mut self, id: &str) {
        if let Some(index) = self.index(id) {
            self.record_request(index);
        }
    }

    fn record_request(&mut self, index: usize) {
        if let Some(request) = self.records.requests.get(index) {
            let Entry { key, value } = request.entry();
            self.entries.insert(key, value);
        }
    }

    fn record_table(&mut self, id: &str, oid: u32) {
        if let Some(table) = self.table(id, oid) {
            let Entry { key, value } = table.entry(id, oid);
            self.entries.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests;

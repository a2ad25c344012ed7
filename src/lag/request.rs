//! How far requests to read tables again are.

use std::fmt;

use serde::Serialize;

use crate::kafka::{AdHocRecords, RequestState, SnapshotRequest};

/// A request and its progress.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestLag {
    /// As it is recorded.
    #[serde(flatten)]
    pub request: SnapshotRequest,
    /// The table that is read.
    pub table: Option<String>,
    /// Since its first chunk; pauses count.
    pub rows_per_second: Option<f64>,
    /// At that rate, by the planner's estimate.
    pub minutes_remaining: Option<f64>,
}

impl RequestLag {
    /// Those that are recorded, in the order in which they are carried out.
    pub fn all(records: &AdHocRecords) -> Vec<RequestLag> {
        let now_us = jiff::Timestamp::now().as_microsecond();
        let requests = records.requests.iter();
        requests
            .map(|request| RequestLag::of(request, records, now_us))
            .collect()
    }

    /// Those that have not ended.
    pub fn open(records: &AdHocRecords) -> Vec<RequestLag> {
        let mut all = RequestLag::all(records);
        all.retain(|request| !request.request.state.has_ended());
        all
    }

    fn of(request: &SnapshotRequest, records: &AdHocRecords, now_us: i64) -> RequestLag {
        let tables = records.tables.get(&request.id).into_iter().flatten();
        let left = tables.filter(|(_, table)| !table.finished);
        let next = left.min_by_key(|(_, table)| table.number);
        let until = request.ended_us.unwrap_or(now_us);
        let seconds = request
            .began_us
            .map(|began| (until - began).max(1) as f64 / 1e6);
        let rate = seconds.map(|seconds| request.rows as f64 / seconds);
        let remaining = request.rows_estimate.saturating_sub(request.rows);
        let minutes = rate
            .filter(|rate| *rate > 0.0 && !request.state.has_ended())
            .map(|rate| remaining as f64 / rate / 60.0);
        RequestLag {
            table: next.map(|(_, table)| table.table.clone()),
            rows_per_second: rate,
            minutes_remaining: minutes,
            request: request.clone(),
        }
    }
}

/// `reading public.orders: 500 of about 2000 rows, 1 of 3 tables whole, 120 rows/s, about 1 minute left`
impl fmt::Display for RequestLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        f.write_str(request.state.name())?;
        if let Some(table) = &self.table {
            write!(f, " {table}")?;
        }
        if let Some(reason) = &request.reason {
            write!(f, ": {reason}")?;
        }
        if request.state == RequestState::TakenUp {
            return Ok(());
        }
        write!(f, ", {}", request.rows)?;
        // An estimate may be too low, or there is none before the table is analysed.
        if request.rows_estimate > request.rows && !request.state.has_ended() {
            write!(f, " of about {}", request.rows_estimate)?;
        }
        let (finished, total) = (request.tables_finished, request.tables_total);
        let joined = if request.joined { " that joined" } else { "" };
        write!(f, " rows, {finished} of {total} tables{joined} whole")?;
        if let (RequestState::Reading, Some(rate)) = (request.state, self.rows_per_second) {
            write!(f, ", {rate:.0} rows/s")?;
        }
        if let (RequestState::Reading, Some(minutes)) = (request.state, self.minutes_remaining) {
            write!(f, ", about {:.0} min left", minutes.ceil())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_is_left_where_it_can() {
        let request = SnapshotRequest {
            id: "7d1f0c52".to_owned(),
            number: 0,
            tables: Vec::new(),
            joined: false,
            state: RequestState::Reading,
            reason: None,
            taken_up_us: 0,
            began_us: Some(0),
            ended_us: None,
            tables_total: 3,
            tables_finished: 1,
            rows: 500,
            rows_estimate: 2000,
        };
        let records = AdHocRecords::default();
        let lag = RequestLag::of(&request, &records, 10_000_000);
        assert_eq!(
            lag.to_string(),
            "reading, 500 of about 2000 rows, 1 of 3 tables whole, 50 rows/s, about 1 min left"
        );
        let failed = SnapshotRequest {
            state: RequestState::Failed,
            reason: Some("no such table".to_owned()),
            ended_us: Some(5_000_000),
            ..request
        };
        let joined = SnapshotRequest {
            joined: true,
            ..failed.clone()
        };
        assert_eq!(
            RequestLag::of(&joined, &records, 10_000_000).to_string(),
            "failed: no such table, 500 rows, 1 of 3 tables that joined whole"
        );
        let lag = RequestLag::of(&failed, &records, 10_000_000);
        assert_eq!(
            lag.to_string(),
            "failed: no such table, 500 rows, 1 of 3 tables whole"
        );
        assert_eq!(
            (lag.rows_per_second, lag.minutes_remaining),
            (Some(100.0), None)
        );
    }
}

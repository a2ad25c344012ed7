//! `Position`: where a change stands in the order of the source, `1:16/B374D848:3` in text.
//!
//! A change's own LSN neither identifies nor orders: rows of one COPY share it and it runs backwards
//! between interleaved transactions. Transactions are ordered by their commit, and the changes of one
//! transaction by their ordinal, counted from 1 as the server sent them. Ordinal 0 belongs to reads of
//! a snapshot, and to the point after a whole transaction (`(end_lsn, 0)`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Lsn;

/// Rises when the source's identity changes or its history is lost; starts at 1.
pub type Epoch = u32;

/// Where a change stands: compared by epoch, then commit, then ordinal. Serialised as its text.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Position {
    /// Epoch of the source.
    pub epoch: Epoch,
    /// Final LSN of the transaction (Begin's), or the snapshot's LSN.
    pub commit_lsn: Lsn,
    /// From 1 within a transaction; 0 for a snapshot read or a transaction boundary.
    pub ordinal: u64,
}

impl Position {
    /// The position `ordinal` of the transaction that commits at `commit_lsn`.
    pub fn new(epoch: Epoch, commit_lsn: Lsn, ordinal: u64) -> Self {
        Position {
            epoch,
            commit_lsn,
            ordinal,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.commit_lsn, self.ordinal)
    }
}

/// The text is not `epoch:lsn:ordinal`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid position \"{0}\": expected epoch:lsn:ordinal, like 1:16/B374D848:3")]
pub struct ParsePositionError(String);

impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}

impl TryFrom<String> for Position {
    type Error = ParsePositionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.split(':');
            let epoch = parts.next()?.parse().ok()?;
            let commit_lsn = parts.next()?.parse().ok()?;
            let ordinal = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Position {
                epoch,
                commit_lsn,
                ordinal,
            })
        };
        parse().ok_or_else(|| ParsePositionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let position = Position::new(1, Lsn(0x16_B374_D848), 3);
        assert_eq!(position.to_string(), "1:16/B374D848:3");
        assert_eq!("1:16/B374D848:3".parse(), Ok(position));
    }

    #[test]
    fn order_is_epoch_then_commit_then_ordinal() {
        let ascending = [
            "1:0/9:7", "1:0/A:0", "1:0/A:2", "1:0/A:10", "1:1/0:1", "2:0/1:0",
        ];
        let parsed: Vec<Position> = ascending.iter().map(|text| text.parse().unwrap()).collect();
        assert!(parsed.is_sorted(), "{parsed:?}");
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", "1:0/0", "1:0/0:", "1:0/0:1:2", "x:0/0:1", "1:0:1"] {
            assert!(text.parse::<Position>().is_err(), "{text:?} was accepted");
        }
    }
}

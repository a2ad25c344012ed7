//! The gate: how far the stream may go while a table without a key is read. Pure.

use crate::event::Lsn;
use crate::pgoutput::{self, Message};

/// How far the stream may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// To the end of the transaction that is under way.
    Here,
    /// To the first transaction that commits there, or later.
    At(Lsn),
}

impl Gate {
    /// How far a keepalive may move the stream.
    pub(crate) fn up_to(self, end: Lsn) -> Lsn {
        match self {
            Gate::Here => Lsn::ZERO,
            Gate::At(point) => end.min(point),
        }
    }

    /// Whether a message between two transactions lies behind it. A transaction begins at its commit's place in the
    /// log, a message outside of any has one of its own.
    pub(crate) fn bars(self, data: &[u8]) -> bool {
        let Gate::At(point) = self else {
            return false;
        };
        match pgoutput::parse(data) {
            Ok(Message::Begin { final_lsn, .. }) => final_lsn >= point,
            Ok(Message::Message {
                transactional: false,
                lsn,
                ..
            }) => lsn >= point,
            // What is malformed is said to be so when it is applied.
            Ok(_) | Err(_) => false,
        }
    }
}

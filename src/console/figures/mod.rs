//! What the source, Kafka, the sink and the roles say of themselves, and the rates of what they count.

mod kafka;
mod rate;
mod roles;
mod sink;
mod source;

use std::time::Duration;

pub(super) use kafka::{Kafka, KafkaWatch};
pub(super) use roles::{Roles, RolesWatch, StageFigures};
pub(super) use sink::{Sink, SinkWatch};
pub(super) use source::{Source, SourceWatch};

use super::pipeline::{Answer, Figures, Pipeline};

/// Someone who is asked again and again.
pub(super) trait Watch: Send + 'static {
    /// What is found.
    type Found: Send;
    /// Between two looks.
    const PAUSE: Duration;

    /// Asks; the error says in words for people who does not answer.
    fn ask(&mut self, known: &Pipeline)
    -> impl Future<Output = Result<Self::Found, String>> + Send;

    /// Where the answer is kept.
    fn answer(figures: &mut Figures) -> &mut Answer<Self::Found>;
}

//! The topics that rows of outboxes are routed to: made when a row is the first to name one.

use super::Error;
use super::tables::Tables;
use crate::event::selection::Routed;
use crate::event::{Plan, Target};
use crate::kafka::{TopicSpec, topics};

impl Tables {
    /// Whether a table's rows are routed, each to the topic that it names.
    pub(super) fn is_outbox(&self, schema: &str, table: &str) -> bool {
        self.selection.outbox(schema, table).is_some()
    }

    /// The topic that rows of an outbox name with `value`, created when missing.
    pub(crate) async fn route(&mut self, plan: &Plan, value: &[u8]) -> Result<Target, Error> {
        let outbox = self.selection.outbox.clone().unwrap_or_default();
        // What is not UTF-8 is no topic's name.
        let value = String::from_utf8_lossy(value);
        let routed = Routed {
            prefix: &self.kafka.prefix,
            schema: plan.schema(),
            table: plan.table(),
            value: &value,
        };
        let name = outbox.topic(&routed)?;
        if !self.routed.contains(&name) {
            if let Some(holds) = self.holder(&name) {
                return Err(outbox.taken(&routed, &name, holds).into());
            }
            if self.routed.len() >= outbox.topics_max {
                return Err(outbox.too_many(&routed, &name).into());
            }
        }
        let spec = TopicSpec::events(&self.kafka, name.clone());
        let partitions = outbox.partitions.unwrap_or(spec.partitions);
        let topic = self.topic(TopicSpec { partitions, ..spec }).await?;
        if self.routed.insert(name.clone()) {
            let table = plan.full_name();
            tracing::info!(%table, topic = %name, "rows of an outbox are routed to a topic");
        }
        let mut target = plan.target(&value, topic.index, topic.partitions);
        self.identify_patiently(&name, target.frames_mut()).await?;
        Ok(target)
    }

    /// What a topic holds that no row may be routed to.
    fn holder(&self, name: &str) -> Option<&'static str> {
        let own = [
            topics::heartbeat,
            topics::messages,
            topics::transactions,
            topics::schema_changes,
            topics::passed_over,
            topics::promotions,
        ];
        if own.iter().any(|own| own(&self.kafka.prefix) == name) {
            return Some("tidewater's own records");
        }
        self.topics
            .contains_key(name)
            .then_some("the changes of a table")
    }
}

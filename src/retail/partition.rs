//! Partitions of the three topics that the retail half folds.

use super::change::Table;
use crate::config::mapping::MappedTable;
use crate::config::settings::{Kafka, Retail};

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// Which topic.
    pub table: Table,
    /// Which of its partitions.
    pub partition: i32,
}

/// Names of the topics.
#[derive(Clone, Debug)]
pub struct Topics {
    inventory: String,
    orders: String,
    customers: String,
    heartbeat: String,
}

impl Topics {
    /// The topics of the configured tables.
    pub fn new(kafka: &Kafka, retail: &Retail) -> Self {
        let topic = |table: &MappedTable| {
            crate::kafka::topics::table(&kafka.prefix, &table.schema, &table.name)
        };
        Topics {
            inventory: topic(&retail.mapping.inventory),
            orders: topic(&retail.mapping.orders),
            customers: topic(&retail.mapping.customers),
            heartbeat: crate::kafka::topics::heartbeat(&kafka.prefix),
        }
    }

    /// The topic of one table.
    pub fn name(&self, table: Table) -> &str {
        match table {
            Table::Inventory => &self.inventory,
            Table::Orders => &self.orders,
            Table::Customers => &self.customers,
        }
    }

    /// The table of one topic.
    pub fn table(&self, name: &str) -> Option<Table> {
        Table::ALL
            .into_iter()
            .find(|table| self.name(*table) == name)
    }

    /// The heartbeat's topic.
    pub fn heartbeat(&self) -> &str {
        &self.heartbeat
    }
}

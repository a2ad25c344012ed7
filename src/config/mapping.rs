//! `[retail.inventory]`, `[retail.orders]` and `[retail.customers]`: the shop's tables under the names that their
//! owner gave them.
//!
//! A *role* is what a column is for, by the name that it has in the demo shop: `on_hand`. The rest of the program
//! speaks of roles; what stands in the source's tables and in their topics are the owner's names.

use std::collections::BTreeSet;
use std::fmt;

use super::resolve::Resolver;
use crate::event::topic_characters;

/// Longest name of a column, bytes: PostgreSQL's.
const NAME_MAX: usize = 63;

/// The shop's tables, and what their statuses mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Stock levels.
    pub inventory: MappedTable,
    /// Orders.
    pub orders: MappedTable,
    /// Customers.
    pub customers: MappedTable,
    /// Statuses of orders that do not count as sold, since they are cancelled or returned.
    pub cancelled: BTreeSet<String>,
}

/// One table of the owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedTable {
    /// The section that maps it, `retail.orders`.
    pub section: &'static str,
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
    /// Its columns that are read. An optional one that the owner does not have is left out.
    pub columns: Vec<MappedColumn>,
}

/// One column of the owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedColumn {
    /// What it is for.
    pub role: Role,
    /// Its name in the table.
    pub name: String,
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name in the demo shop.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// The table's key is made of it.
    pub in_key: bool,
    /// The owner need not have it.
    pub optional: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A whole number: an id, a level, units.
    Integer,
    /// A price.
    Amount,
    /// One of a few words: a status, a tier.
    Label,
    /// Text.
    Text,
    /// A moment.
    Moment,
    /// Yes or no.
    Flag,
}

const fn column(name: &'static str, holds: Holds) -> Role {
    Role {
        name,
        holds,
        in_key: false,
        optional: false,
    }
}

const fn key(name: &'static str) -> Role {
    Role {
        in_key: true,
        ..column(name, Holds::Integer)
    }
}

const fn optional(name: &'static str, holds: Holds) -> Role {
    Role {
        optional: true,
        ..column(name, holds)
    }
}

const INVENTORY: &[Role] = &[
    key("store_id"),
    key("product_id"),
    column("on_hand", Holds::Integer),
];
const ORDERS: &[Role] = &[
    key("order_id"),
    column("customer_id", Holds::Integer),
    column("store_id", Holds::Integer),
    column("product_id", Holds::Integer),
    column("quantity", Holds::Integer),
    column("unit_price", Holds::Amount),
    column("status", Holds::Label),
    column("placed_at", Holds::Moment),
    optional("promotion_code", Holds::Text),
];
const CUSTOMERS: &[Role] = &[
    key("customer_id"),
    column("tier", Holds::Label),
    optional("contact_allowed", Holds::Flag),
];

impl Mapping {
    /// The three tables.
    pub fn tables(&self) -> [&MappedTable; 3] {
        [&self.inventory, &self.orders, &self.customers]
    }

    /// Whether an order of this status is cancelled or returned.
    pub fn cancels(&self, status: &str) -> bool {
        self.cancelled.contains(status)
    }
}

/// What the aggregates are folded by, a line each: not the tables, whose topics have offsets of their own.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in self.tables() {
            for column in &table.columns {
                writeln!(f, "{} = {}", table.key_of(column.role.name), column.name)?;
            }
        }
        write!(f, "retail.orders.status = {:?}", self.cancelled)
    }
}

impl MappedTable {
    /// The owner's name of the column with this role; `None` when there is none.
    pub fn column(&self, role: &str) -> Option<&str> {
        let mut columns = self.columns.iter();
        let found = columns.find(|column| column.role.name == role)?;
        Some(&found.name)
    }

    /// The owner's names of the key's columns.
    pub fn key(&self) -> impl Iterator<Item = &str> {
        let keys = self.columns.iter().filter(|column| column.role.in_key);
        keys.map(|column| &*column.name)
    }

    /// The key of the configuration that names the column with this role.
    pub fn key_of(&self, role: &str) -> String {
        format!("{}.columns.{role}", self.section)
    }
}

impl fmt::Display for MappedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Resolves the three sections.
pub(super) fn mapping(resolver: &mut Resolver<'_>) -> Option<Mapping> {
    let inventory = table(resolver, "retail.inventory", INVENTORY);
    let orders = table(resolver, "retail.orders", ORDERS);
    let customers = table(resolver, "retail.customers", CUSTOMERS);
    let lists = ["cancelled", "returned"];
    let lists = lists.map(|list| resolver.texts(&format!("retail.orders.status.{list}")));
    let mapping = Mapping {
        inventory: inventory?,
        orders: orders?,
        customers: customers?,
        cancelled: lists.into_iter().flatten().collect(),
    };
    have_topics_of_their_own(&mapping, resolver).then_some(mapping)
}

fn table(
    resolver: &mut Resolver<'_>,
    section: &'static str,
    roles: &[Role],
) -> Option<MappedTable> {
    let name = resolver.table(&format!("{section}.table"));
    let names: Vec<_> = roles
        .iter()
        .map(|role| named(resolver, section, *role))
        .collect();
    let (schema, name) = name?;
    let columns = names.into_iter().collect::<Option<Vec<_>>>()?;
    let table = MappedTable {
        section,
        schema,
        name,
        columns: columns.into_iter().flatten().collect(),
    };
    has_columns_of_their_own(&table, resolver).then_some(table)
}

/// The outer `None` is a fault, the inner one "there is none".
fn named(resolver: &mut Resolver<'_>, section: &str, role: Role) -> Option<Option<MappedColumn>> {
    let path = format!("{section}.columns.{}", role.name);
    if role.optional && resolver.text(&path).is_some_and(|text| text.is_empty()) {
        return Some(None);
    }
    let name = resolver.name(&path, NAME_MAX, |c| !c.is_control())?;
    Some(Some(MappedColumn { role, name }))
}

/// Refuses a column that is named twice: one of the two is a mistake.
fn has_columns_of_their_own(table: &MappedTable, resolver: &mut Resolver<'_>) -> bool {
    let mut distinct = true;
    for (index, column) in table.columns.iter().enumerate() {
        let mut before = table.columns.iter().take(index);
        if let Some(other) = before.find(|other| other.name == column.name) {
            distinct = false;
            resolver.conflict(
                &table.key_of(column.role.name),
                format!(
                    "\"{}\" is {} already",
                    column.name,
                    table.key_of(other.role.name)
                ),
                "name the column of each",
            );
        }
    }
    distinct
}

/// Refuses tables that are one, or whose topics are.
fn have_topics_of_their_own(mapping: &Mapping, resolver: &mut Resolver<'_>) -> bool {
    let topic = |table: &MappedTable| topic_characters(&table.to_string());
    let mut distinct = true;
    for (index, table) in mapping.tables().into_iter().enumerate() {
        let mut before = mapping.tables().into_iter().take(index);
        if let Some(other) = before.find(|other| topic(other) == topic(table)) {
            distinct = false;
            resolver.conflict(
                &format!("{}.table", table.section),
                format!(
                    "{table} has the topic of {other}, which is {}.table",
                    other.section
                ),
                "name another table",
            );
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"
        [retail.inventory]
        table = "erp.Stock of 2026.1"
        columns.store_id = "Branch"
        columns.on_hand = "the \"real\" quantity"
        [retail.orders]
        table = '"sa.les"."order ""lines"""'
        columns = { order_id = "line", promotion_code = "" }
        status = { cancelled = ["X", "VOID, by hand", ""], returned = [] }
        [retail.customers]
        table = "crm.members"
        columns.contact_allowed = "" "#;

    fn parsed(text: &str) -> std::sync::Arc<Mapping> {
        crate::config::parse(text, []).unwrap().retail.mapping
    }

    #[test]
    fn the_demo_shop_is_the_default() {
        let mapping = parsed("");
        let names = mapping.tables().map(ToString::to_string);
        assert_eq!(
            names,
            ["public.inventory", "public.orders", "public.customers"]
        );
        for table in mapping.tables() {
            for column in &table.columns {
                assert_eq!(column.name, column.role.name);
            }
        }
        let cancelled = ["placed", "cancelled", "returned", "Cancelled", ""]
            .map(|status| mapping.cancels(status));
        assert_eq!(cancelled, [false, true, true, false, false]);
    }

    #[test]
    fn names_and_statuses_are_taken_as_they_are() {
        let mapping = parsed(OWN);
        let named = |table: &MappedTable| (table.schema.clone(), table.name.clone());
        let pair = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        assert_eq!(named(&mapping.inventory), pair("erp", "Stock of 2026.1"));
        assert_eq!(named(&mapping.orders), pair("sa.les", "order \"lines\""));
        let inventory = ["store_id", "product_id", "on_hand"];
        assert_eq!(
            inventory.map(|role| mapping.inventory.column(role)),
            [
                Some("Branch"),
                Some("product_id"),
                Some("the \"real\" quantity")
            ]
        );
        let keys: Vec<&str> = mapping.inventory.key().collect();
        assert_eq!(keys, ["Branch", "product_id"]);
        assert_eq!(mapping.orders.column("promotion_code"), None);
        assert_eq!(mapping.customers.column("contact_allowed"), None);
        for (status, cancelled) in [
            ("X", true),
            ("VOID, by hand", true),
            ("", true),
            ("VOID", false),
            ("returned", false),
        ] {
            assert_eq!(mapping.cancels(status), cancelled, "{status:?}");
        }
    }

    #[test]
    fn the_environment_maps_too() {
        let variables = [
            ("TIDEWATER_RETAIL_ORDERS_COLUMNS_STORE_ID", "branch"),
            ("TIDEWATER_RETAIL_ORDERS_COLUMNS_PROMOTION_CODE", ""),
            ("TIDEWATER_RETAIL_ORDERS_STATUS_RETURNED", "R, S"),
            ("TIDEWATER_RETAIL_ORDERS_STATUS_CANCELLED", ""),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mapping = crate::config::parse("", variables).unwrap().retail.mapping;
        assert_eq!(mapping.orders.column("store_id"), Some("branch"));
        assert_eq!(mapping.orders.column("promotion_code"), None);
        let cancelled: Vec<&String> = mapping.cancelled.iter().collect();
        assert_eq!(cancelled, ["R", "S"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_remedy() {
        for (text, expected) in [
            (
                "inventory.table = \"stock\"",
                "retail.inventory.table: \"stock\" is out of bounds; it may be schema.table",
            ),
            (
                "inventory.table = '\"erp\".\"stock'",
                "retail.inventory.table: \"\"erp\".\"stock\" is out of bounds",
            ),
            (
                "orders.columns.quantity = \"\"",
                "retail.orders.columns.quantity: is missing; set it to the name of a column",
            ),
            (
                "orders.columns.quantitty = \"q\"",
                "retail.orders.columns.quantitty: there is no such key; did you mean \
                 retail.orders.columns.quantity?",
            ),
            (
                "inventory.columns.on_hand = \"product_id\"",
                "retail.inventory.columns.on_hand: \"product_id\" is retail.inventory.columns.product_id already; \
                 name the column of each",
            ),
            (
                "customers.table = \"public.orders\"",
                "retail.customers.table: public.orders has the topic of public.orders, which is retail.orders.table; \
                 name another table",
            ),
            (
                "orders.table = \"a.b c\"\ninventory.table = \"a.b_c\"",
                "retail.orders.table: a.b c has the topic of a.b_c, which is retail.inventory.table",
            ),
        ] {
            let text = format!("[retail]\n{text}");
            let faults = crate::config::parse(&text, []).unwrap_err().to_string();
            assert!(faults.contains(expected), "no {expected} in {faults}");
        }
        let long = format!("[retail.orders.columns]\nstatus = \"{}\"", "x".repeat(64));
        assert!(crate::config::parse(&long, []).is_err());
    }
}

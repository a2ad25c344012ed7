//! A store for tests: its settings, whose it is, and one with a table.

use std::path::Path;

use super::{FedTable, Joining, Owner, Recorded, RowStore, StoreFile};
use crate::config::settings::{MissingRows, RowStore as Settings};
use crate::event::{Column, Lsn};
use crate::postgres::{Attribute, MissingValue, Patterns, TableLayout};
use crate::replicate::capture::Point;
use crate::step::Steps;

pub(crate) const TABLE: u32 = 7;

/// Of every table.
pub(crate) fn settings(directory: &Path, bytes_max: u64) -> Settings {
    Settings {
        path: directory.join("store"),
        bytes_max,
        cache_bytes: 1 << 20,
        tables: Patterns::new(&["*.*".to_owned()]).unwrap(),
        missing: MissingRows::Refuse,
    }
}

/// It stands behind whole transactions.
pub(crate) fn recorded(resume: u64) -> Recorded {
    let owner = Owner {
        system_id: "7".to_owned(),
        database: "shop".to_owned(),
        prefix: "retail".to_owned(),
        slot: "tidewater".to_owned(),
        epoch: 1,
    };
    Recorded::new(owner, Point::from(Lsn(resume)))
}

/// `(id, n, big)`.
pub(crate) fn table() -> FedTable {
    let attribute = |number, name: &str| Attribute {
        number,
        name: name.to_owned(),
        type_oid: 25,
        type_modifier: -1,
        dropped: false,
        generated: false,
        altered_by: 1,
        missing: MissingValue::None,
    };
    let columns = ["id", "n", "big"];
    let attributes = (1..).zip(columns);
    FedTable {
        id: TABLE,
        catalog: TableLayout {
            attributes: attributes
                .map(|(number, name)| attribute(number, name))
                .collect(),
            storage: Some(1),
            seen_at: Lsn(1),
            partitions: Vec::new(),
        },
        columns: columns.map(str::to_owned).to_vec(),
        identity: vec![0],
        captured: vec![true; 3],
        through: vec!["table 1".to_owned()],
        anew: false,
    }
}

/// The store of that directory, with the table; `begun`: a part of it has been read.
pub(crate) fn open(directory: &Path, begun: bool) -> RowStore {
    let settings = settings(directory, 1 << 30);
    let file = StoreFile::open(&settings).unwrap();
    let file = file.unwrap_or_else(|| StoreFile::create(&settings).unwrap());
    let joining = Joining {
        begun: begun.then_some(TABLE).into_iter().collect(),
        ..Joining::default()
    };
    let mut rows =
        RowStore::new(file, recorded(100), &settings, joining, Steps::default()).unwrap();
    rows.begin_feed(table());
    rows
}

/// A row of the table, as the stream has it.
pub(crate) fn row<'a>(id: &'a str, big: Option<&'a str>) -> [Column<'a>; 3] {
    let text = |text: &'a str| Column::Text(text.as_bytes());
    [text(id), text("1"), big.map_or(Column::Unchanged, text)]
}

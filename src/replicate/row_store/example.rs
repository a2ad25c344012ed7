//! A store for tests: its settings, and whose it is.

use std::path::Path;

use super::{Owner, Recorded};
use crate::config::settings::{MissingRows, RowStore as Settings};
use crate::event::Lsn;
use crate::postgres::Patterns;
use crate::replicate::capture::Point;

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

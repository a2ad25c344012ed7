//! The source: its slot, the log it keeps, and how fast its rows change.

use std::time::{Duration, Instant};

use super::rate::Rate;
use super::{Answer, Figures, Pipeline, Watch};
use crate::config::settings;
use crate::connection::{self, Database};
use crate::lag::{self, SourceLag};
use crate::telemetry;

/// The server counts rows about once a second, later where it is idle.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// What the source says.
#[derive(Debug)]
pub(in crate::console) struct Source {
    pub(in crate::console) lag: SourceLag,
    /// Rows that were changed, per second.
    pub(in crate::console) rate: Option<f64>,
}

impl Source {
    /// In a few words.
    pub(in crate::console) fn detail(&self) -> String {
        let SourceLag {
            slot,
            exists,
            active,
            ..
        } = &self.lag;
        match (exists, active) {
            (false, _) => format!("slot {slot} does not exist yet"),
            (true, true) => format!("slot {slot}, read now"),
            (true, false) => format!("slot {slot}, nobody reads it"),
        }
    }
}

/// Asks it.
pub(in crate::console) struct SourceWatch {
    settings: Option<settings::Source>,
    database: Option<Database>,
    changes: Rate,
}

impl SourceWatch {
    /// Connects when it is first asked.
    pub(in crate::console) fn new(settings: Option<settings::Source>) -> SourceWatch {
        SourceWatch {
            settings,
            database: None,
            changes: Rate::over(RATE_WINDOW),
        }
    }

    async fn look(&mut self, settings: &settings::Source) -> Result<Source, lag::Error> {
        const CHANGES: &str = "
            select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::float8
            from pg_stat_user_tables";
        // Taken, so that a connection that failed is not used again.
        let database = match self.database.take() {
            Some(database) => database,
            None => connection::connect(&settings.connection)
                .await
                .map_err(lag::Error::SourceConnection)?,
        };
        let lag = lag::source(&database, &settings.slot).await?;
        let row = database.query_one(CHANGES, &[]).await;
        let row = row.map_err(crate::postgres::Error::query("counting changed rows"))?;
        self.database = Some(database);
        let rate = self.changes.take(row.get(0), Instant::now());
        Ok(Source { lag, rate })
    }
}

impl Watch for SourceWatch {
    type Found = Source;
    const PAUSE: Duration = Duration::from_secs(1);

    async fn ask(&mut self, _: &Pipeline) -> Result<Source, String> {
        let Some(settings) = self.settings.clone() else {
            return Err("the configuration of the console has no [source]".to_owned());
        };
        let found = self.look(&settings).await;
        found.map_err(|error| telemetry::chain(&error))
    }

    fn answer(figures: &mut Figures) -> &mut Answer<Source> {
        &mut figures.source
    }
}

//! The sink's schema: created, upgraded, and refused when it is newer than this program.

use refinery::{Migration, Runner};
use tokio_postgres::error::SqlState;

use crate::config::settings::Sink;
use crate::connection::{self, Connection, Database, ServerError, quote_identifier};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Where the applied migrations are listed.
const HISTORY_TABLE: &str = "tidewater_schema_history";

/// Held while migrating, so that two instances that start together take turns.
const MIGRATION_LOCK: i64 = 0x7469_6465_7761_7465;

/// Why the sink's schema cannot be made ours.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The sink cannot be reached or refuses us.
    #[error("cannot connect to the sink database")]
    Connect(#[source] connection::Error),
    /// The database is missing and cannot be created.
    #[error(
        "the sink database {database} does not exist and {user} may not create it: create it, or \
         grant {user} the createdb right"
    )]
    CannotCreate {
        /// The database.
        database: String,
        /// The role.
        user: String,
        /// The server's word.
        source: ServerError,
    },
    /// A newer program has been here.
    #[error(
        "the sink's schema is at version {found} and this program knows versions up to {known}: \
         upgrade tidewater"
    )]
    Newer {
        /// Version in the sink.
        found: i64,
        /// Newest version here.
        known: i64,
    },
    /// An older program has been here, and nobody asked to upgrade.
    #[error(
        "the sink's schema is at version {found} and this program needs version {known}: run \
         tidewater migrate"
    )]
    Older {
        /// Version in the sink.
        found: i64,
        /// Version needed.
        known: i64,
    },
    /// A migration failed, or one that was applied is not the one known here.
    #[error(
        "cannot migrate the sink's schema: it needs a database of its own, and the right to create \
         tables there"
    )]
    Migration(#[source] Box<refinery::Error>),
    /// A statement around the migrations failed.
    #[error("cannot migrate the sink's schema: {0}")]
    Refused(ServerError),
    /// The connection broke.
    #[error("lost the connection to the sink while migrating")]
    Lost(#[source] tokio_postgres::Error),
}

impl SchemaError {
    /// How the process ends on it.
    pub fn exit_code(&self) -> crate::exit::ExitCode {
        use crate::exit::ExitCode;
        match self {
            SchemaError::Connect(source) if source.is_transient() => ExitCode::SinkUnreachable,
            SchemaError::Lost(_) => ExitCode::SinkUnreachable,
            SchemaError::Connect(_) | SchemaError::CannotCreate { .. } => ExitCode::SinkRefused,
            SchemaError::Newer { .. }
            | SchemaError::Older { .. }
            | SchemaError::Migration(_)
            | SchemaError::Refused(_) => ExitCode::SinkSchema,
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            SchemaError::Connect(source) => source.is_transient(),
            SchemaError::Lost(_) => true,
            SchemaError::Refused(source) => source.is_transient(),
            SchemaError::CannotCreate { .. }
            | SchemaError::Newer { .. }
            | SchemaError::Older { .. }
            | SchemaError::Migration(_) => false,
        }
    }

    fn of(error: tokio_postgres::Error) -> SchemaError {
        match error.as_db_error() {
            Some(refusal) => SchemaError::Refused(ServerError::from(refusal)),
            None => SchemaError::Lost(error),
        }
    }
}

/// Creates the sink database when it is missing and rights allow, and brings its schema up to date.
/// Says how many migrations were applied.
pub async fn migrate(sink: &Sink) -> Result<usize, SchemaError> {
    let mut database = connect_or_create(&sink.connection).await?;
    let lock = "select pg_advisory_lock($1)";
    database
        .execute(lock, &[&MIGRATION_LOCK])
        .await
        .map_err(SchemaError::of)?;
    let runner = runner();
    refuse_newer(&runner, &database).await?;
    let report = runner
        .run_async(&mut *database)
        .await
        .map_err(|error| SchemaError::Migration(Box::new(error)))?;
    Ok(report.applied_migrations().len())
}

/// Refuses a sink whose schema is not exactly this program's.
pub async fn check(sink: &Sink) -> Result<(), SchemaError> {
    let database = connection::connect(&sink.connection)
        .await
        .map_err(SchemaError::Connect)?;
    let runner = runner();
    let found = refuse_newer(&runner, &database).await?;
    let known = newest(&runner);
    if found < known {
        Err(SchemaError::Older { found, known })
    } else {
        Ok(())
    }
}

fn runner() -> Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY_TABLE);
    runner
}

fn newest(runner: &Runner) -> i64 {
    let versions = runner.get_migrations().iter().map(Migration::version);
    versions.map(i64::from).max().unwrap_or(0)
}

/// The version that the sink is at: 0 when it has none yet.
async fn refuse_newer(runner: &Runner, database: &Database) -> Result<i64, SchemaError> {
    let sql = format!("select coalesce(max(version), 0)::bigint from {HISTORY_TABLE}");
    let found: i64 = match database.query_one(&sql, &[]).await {
        Ok(row) => row.try_get(0).map_err(SchemaError::of)?,
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => 0,
        Err(error) => return Err(SchemaError::of(error)),
    };
    let known = newest(runner);
    if found > known {
        Err(SchemaError::Newer { found, known })
    } else {
        Ok(found)
    }
}

async fn connect_or_create(sink: &Connection) -> Result<Database, SchemaError> {
    match connection::connect(sink).await {
        Err(connection::Error::Refused { source, .. })
            if source.code == SqlState::INVALID_CATALOG_NAME.code() =>
        {
            create(sink).await?;
            connection::connect(sink)
                .await
                .map_err(SchemaError::Connect)
        }
        connected => connected.map_err(SchemaError::Connect),
    }
}

async fn create(sink: &Connection) -> Result<(), SchemaError> {
    let maintenance = sink.with_database("postgres");
    let database = connection::connect(&maintenance)
        .await
        .map_err(SchemaError::Connect)?;
    let sql = format!("create database {}", quote_identifier(sink.database()));
    match database.batch_execute(&sql).await {
        Ok(()) => Ok(()),
        // Another instance was faster.
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
        Err(error) => Err(match error.as_db_error() {
            Some(refusal) => SchemaError::CannotCreate {
                database: sink.database().to_owned(),
                user: sink.user().to_owned(),
                source: ServerError::from(refusal),
            },
            None => SchemaError::Lost(error),
        }),
    }
}

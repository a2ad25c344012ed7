//! The sink's table `api_key`.

use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::key::{KeyId, NewKey, Scope, SecretHash};
use crate::config::settings::Sink;
use crate::connection::{self, Database, ServerError};
use crate::exit::ExitCode;
use crate::retail::{SchemaError, check_schema};

/// Most keys that are valid at once: all of them are held in memory, and read every second.
const KEYS_MAX: i64 = 1_000;
/// Longest name, characters.
const NAME_MAX: usize = 100;

/// A key cannot be made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No sink is configured.
    #[error("the configuration has no [sink], where the gateway's keys are: add sink.url")]
    Unconfigured,
    /// The sink cannot be reached or refuses us.
    #[error("cannot connect to the sink database")]
    Connect(#[source] connection::Error),
    /// The sink's schema is another one.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The sink refused.
    #[error("the sink refused to {doing}: {source}")]
    Refused {
        /// What it was asked.
        doing: &'static str,
        /// Its word.
        source: ServerError,
    },
    /// The connection broke.
    #[error("lost the connection to the sink while it was to {doing}")]
    Lost {
        /// What it was asked.
        doing: &'static str,
        /// The client's word.
        source: tokio_postgres::Error,
    },
    /// The name is no name.
    #[error("a key's name has 1 to {NAME_MAX} characters, none of them a control character")]
    Name,
    /// The name is taken.
    #[error("there is a valid key named \"{name}\": choose another name, or revoke that key first")]
    Taken {
        /// The name.
        name: String,
    },
    /// There are as many as may be.
    #[error(
        "{KEYS_MAX} keys are valid, and no more may be: revoke some with tidewater keys revoke"
    )]
    TooMany,
    /// There is no such key.
    #[error("no valid key has the id or the name \"{which}\": see tidewater keys list")]
    Unknown {
        /// What was asked for.
        which: String,
    },
    /// The system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random(#[source] rand::rand_core::OsError),
}

impl KeyError {
    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            KeyError::Unconfigured
            | KeyError::Name
            | KeyError::Taken { .. }
            | KeyError::TooMany
            | KeyError::Unknown { .. } => ExitCode::Configuration,
            KeyError::Connect(source) if source.is_transient() => ExitCode::SinkUnreachable,
            KeyError::Lost { .. } => ExitCode::SinkUnreachable,
            KeyError::Connect(_) | KeyError::Refused { .. } => ExitCode::SinkRefused,
            KeyError::Schema(source) => source.exit_code(),
            KeyError::Random(_) => ExitCode::Failure,
        }
    }

    fn of(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> KeyError {
        move |error| match error.as_db_error() {
            Some(refusal) => KeyError::Refused {
                doing,
                source: ServerError::from(refusal),
            },
            None => KeyError::Lost {
                doing,
                source: error,
            },
        }
    }
}

/// A key as it is listed: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedKey {
    /// Public part of the key.
    pub key_id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was revoked; none while it is valid.
    pub revoked_at: Option<String>,
}

/// A valid key, as requests are checked against it.
#[derive(Clone, Debug)]
pub(super) struct ValidKey {
    pub(super) id: KeyId,
    pub(super) hash: SecretHash,
    pub(super) scopes: Vec<Scope>,
}

/// Connects to a sink whose schema is this program's.
pub async fn open(sink: Option<&Sink>) -> Result<Database, KeyError> {
    let sink = sink.ok_or(KeyError::Unconfigured)?;
    check_schema(sink).await?;
    let connected = connection::connect(&sink.connection).await;
    connected.map_err(KeyError::Connect)
}

/// Makes a key; its text is only in what is returned.
pub async fn create(client: &Client, name: &str, scopes: &[Scope]) -> Result<NewKey, KeyError> {
    // Two at once may both be the last: the bound is there for memory, and one more does no harm.
    const SQL: &str = "
        with valid as (select count(*) as keys from api_key where revoked_at is null)
        insert into api_key (key_id, name, secret_hash, scopes)
        select $1, $2, $3, $4::text[] from valid where keys < $5";
    let length = name.chars().count();
    if length == 0 || length > NAME_MAX || name.chars().any(char::is_control) {
        return Err(KeyError::Name);
    }
    let key = NewKey::make().map_err(KeyError::Random)?;
    let mut names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    names.sort_unstable();
    names.dedup();
    let (id, hash) = (key.id.to_string(), key.hash.bytes());
    let made = client
        .execute(SQL, &[&id, &name, &hash, &names, &KEYS_MAX])
        .await;
    match made {
        Ok(0) => Err(KeyError::TooMany),
        Ok(_) => Ok(key),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Err(KeyError::Taken {
            name: name.to_owned(),
        }),
        Err(error) => Err(KeyError::of("make a key")(error)),
    }
}

/// Every key, the newest first.
pub async fn list(client: &Client) -> Result<Vec<ListedKey>, KeyError> {
    const SQL: &str = r#"
        select key_id, name, scopes,
               to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               to_char(revoked_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        from api_key order by created_at desc, key_id"#;
    let rows = client.query(SQL, &[]).await;
    let rows = rows.map_err(KeyError::of("list the keys"))?;
    let listed = |row: &Row| ListedKey {
        key_id: row.get(0),
        name: row.get(1),
        scopes: row.get(2),
        created_at: row.get(3),
        revoked_at: row.get(4),
    };
    Ok(rows.iter().map(listed).collect())
}

/// Revokes the valid key of this id or name; its id.
pub async fn revoke(client: &Client, which: &str) -> Result<String, KeyError> {
    const SQL: &str = "
        update api_key set revoked_at = now()
        where revoked_at is null and (key_id = $1 or name = $1) returning key_id";
    let revoked = client.query_opt(SQL, &[&which]).await;
    match revoked.map_err(KeyError::of("revoke a key"))? {
        Some(row) => Ok(row.get(0)),
        None => Err(KeyError::Unknown {
            which: which.to_owned(),
        }),
    }
}

/// Every valid key. A scope of a later version is passed over: nothing here asks for it.
pub(super) async fn valid(client: &Client) -> Result<Vec<ValidKey>, KeyError> {
    const SQL: &str =
        "select key_id, secret_hash, scopes from api_key where revoked_at is null limit $1";
    let rows = client.query(SQL, &[&KEYS_MAX]).await;
    let rows = rows.map_err(KeyError::of("read the keys"))?;
    let key = |row: &Row| {
        let (id, hash): (&str, &[u8]) = (row.get(0), row.get(1));
        let scopes: Vec<&str> = row.get(2);
        Some(ValidKey {
            id: id.parse().ok()?,
            hash: SecretHash::stored(hash)?,
            scopes: scopes.into_iter().filter_map(Scope::named).collect(),
        })
    };
    Ok(rows.iter().filter_map(key).collect())
}

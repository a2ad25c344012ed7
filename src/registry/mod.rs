//! A schema registry with Confluent's interface: a schema becomes an id, and an id its schema.
//!
//! ```text
//! identify: cached? ─▶ looked up under the subject? ─▶ registered, if it is compatible
//! ```
//!
//! A schema that is known is not judged again. One that is not compatible is an error that names subject,
//! rule and remedy, before the first record of it. Registering is the check: asked about compatibility
//! alone, registries judge by rules that they do not enforce, and give no reasons.

mod client;
mod error;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use self::client::{Client, Request};
pub use self::error::Error;
use crate::config::settings;

/// "There is no such subject, version or schema."
const NOT_FOUND: u16 = 404;
/// "The schema is not compatible."
const CONFLICT: u16 = 409;

/// A registry, and what it has said so far.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    auto_register: bool,
    ids: Mutex<HashMap<(String, String), u32>>,
}

#[derive(Deserialize)]
struct Identified {
    id: u32,
}

#[derive(Deserialize)]
struct Described {
    schema: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    compatibility_level: String,
}

impl Registry {
    /// Nothing is asked yet.
    pub fn new(settings: &settings::Registry) -> Result<Self, Error> {
        Ok(Registry {
            client: Client::new(settings)?,
            auto_register: settings.auto_register,
            ids: Mutex::default(),
        })
    }

    /// Whether it answers at all.
    pub async fn reach(&self) -> Result<(), Error> {
        let request = Request::get("list the subjects", "", "subjects".to_owned());
        self.client.ask::<Vec<String>>(&request).await.map(|_| ())
    }

    /// The id of a schema under a subject; registers it if need be and if that is allowed.
    pub async fn identify(&self, subject: &str, schema: &str) -> Result<u32, Error> {
        let cached = (subject.to_owned(), schema.to_owned());
        if let Some(id) = self.ids().get(&cached) {
            return Ok(*id);
        }
        let id = match self.look_up(subject, schema).await? {
            Some(id) => id,
            None if self.auto_register => self.register(subject, schema).await?,
            None => {
                return Err(Error::NotRegistered {
                    subject: subject.to_owned(),
                });
            }
        };
        self.ids().insert(cached, id);
        Ok(id)
    }

    /// The schema of an id.
    pub async fn schema(&self, id: u32) -> Result<String, Error> {
        let request = Request::get("read a schema", "", format!("schemas/ids/{id}"));
        let described: Described = self.client.ask(&request).await?;
        Ok(described.schema)
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), u32>> {
        // Whoever panicked has left whole entries.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_up(&self, subject: &str, schema: &str) -> Result<Option<u32>, Error> {
        let path = format!("subjects/{}", client::escaped(subject));
        let request = Request::post("look up a schema", subject, path, schema);
        match self.client.ask::<Identified>(&request).await {
            Ok(found) => Ok(Some(found.id)),
            Err(error) if error.status() == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<u32, Error> {
        let path = format!("subjects/{}/versions", client::escaped(subject));
        let request = Request::post("register a schema", subject, path, schema);
        match self.client.ask::<Identified>(&request).await {
            Ok(registered) => {
                tracing::info!(subject, id = registered.id, "schema registered");
                Ok(registered.id)
            }
            Err(Error::Status {
                status: CONFLICT,
                message,
                ..
            }) => Err(self.refused(subject, message).await),
            Err(error) => Err(error),
        }
    }

    async fn refused(&self, subject: &str, reasons: String) -> Error {
        let path = format!("config/{}?defaultToGlobal=true", client::escaped(subject));
        let request = Request::get("read the compatibility rule", subject, path);
        let rule = self.client.ask::<Rule>(&request).await;
        Error::Incompatible {
            subject: subject.to_owned(),
            rule: rule.map_or_else(|_| "unknown".to_owned(), |rule| rule.compatibility_level),
            reasons,
        }
    }
}

//! What a request says: a small JSON object in a logical message, so that it has its place in the log, survives a
//! replicator that is down, and needs no table. Pure.
//!
//! ```json
//! {"version":1,"to":"retail/tidewater","do":"start","id":"7d1f0c52","tables":["public.orders"]}
//! ```

use serde::{Deserialize, Serialize};

/// Version of the form.
const VERSION: u32 = 1;

/// A message to one replicator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    version: u32,
    /// The name of its lease: others that stream the same database are not meant.
    to: String,
    #[serde(flatten)]
    command: Command,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Command {
    /// Read tables again.
    Start {
        /// The request's name.
        id: String,
        /// Patterns; none: every table.
        tables: Vec<String>,
    },
    /// Read nothing of that request until it is resumed.
    Pause {
        /// The request's name.
        id: String,
    },
    /// Go on.
    Resume {
        /// The request's name.
        id: String,
    },
    /// End it; what is published stays.
    Cancel {
        /// The request's name.
        id: String,
    },
}

impl Message {
    /// A message to the replicator of that lease.
    pub(crate) fn new(to: &str, command: Command) -> Message {
        Message {
            version: VERSION,
            to: to.to_owned(),
            command,
        }
    }

    /// Its content.
    pub(crate) fn to_json(&self) -> String {
        // Serialising strings into memory does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The command of a message, `None` if it is to another replicator; an error says what is wrong with it.
    pub(crate) fn command(content: &[u8], to: &str) -> Result<Option<Command>, String> {
        #[derive(Deserialize)]
        struct Envelope {
            version: u32,
            to: String,
        }
        let envelope: Envelope =
            serde_json::from_slice(content).map_err(|error| error.to_string())?;
        if envelope.to != to {
            return Ok(None);
        }
        if envelope.version != VERSION {
            return Err(format!(
                "it is of version {}, and this tidewater reads {VERSION}",
                envelope.version
            ));
        }
        let message: Message =
            serde_json::from_slice(content).map_err(|error| error.to_string())?;
        Ok(Some(message.command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_back_as_they_were_written() {
        let id = || "7d1f0c52".to_owned();
        for command in [
            Command::Start {
                id: id(),
                tables: vec!["public.orders".to_owned()],
            },
            Command::Pause { id: id() },
            Command::Resume { id: id() },
            Command::Cancel { id: id() },
        ] {
            let json = Message::new("retail/tidewater", command.clone()).to_json();
            let read = Message::command(json.as_bytes(), "retail/tidewater");
            assert_eq!(read, Ok(Some(command)));
            assert_eq!(Message::command(json.as_bytes(), "retail/other"), Ok(None));
        }
    }

    #[test]
    fn the_form_is_what_it_is() {
        let command = Command::Start {
            id: "7d1f0c52".to_owned(),
            tables: vec!["public.orders".to_owned()],
        };
        assert_eq!(
            Message::new("retail/tidewater", command).to_json(),
            r#"{"version":1,"to":"retail/tidewater","do":"start","id":"7d1f0c52","tables":["public.orders"]}"#
        );
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for (content, expected) in [
            ("", "EOF"),
            ("{}", "missing field"),
            (r#"{"version":2,"to":"a/b","what":7}"#, "version 2"),
            (
                r#"{"version":1,"to":"a/b","do":"dance","id":"7"}"#,
                "unknown variant",
            ),
        ] {
            let error = Message::command(content.as_bytes(), "a/b").unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        // Whatever a later version says to another replicator is not ours to judge.
        assert_eq!(
            Message::command(br#"{"version":9,"to":"c/d"}"#, "a/b"),
            Ok(None)
        );
    }
}

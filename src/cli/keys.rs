//! `tidewater keys`: who may use the gateway.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::gateway::{self, ListedKey, Scope};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tidewater keys create --name till --scope events:write
  tidewater keys create --name analyst --scope read --json
  tidewater keys list
  tidewater keys revoke till    # in effect within two seconds";

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum KeysCommand {
    /// Makes a key, and shows it this once.
    Create(CreateArguments),
    /// Every key without its secret, the newest first.
    List(ListArguments),
    /// Takes a key's rights away for ever.
    Revoke(RevokeArguments),
}

/// Whose key, and what it may do.
#[derive(Clone, Debug, Args)]
pub struct CreateArguments {
    /// Whose it is, for people.
    #[arg(long)]
    name: String,
    /// What it may do; several times for several.
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// How to print them.
#[derive(Clone, Copy, Debug, Args)]
pub struct ListArguments {
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

/// Which one.
#[derive(Clone, Debug, Args)]
pub struct RevokeArguments {
    /// Id or name of a key that is valid.
    key: String,
}

/// Makes, lists or revokes keys.
pub(super) async fn run(settings: &Settings, command: &KeysCommand) -> Result<ExitCode, Failure> {
    let sink = Box::pin(gateway::open(settings.sink.as_ref())).await?;
    match command {
        KeysCommand::Create(arguments) => {
            let key = gateway::create(&sink, &arguments.name, &arguments.scopes).await?;
            created(arguments, &key.id.to_string(), &key.text);
        }
        KeysCommand::List(arguments) => listed(&gateway::list(&sink).await?, arguments.json),
        KeysCommand::Revoke(RevokeArguments { key }) => {
            let id = gateway::revoke(&sink, key).await?;
            output::line(format!("revoked {id}"));
        }
    }
    Ok(ExitCode::Success)
}

/// A key as it is printed when it is made, and never again.
#[derive(Serialize)]
struct Created<'a> {
    key_id: &'a str,
    name: &'a str,
    scopes: Vec<&'static str>,
    key: &'a str,
}

fn created(arguments: &CreateArguments, key_id: &str, key: &str) {
    let scopes: Vec<_> = arguments.scopes.iter().map(|scope| scope.name()).collect();
    if arguments.json {
        output::json(&Created {
            key_id,
            name: &arguments.name,
            scopes,
            key,
        });
        return;
    }
    output::line(format!("id      {key_id}"));
    output::line(format!("scopes  {}", scopes.join(", ")));
    output::line(format!("key     {key}"));
    output::line("it is not shown again: keep it like a password");
}

fn listed(keys: &[ListedKey], json: bool) {
    if json {
        output::json(&keys);
        return;
    }
    if keys.is_empty() {
        output::line("there are no keys: make one with tidewater keys create");
    }
    for key in keys {
        let ListedKey {
            key_id,
            name,
            scopes,
            created_at,
            revoked_at,
        } = key;
        let state = match revoked_at {
            Some(at) => format!("revoked {at}"),
            None => "valid".to_owned(),
        };
        let scopes = scopes.join(",");
        output::line(format!(
            "{key_id}  {name:<20}  {scopes:<24}  made {created_at}  {state}"
        ));
    }
}

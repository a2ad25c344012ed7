//! `run`, `replicate`, `aggregate`, `gateway` and `console`: long-lived roles beside the HTTP server.
//!
//! The roles share a shutdown: a signal drains all of them, and one that fails ends the others, so that
//! a supervisor starts the whole process again.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::signals;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::telemetry::Health;
use crate::{console, gateway, http, lag, replicate, retail, telemetry, verify};

/// Which roles a process has.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a role, and any of them go together"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    replicate: bool,
    aggregate: bool,
    gateway: bool,
    console: bool,
    verify: bool,
}

impl Roles {
    const NONE: Roles = Roles {
        replicate: false,
        aggregate: false,
        gateway: false,
        console: false,
        verify: false,
    };
    pub(super) const REPLICATE: Roles = Roles {
        replicate: true,
        ..Roles::NONE
    };
    pub(super) const AGGREGATE: Roles = Roles {
        aggregate: true,
        ..Roles::NONE
    };
    pub(super) const GATEWAY: Roles = Roles {
        gateway: true,
        ..Roles::NONE
    };

    pub(super) const CONSOLE: Roles = Roles {
        console: true,
        ..Roles::NONE
    };

    /// Continuous verification.
    pub(super) const VERIFY: Roles = Roles {
        verify: true,
        ..Roles::NONE
    };

    /// Every role that the configuration asks for.
    pub(super) fn all(settings: &Settings) -> Roles {
        Roles {
            replicate: true,
            aggregate: true,
            gateway: settings.gateway.enabled,
            console: settings.console.enabled,
            verify: settings.verify.enabled,
        }
    }
}

/// Runs the roles until a signal, or until one of them fails.
pub(super) async fn run(settings: &Settings, roles: Roles) -> Result<ExitCode, Failure> {
    let shutdown = CancellationToken::new();
    let health = Health::default();
    let metrics = telemetry::record_metrics();
    let server = http::Server::bind(&settings.http, health.clone(), metrics).await?;
    tracing::info!(address = %server.address(), "serving metrics and health");
    // The server outlives the roles: a drain can be watched.
    let serving = CancellationToken::new();
    let mut background = JoinSet::new();
    background.spawn(server.run(serving.clone()));
    background.spawn(signals::cancel_on_signal(shutdown.clone()));
    let watched = lag::Watched {
        replicate: roles.replicate,
        aggregate: roles.aggregate,
    };
    background.spawn(lag::watch(settings.clone(), watched));

    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    if roles.replicate {
        let (settings, health, shutdown) = (settings.clone(), health.clone(), shutdown.clone());
        tasks.spawn(async move { Ok(replicate::run(&settings, &health, shutdown).await?) });
    }
    if roles.aggregate {
        let (settings, health, shutdown) = (settings.clone(), health.clone(), shutdown.clone());
        tasks.spawn(async move { aggregate(&settings, &health, shutdown).await });
    }
    if roles.gateway {
        let (settings, health, shutdown) = (settings.clone(), health.clone(), shutdown.clone());
        tasks.spawn(async move { gateway(&settings, &health, shutdown).await });
    }
    if roles.console {
        let (settings, health, shutdown) = (settings.clone(), health.clone(), shutdown.clone());
        tasks.spawn(async move { console(&settings, &health, shutdown).await });
    }
    if roles.verify {
        let (settings, health, shutdown) = (settings.clone(), health.clone(), shutdown.clone());
        tasks.spawn(async move {
            migrate(&settings).await?;
            Ok(verify::continuous::run(&settings, &health, shutdown).await?)
        });
    }
    let result = join(tasks, &shutdown).await;
    serving.cancel();
    background.shutdown().await;
    result.map(|()| ExitCode::Success)
}

async fn aggregate(
    settings: &Settings,
    health: &Health,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    retail::check_format(settings.format)?;
    migrate(settings).await?;
    Ok(retail::run(settings, health, shutdown).await?)
}

async fn gateway(
    settings: &Settings,
    health: &Health,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    migrate(settings).await?;
    Ok(gateway::run(settings, health, shutdown).await?)
}

async fn console(
    settings: &Settings,
    health: &Health,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    migrate(settings).await?;
    Ok(console::run(settings, health, shutdown).await?)
}

/// Whichever role comes first brings the sink's schema up to date.
async fn migrate(settings: &Settings) -> Result<(), Failure> {
    if let Some(sink) = &settings.sink {
        retail::migrate(sink).await?;
    }
    Ok(())
}

/// Waits for all; the first failure is the one that counts, and ends the others.
async fn join(
    mut tasks: JoinSet<Result<(), Failure>>,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|panic| Err(Failure::panicked(&panic)));
        shutdown.cancel();
        match (&first, ended) {
            (Ok(()), Err(failure)) => first = Err(failure),
            (Err(_), Err(later)) => tracing::error!("{}", later.message),
            (_, Ok(())) => {}
        }
    }
    first
}

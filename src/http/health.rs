//! The server of metrics and health.
//!
//! `/healthz` says that the process answers; `/readyz` whether every stage is idle or working, and
//! names those that are stuck or have failed; `/metrics` is Prometheus's text format.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::config::settings::Http;
use crate::exit::ExitCode;
use crate::telemetry::{Condition, Health, StageReport};

/// The server cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (http.listen): choose a free port of an address of this host")]
pub struct Error {
    address: SocketAddr,
    source: std::io::Error,
}

impl Error {
    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }
}

/// A server that listens already.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

#[derive(Clone, Debug)]
struct Shared {
    health: Health,
    metrics: PrometheusHandle,
}

impl Server {
    /// Listens, so that a port that is taken is known before anything starts.
    pub async fn bind(
        settings: &Http,
        health: Health,
        metrics: PrometheusHandle,
    ) -> Result<Server, Error> {
        let failed = |source| Error {
            address: settings.listen,
            source,
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(render))
            .with_state(Shared { health, metrics });
        Ok(Server {
            listener,
            address,
            router,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let stopped = async move { stop.cancelled().await };
        let served = axum::serve(self.listener, self.router).with_graceful_shutdown(stopped);
        if let Err(error) = served.await {
            tracing::error!(%error, "the http server has ended");
        }
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn render(State(shared): State<Shared>) -> String {
    shared.metrics.run_upkeep();
    shared.metrics.render()
}

/// The body of `/readyz`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether every stage is idle or working.
    pub ready: bool,
    /// All of them.
    pub stages: Vec<StageJson>,
}

/// One stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageJson {
    /// `replicate.publish`, for instance.
    pub name: String,
    /// What it is doing.
    pub condition: Condition,
    /// Age of its oldest unprocessed item, seconds.
    pub oldest_seconds: Option<f64>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// How long a server may take to tell its stages.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// More than any answer takes, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks the process that listens there for its stages; `None` when none does, or it is not ours.
pub async fn ask(address: SocketAddr) -> Option<Readiness> {
    serde_json::from_slice(&fetch(address, "/readyz").await?).ok()
}

/// Asks the process that listens there for its metrics, in Prometheus's text format.
pub async fn ask_metrics(address: SocketAddr) -> Option<String> {
    String::from_utf8(fetch(address, "/metrics").await?.into()).ok()
}

async fn fetch(address: SocketAddr, path: &str) -> Option<Bytes> {
    let asked = tokio::time::timeout(ASK_TIMEOUT, request(address, path));
    let answer = asked.await.ok()?;
    answer
        .inspect_err(|error| tracing::debug!(%error, path, "a role does not answer"))
        .ok()
}

async fn request(
    address: SocketAddr,
    path: &str,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let request = Request::get(path)
        .header("host", address.to_string())
        .body(Body::empty())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        body.collect().await
    };
    tokio::pin!(connection);
    tokio::select! {
        answer = answer => Ok(answer?.to_bytes()),
        ended = &mut connection => Err(format!("the connection ended: {ended:?}").into()),
    }
}

impl From<StageReport> for StageJson {
    fn from(report: StageReport) -> Self {
        StageJson {
            name: report.name.to_owned(),
            condition: report.condition,
            oldest_seconds: report.oldest.map(|age| age.as_secs_f64()),
            reason: report.reason,
        }
    }
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let stages = shared.health.report(Instant::now());
    let ready = !stages.is_empty()
        && stages
            .iter()
            .all(|stage| matches!(stage.condition, Condition::Idle | Condition::Working));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let stages = stages.into_iter().map(StageJson::from).collect();
    (status, Json(Readiness { ready, stages }))
}

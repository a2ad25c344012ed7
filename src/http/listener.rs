//! The listener: bounded connections, heads and idleness, and a drain in which nothing under way is lost.
//!
//! HTTP/1.1 alone: whoever wants TLS and HTTP/2 puts a proxy in front, which this is meant to stand behind
//! when it listens on more than this host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::gauge;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Stage;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long sent bytes may stay unacknowledged by a client before its connection is given up.
const UNACKNOWLEDGED_FOR: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} ({section}.listen): choose a free port of an address of this host"
)]
pub struct ListenError {
    address: SocketAddr,
    section: &'static str,
    source: std::io::Error,
}

/// Where a listener listens, and what it bears.
#[derive(Clone, Debug)]
pub(crate) struct ListenerLimits {
    /// Its section of the configuration.
    pub(crate) section: &'static str,
    /// Where.
    pub(crate) address: SocketAddr,
    /// Longest head of a request, bytes.
    pub(crate) header_bytes_max: usize,
    /// How long a head may take, and a connection be idle.
    pub(crate) header_timeout: Duration,
    /// Most open connections.
    pub(crate) connections_max: usize,
    /// The setting that bounds the drain, for people.
    pub(crate) drain_key: &'static str,
    /// How long requests under way may take once it is to stop.
    pub(crate) drain_timeout: Duration,
    /// Gauge of open connections.
    pub(crate) connections: &'static str,
}

/// A server that listens already.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    slots: Arc<Semaphore>,
    limits: ListenerLimits,
    http: http1::Builder,
}

impl Listener {
    /// Listens, so that a port that is taken is known before anything starts.
    pub(crate) async fn bind(limits: ListenerLimits) -> Result<Listener, ListenError> {
        let failed = |source| ListenError {
            address: limits.address,
            section: limits.section,
            source,
        };
        let listener = TcpListener::bind(limits.address).await.map_err(failed)?;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.header_bytes_max)
            .max_headers(HEADERS_MAX);
        Ok(Listener {
            address: listener.local_addr().map_err(failed)?,
            listener,
            slots: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
            http,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; then nobody can connect any more, what is under way is answered, and idle
    /// connections are closed. `stage` tells of the drain.
    pub(crate) async fn run(self, router: Router, stop: CancellationToken, stage: &Stage) {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        while let Some((stream, slot)) = self.accept(&stop).await {
            // Those that have ended are forgotten.
            while tasks.try_join_next().is_some() {}
            let service = TowerToHyperService::new(router.clone());
            let connection = self.http.serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            let connections = self.limits.connections;
            tasks.spawn(async move {
                let _slot = slot;
                gauge!(connections).increment(1.0);
                // Whatever broke it, there is nobody left to tell.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
                gauge!(connections).decrement(1.0);
            });
        }
        drop(self.listener);
        stage.draining();
        let ListenerLimits {
            drain_timeout,
            drain_key,
            ..
        } = self.limits;
        if tokio::time::timeout(drain_timeout, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(after = ?drain_timeout, "requests were cut off ({drain_key})");
        }
        tasks.shutdown().await;
    }

    /// The next connection, once there is room for it; `None` when stopped. Until then it waits in the
    /// operating system's queue.
    async fn accept(&self, stop: &CancellationToken) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let next = async {
            let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
            loop {
                match self.listener.accept().await {
                    Ok((stream, _)) => return Some((stream, slot)),
                    Err(error) => {
                        tracing::debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        let (stream, slot) = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            next = next => next?,
        };
        let socket = SockRef::from(&stream);
        // Refused only by a socket that is gone, which the connection finds out by itself.
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_FOR));
        Some((stream, slot))
    }
}

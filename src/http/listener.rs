//! The listener: bounded connections, heads and idleness, and a drain in which nothing under way is lost.
//!
//! HTTP/1.1 alone, over TLS where a certificate is configured: whoever wants HTTP/2 puts a proxy in front.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use metrics::gauge;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::linger::Lingering;
use super::tls::{self, IdentityError};
use crate::config::settings::Identity;
use crate::telemetry::Stage;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long sent bytes may stay unacknowledged by a client before its connection is given up.
const UNACKNOWLEDGED_FOR: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address} ({section}.listen): choose a free port of an address of this host"
    )]
    Address {
        /// Where it should listen.
        address: SocketAddr,
        /// The server's section.
        section: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// What it should show cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Where a listener listens, and what it bears.
#[derive(Clone, Debug)]
pub(crate) struct ListenerLimits {
    /// Its section of the configuration.
    pub(crate) section: &'static str,
    /// Where.
    pub(crate) address: SocketAddr,
    /// For TLS; plain text without it.
    pub(crate) identity: Option<Identity>,
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
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Listens, so that a port that is taken is known before anything starts.
    pub(crate) async fn bind(limits: ListenerLimits) -> Result<Listener, ListenError> {
        let failed = |source| ListenError::Address {
            address: limits.address,
            section: limits.section,
            source,
        };
        let identity = limits.identity.clone();
        let tls = identity.map(|identity| tls::server(identity, limits.section));
        let tls = tls.transpose()?;
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
            tls,
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
            let (http, router) = (self.http.clone(), router.clone());
            let (tls, watcher) = (self.tls.clone(), graceful.watcher());
            let (connections, patience) = (self.limits.connections, self.limits.header_timeout);
            tasks.spawn(async move {
                let _slot = slot;
                gauge!(connections).increment(1.0);
                match tls {
                    None => serve(&http, stream, router, watcher).await,
                    Some(tls) => {
                        match timeout(patience, TlsAcceptor::from(tls).accept(stream)).await {
                            Ok(Ok(stream)) => serve(&http, stream, router, watcher).await,
                            Ok(Err(error)) => tracing::debug!(%error, "a connection is not of tls"),
                            Err(_) => tracing::debug!("a client took too long to agree on tls"),
                        }
                    }
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
        if timeout(drain_timeout, graceful.shutdown()).await.is_err() {
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

/// Answers what comes over a connection until it ends.
async fn serve<S>(http: &http1::Builder, stream: S, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = TowerToHyperService::new(router.map_request(Lingering::over));
    let connection = http.serve_connection(TokioIo::new(stream), service);
    // Whatever broke it, there is nobody left to tell.
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}

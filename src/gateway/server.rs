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

use super::error::Error;
use crate::config::settings::Gateway;
use crate::telemetry;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long sent bytes may stay unacknowledged by a client before its connection is given up.
const UNACKNOWLEDGED_FOR: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens already.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    connections: Arc<Semaphore>,
    drain_timeout: Duration,
    http: http1::Builder,
}

impl Server {
    /// Listens, so that a port that is taken is known before anything starts.
    pub(super) async fn bind(gateway: &Gateway) -> Result<Server, Error> {
        let failed = |source| Error::Listen {
            address: gateway.listen,
            source,
        };
        let listener = TcpListener::bind(gateway.listen).await.map_err(failed)?;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(gateway.header_timeout)
            .max_buf_size(gateway.header_bytes_max)
            .max_headers(HEADERS_MAX);
        Ok(Server {
            address: listener.local_addr().map_err(failed)?,
            listener,
            connections: Arc::new(Semaphore::new(gateway.connections_max)),
            drain_timeout: gateway.drain_timeout,
            http,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; then nobody can connect any more, what is under way is answered, and idle
    /// connections are closed.
    pub(super) async fn run(self, router: Router, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        while let Some((stream, slot)) = self.accept(&stop).await {
            // Those that have ended are forgotten.
            while tasks.try_join_next().is_some() {}
            let service = TowerToHyperService::new(router.clone());
            let connection = self.http.serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            tasks.spawn(async move {
                let _slot = slot;
                gauge!(telemetry::GATEWAY_CONNECTIONS).increment(1.0);
                // Whatever broke it, there is nobody left to tell.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
                gauge!(telemetry::GATEWAY_CONNECTIONS).decrement(1.0);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(self.drain_timeout, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(after = ?self.drain_timeout, "requests were cut off (gateway.drain_timeout)");
        }
        tasks.shutdown().await;
    }

    /// The next connection, once there is room for it; `None` when stopped. Until then it waits in the
    /// operating system's queue.
    async fn accept(&self, stop: &CancellationToken) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let next = async {
            let slot = Arc::clone(&self.connections).acquire_owned().await.ok()?;
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

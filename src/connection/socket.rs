//! Sockets: dialling one host, with TLS where it is wanted, and giving up on a dead peer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::{Connection, Error, Host, HostName, Keepalive, TlsMode, tls};

/// A connected byte stream.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A socket on which the login may begin.
#[derive(Debug)]
pub(crate) struct Dialed {
    /// The stream.
    pub(crate) socket: Socket,
    /// The host as in the URL, for messages.
    pub(crate) host: String,
    /// Nobody can listen in: TLS, or the bytes never leave this host.
    pub(crate) private: bool,
    /// `tls-server-end-point` of the server's certificate.
    pub(crate) end_point: Option<Vec<u8>>,
}

/// Connects to one host within `connect_timeout`.
pub(crate) async fn dial(connection: &Connection, host: &Host) -> Result<Dialed, Error> {
    let after = connection.connect_timeout();
    let dialing = async {
        match &host.name {
            HostName::Unix(directory) => dial_unix(host, directory).await,
            HostName::Tcp(name) => dial_tcp(connection, host, name).await,
        }
    };
    match tokio::time::timeout(after, Box::pin(dialing)).await {
        Ok(dialed) => dialed,
        Err(_) => Err(Error::TimedOut {
            host: host.to_string(),
            after,
        }),
    }
}

async fn dial_unix(host: &Host, directory: &Path) -> Result<Dialed, Error> {
    let path = directory.join(format!(".s.PGSQL.{}", host.port));
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|source| Error::Unreachable {
        host: host.to_string(),
        source,
    })?;
    Ok(Dialed {
        socket: Socket::Unix(stream),
        host: host.to_string(),
        private: true,
        end_point: None,
    })
}

async fn dial_tcp(connection: &Connection, host: &Host, name: &str) -> Result<Dialed, Error> {
    let unreachable = |source| Error::Unreachable {
        host: host.to_string(),
        source,
    };
    let mut stream = open_tcp(name, host.address, host.port)
        .await
        .map_err(unreachable)?;
    protect(&stream, connection.keepalive()).map_err(unreachable)?;
    let loopback = stream
        .peer_addr()
        .map_err(unreachable)?
        .ip()
        .to_canonical()
        .is_loopback();
    let host = host.to_string();
    let mode = connection.tls().mode;
    if mode == TlsMode::Disable {
        return Ok(Dialed {
            socket: Socket::Tcp(stream),
            host,
            private: loopback,
            end_point: None,
        });
    }
    if request_tls(&mut stream).await.map_err(unreachable)? {
        let (stream, end_point) = tls::handshake(connection.tls(), &host, name, stream).await?;
        let socket = Socket::Tls(Box::new(stream));
        return Ok(Dialed {
            socket,
            host,
            private: true,
            end_point,
        });
    }
    match (mode, loopback) {
        (TlsMode::Prefer, true) => Ok(Dialed {
            socket: Socket::Tcp(stream),
            host,
            private: true,
            end_point: None,
        }),
        (TlsMode::Prefer, false) => Err(Error::PlainTextRefused { host }),
        _ => Err(Error::TlsUnavailable { host }),
    }
}

/// The first of the name's addresses that takes the connection.
async fn open_tcp(name: &str, address: Option<IpAddr>, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match address {
        Some(address) => vec![SocketAddr::new(address, port)],
        None => tokio::net::lookup_host((name, port)).await?.collect(),
    };
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Keepalive probes and a limit on unacknowledged bytes: a dead peer becomes an error in seconds.
fn protect(stream: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if !keepalive.enabled {
        return Ok(());
    }
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new()
        .with_time(keepalive.idle)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.count);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(keepalive.user_timeout))?;
    Ok(())
}

/// Asks for TLS. Exactly one byte is read, so nothing a third party slipped in before the handshake
/// can be taken for the server's.
async fn request_tls(stream: &mut TcpStream) -> io::Result<bool> {
    let mut request = BytesMut::with_capacity(8);
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a postgres server",
        )),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

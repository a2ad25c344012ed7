//! `Database`: a tokio-postgres client together with the task that drives it.

use std::future::{Ready, ready};
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio_postgres::config::{self, Config, SslMode, SslNegotiation};
use tokio_postgres::tls::{self, TlsConnect};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Attempts, ChannelBinding, Connection, Dialed, Error, ServerError, Socket};

/// A client for ordinary queries. Its driver task ends with it.
#[derive(Debug)]
pub struct Database {
    client: Client,
    _driver: JoinSet<()>,
}

impl Deref for Database {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Logs in to the first host of `connection` that will do. Times are shown in UTC.
pub async fn connect(connection: &Connection) -> Result<Database, Error> {
    let mut attempts = Attempts::new(connection);
    loop {
        let dialed = attempts.next().await?;
        let host = dialed.host.clone();
        let after = connection.connect_timeout();
        let login = tokio::time::timeout(after, Box::pin(log_in(connection, dialed))).await;
        let database = match login.unwrap_or(Err(Error::TimedOut {
            host: host.clone(),
            after,
        })) {
            Ok(database) => database,
            Err(error) => {
                attempts.failed(error)?;
                continue;
            }
        };
        let Some(question) = attempts.question() else {
            return Ok(database);
        };
        let answer = database.client.simple_query(question).await;
        let answer = answer.map_err(|error| login_error(connection, &host, error))?;
        if attempts.suits(single_value(&answer)) {
            return Ok(database);
        }
    }
}

async fn log_in(connection: &Connection, dialed: Dialed) -> Result<Database, Error> {
    let host = dialed.host.clone();
    let config = client_config(connection, &dialed);
    let (client, driver) = config
        .connect_raw(dialed.socket, Established(dialed.end_point))
        .await
        .map_err(|error| login_error(connection, &host, error))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // Whoever uses the client learns of it there; this line only says when.
        if let Err(error) = driver.await {
            tracing::debug!(%host, error = %error, "postgres connection ended");
        }
    });
    Ok(Database {
        client,
        _driver: tasks,
    })
}

/// Text that the catalog has of values, in defaults for instance, looks as in the stream.
const SETTINGS: [(&str, &str); 4] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "iso_8601"),
    ("bytea_output", "hex"),
];

fn client_config(connection: &Connection, dialed: &Dialed) -> Config {
    let keepalive = connection.keepalive().server_settings();
    let settings = keepalive
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let options = connection.start_up_options(settings.chain(SETTINGS));
    let mut config = Config::new();
    config
        .user(connection.user())
        .dbname(connection.database())
        .application_name(connection.application_name())
        .options(options)
        .channel_binding(match connection.channel_binding() {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
    if let Some(password) = connection.password() {
        config.password(password);
    }
    // The handshake is behind us: "direct" makes the client take the stream as the TLS one.
    match dialed.socket {
        Socket::Tls(_) => config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct),
        Socket::Tcp(_) | Socket::Unix(_) => config.ssl_mode(SslMode::Disable),
    };
    config
}

/// Sorts tokio-postgres's login errors. It shows its kinds by their texts alone.
fn login_error(connection: &Connection, host: &str, error: tokio_postgres::Error) -> Error {
    let (host, user) = (host.to_owned(), connection.user().to_owned());
    if let Some(source) = error.as_db_error() {
        return Error::Refused {
            host,
            user,
            source: ServerError::from(source),
        };
    }
    let cause = std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default();
    match error.to_string().as_str() {
        "invalid configuration" if cause.contains("password missing") => {
            Error::PasswordMissing { host, user }
        }
        "authentication error" if cause.contains("channel binding") => Error::unbound(host),
        "authentication error" if cause.contains("unsupported") => Error::unknown_method(host),
        "authentication error" => Error::Scram {
            host,
            source: io::Error::other(error),
        },
        _ => Error::Lost {
            host,
            source: error.into(),
        },
    }
}

fn single_value(messages: &[SimpleQueryMessage]) -> Option<&str> {
    messages.iter().find_map(|message| {
        if let SimpleQueryMessage::Row(row) = message {
            row.get(0)
        } else {
            None
        }
    })
}

/// Hands tokio-postgres a socket whose TLS handshake is already done.
struct Established(Option<Vec<u8>>);

impl TlsConnect<Socket> for Established {
    type Stream = Bound;
    type Error = io::Error;
    type Future = Ready<io::Result<Bound>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(Bound {
            socket,
            end_point: self.0,
        }))
    }
}

/// A TLS socket and what a login on it is bound to.
struct Bound {
    socket: Socket,
    end_point: Option<Vec<u8>>,
}

impl tls::TlsStream for Bound {
    fn channel_binding(&self) -> tls::ChannelBinding {
        match &self.end_point {
            Some(hash) => tls::ChannelBinding::tls_server_end_point(hash.clone()),
            None => tls::ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Bound {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Bound {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

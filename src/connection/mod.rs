//! How to reach a PostgreSQL server: the connection URL, sockets and TLS, and a tokio-postgres client
//! for ordinary queries. The replication client (`postgres`) builds on the same settings.
//!
//! ```text
//! URL ─▶ Connection ─▶ Attempts (one host after another) ─▶ Dialed (TCP, Unix or TLS) ─▶ Database
//!                                                                                     └▶ postgres::Session
//! ```
//!
//! The one subtle rule: a connection that leaves this host is encrypted, unless the URL says
//! `sslmode=disable` in so many words. `prefer` falls back to plain text on loopback alone.

mod attempts;
mod database;
mod error;
mod identifier;
mod server_error;
mod socket;
mod tls;
mod trust;
mod url;

pub use database::{Database, connect};
pub use error::Error;
pub use identifier::{quote_identifier, quote_literal};
pub use server_error::ServerError;
pub use url::ParseConnectionError;

pub(crate) use attempts::Attempts;
pub(crate) use socket::{Dialed, Socket};
pub(crate) use trust::https;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long one host may take to accept us when the URL has no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything needed to reach a server and log in. Parsed from a URL; `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    hosts: Vec<Host>,
    user: String,
    password: Option<String>,
    database: String,
    tls: Tls,
    channel_binding: ChannelBinding,
    connect_timeout: Duration,
    target: TargetSession,
    application_name: String,
    options: Option<String>,
    keepalive: Keepalive,
}

/// One host of the URL, tried in the URL's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A DNS name or address, or the directory of a Unix socket.
    pub name: HostName,
    /// Address to use instead of resolving the name (`hostaddr`).
    pub address: Option<IpAddr>,
    /// TCP port, or the suffix of the socket's file name.
    pub port: u16,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// DNS name or IP address.
    Tcp(String),
    /// Directory that holds `.s.PGSQL.<port>`.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            HostName::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            HostName::Tcp(name) => write!(f, "{name}:{}", self.port),
            HostName::Unix(directory) => {
                write!(
                    f,
                    "{}",
                    directory.join(format!(".s.PGSQL.{}", self.port)).display()
                )
            }
        }
    }
}

/// `sslmode` and the files it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether to encrypt, and what of the server's certificate is checked.
    pub mode: TlsMode,
    /// PEM file of trusted roots; `None` for those of the operating system.
    pub root_certificate: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key: Option<PathBuf>,
}

/// Whether to encrypt, and what of the server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text, to wherever the URL points.
    Disable,
    /// Encrypted if the server can; plain text only on this host.
    #[default]
    Prefer,
    /// Encrypted; the certificate is not checked unless `sslrootcert` is given.
    Require,
    /// Encrypted, with a certificate signed by a trusted root.
    VerifyCa,
    /// As `VerifyCa`, and made out to the host we asked for.
    VerifyFull,
}

/// Whether SCRAM must be bound to the TLS channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// When both sides can.
    #[default]
    Prefer,
    /// Or the login fails.
    Require,
}

/// Which servers of a multi-host URL will do (`target_session_attrs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSession {
    /// The first that answers.
    #[default]
    Any,
    /// One whose transactions may write.
    ReadWrite,
    /// One whose transactions may not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby if there is one, else any.
    PreferStandby,
}

/// How a lost peer is noticed on a TCP connection; the defaults see it within 15 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Probe at all.
    pub enabled: bool,
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is given up.
    pub count: u32,
    /// How long sent bytes may stay unacknowledged.
    pub user_timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive {
            enabled: true,
            idle: Duration::from_secs(5),
            interval: Duration::from_secs(3),
            count: 3,
            user_timeout: Duration::from_secs(14),
        }
    }
}

impl Keepalive {
    /// The same limits as server settings, for the server's end of the connection.
    pub(crate) fn server_settings(&self) -> Vec<(&'static str, String)> {
        if !self.enabled {
            return Vec::new();
        }
        vec![
            ("tcp_keepalives_idle", self.idle.as_secs().to_string()),
            (
                "tcp_keepalives_interval",
                self.interval.as_secs().to_string(),
            ),
            ("tcp_keepalives_count", self.count.to_string()),
            (
                "tcp_user_timeout",
                self.user_timeout.as_millis().to_string(),
            ),
        ]
    }
}

impl Connection {
    /// The hosts, in the order they are tried.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The role to log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, if the URL or the configuration has one.
    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The database to log in to.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// `sslmode` and its files.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// `channel_binding`.
    pub fn channel_binding(&self) -> ChannelBinding {
        self.channel_binding
    }

    /// How long one host may take to accept us.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// `target_session_attrs`.
    pub fn target_session(&self) -> TargetSession {
        self.target
    }

    /// What the server shows in `pg_stat_activity`.
    pub fn application_name(&self) -> &str {
        &self.application_name
    }

    /// How a lost peer is noticed.
    pub fn keepalive(&self) -> &Keepalive {
        &self.keepalive
    }

    /// The same with another password.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Connection {
        self.password = Some(password.into());
        self
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Connection {
        Connection {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// The same server and database, another role and its password.
    #[must_use]
    pub fn with_user(&self, user: &str, password: Option<&str>) -> Connection {
        let password = password.map(str::to_owned);
        Connection {
            user: user.to_owned(),
            password,
            ..self.clone()
        }
    }

    /// The same under another name in `pg_stat_activity`.
    #[must_use]
    pub fn with_application_name(&self, name: &str) -> Connection {
        Connection {
            application_name: name.to_owned(),
            ..self.clone()
        }
    }

    /// The start-up `options`: the URL's own first, then `settings`, which win.
    pub(crate) fn start_up_options<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let mut options = self.options.clone().unwrap_or_default();
        for (name, value) in settings {
            if !options.is_empty() {
                options.push(' ');
            }
            options.push_str("-c ");
            options.push_str(name);
            options.push('=');
            for character in value.chars() {
                if character.is_ascii_whitespace() || character == '\\' {
                    options.push('\\');
                }
                options.push(character);
            }
        }
        options
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "redacted"))
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("channel_binding", &self.channel_binding)
            .field("connect_timeout", &self.connect_timeout)
            .field("target", &self.target)
            .field("application_name", &self.application_name)
            .field("options", &self.options)
            .field("keepalive", &self.keepalive)
            .finish()
    }
}

/// Host, port, database and user, for logs; never the password.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.user)?;
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        write!(f, "/{}", self.database)
    }
}

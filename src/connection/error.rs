//! Why a server could not be reached or would not let us in.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{ServerError, TargetSession};
use crate::exit::ExitCode;

/// Why a server could not be reached or would not let us in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of the host took the connection.
    #[error("cannot reach postgres at {host}: check the host, the port and that the server runs")]
    Unreachable {
        /// As in the URL.
        host: String,
        /// The operating system's word on the last address.
        source: io::Error,
    },
    /// The host took longer than `connect_timeout`.
    #[error("postgres at {host} did not answer within {} s (connect_timeout)", after.as_secs())]
    TimedOut {
        /// As in the URL.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke during the login, or later.
    #[error("lost the connection to postgres at {host}")]
    Lost {
        /// As in the URL.
        host: String,
        /// What broke it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `prefer`, a server without TLS, and not on this host.
    #[error(
        "postgres at {host} offers no tls, and plain text is refused outside loopback: enable ssl \
         on the server, or accept plain text with sslmode=disable"
    )]
    PlainTextRefused {
        /// As in the URL.
        host: String,
    },
    /// `require` or stricter, and a server without TLS.
    #[error("postgres at {host} offers no tls, which sslmode requires: set ssl = on there")]
    TlsUnavailable {
        /// As in the URL.
        host: String,
    },
    /// The handshake failed, or the certificate was not accepted.
    #[error("tls with postgres at {host} failed: check sslmode, sslrootcert and the certificate")]
    Tls {
        /// As in the URL.
        host: String,
        /// rustls's word on it.
        source: io::Error,
    },
    /// A certificate or key file can't be used.
    #[error("cannot use {parameter} {}: expected a readable pem file", path.display())]
    TlsFile {
        /// The URL's parameter.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server wants a password and there is none.
    #[error(
        "postgres at {host} asks {user} for a password: set one in the url or the password key"
    )]
    PasswordMissing {
        /// As in the URL.
        host: String,
        /// The role.
        user: String,
    },
    /// The server wants a way of login that is not offered here.
    #[error("postgres at {host} wants {method}: {remedy}")]
    Method {
        /// As in the URL.
        host: String,
        /// What it wants.
        method: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The server failed to prove that it knows the password, or broke the exchange.
    #[error(
        "postgres at {host} failed the scram exchange: wrong password, or not the right server"
    )]
    Scram {
        /// As in the URL.
        host: String,
        /// The step that failed.
        source: io::Error,
    },
    /// The server refused the login.
    #[error("postgres at {host} refused {user}: {source}{}", remedy(source))]
    Refused {
        /// As in the URL.
        host: String,
        /// The role.
        user: String,
        /// Its word.
        source: ServerError,
    },
    /// Hosts answered, none of them of the wanted kind.
    #[error("no host of {hosts} is {target}: check target_session_attrs")]
    NoneSuitable {
        /// As in the URL.
        hosts: String,
        /// What was asked for.
        target: TargetSession,
    },
}

/// What mends a refused login, as far as the server's word tells.
fn remedy(refusal: &ServerError) -> &'static str {
    match refusal.code.as_str() {
        "28P01" => "; check the password in the url, its password key or the file it is read from",
        "28000" => "; check the role, and the lines for it in the server's pg_hba.conf",
        "3D000" => "; create the database, or name another one in the url",
        "53300" => "; raise max_connections, or end connections that nobody uses",
        _ => "",
    }
}

impl Error {
    /// `channel_binding=require`, and a login without.
    pub(crate) fn unbound(host: String) -> Error {
        let method = "a login without channel binding".to_owned();
        let remedy =
            "channel_binding=require needs tls and a scram-sha-256 password; or set prefer";
        Error::Method {
            host,
            method,
            remedy,
        }
    }

    /// A way of login that neither client knows.
    pub(crate) fn unknown_method(host: String) -> Error {
        let method = "gssapi, sspi or another method unknown here".to_owned();
        let remedy = "use scram-sha-256 for this role in pg_hba.conf";
        Error::Method {
            host,
            method,
            remedy,
        }
    }

    /// The code for a source; the sink's are 30 and 31 for the same two families.
    pub fn exit_code(&self) -> ExitCode {
        if let Error::TlsFile { .. } = self {
            ExitCode::Configuration
        } else if self.is_refusal() {
            ExitCode::SourceAuthentication
        } else {
            ExitCode::SourceUnreachable
        }
    }

    /// The server answered and did not let us in, as against not reached.
    pub fn is_refusal(&self) -> bool {
        match self {
            Error::PlainTextRefused { .. }
            | Error::TlsUnavailable { .. }
            | Error::Tls { .. }
            | Error::TlsFile { .. }
            | Error::PasswordMissing { .. }
            | Error::Method { .. }
            | Error::Scram { .. } => true,
            Error::Refused { source, .. } => !source.is_transient(),
            Error::Unreachable { .. }
            | Error::TimedOut { .. }
            | Error::Lost { .. }
            | Error::NoneSuitable { .. } => false,
        }
    }

    /// Worth trying again as it is.
    pub fn is_transient(&self) -> bool {
        !self.is_refusal()
    }
}

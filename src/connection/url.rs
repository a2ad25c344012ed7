//! The connection URL, as libpq reads it: several hosts, Unix sockets, percent-encoding, parameters.
//!
//! ```text
//! postgres://user:password@host:port,[::1]:port/database?parameter=value&…
//! ```
//!
//! Unlike libpq nothing is taken from the environment or the home directory: the configuration is the
//! one place where settings come from. A parameter that is not known is refused, never ignored.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{
    CONNECT_TIMEOUT, ChannelBinding, Connection, Host, HostName, Keepalive, TargetSession, Tls,
    TlsMode,
};

const PORT: u16 = 5432;
/// Where Debian's and Red Hat's packages put the socket, for a URL without a host.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";
/// Longest accepted time limit, in seconds: an hour.
const SECONDS_MAX: u64 = 3600;

/// Why a connection URL is not one. Never holds the URL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseConnectionError {
    /// It starts otherwise.
    #[error("invalid connection url: expected postgres://user@host:port/database")]
    Scheme,
    /// A part that is not valid percent-encoded UTF-8.
    #[error("invalid connection url: {0} is not percent-encoded utf-8")]
    Encoding(&'static str),
    /// No role to log in as.
    #[error("invalid connection url: it names no user, like postgres://user@host/database")]
    User,
    /// Hosts, ports and `hostaddr` don't pair up.
    #[error(
        "invalid connection url: {hosts} hosts but {others} in {parameter}: give one, or one each"
    )]
    Pairing {
        /// How many hosts there are.
        hosts: usize,
        /// The parameter.
        parameter: &'static str,
        /// How many it lists.
        others: usize,
    },
    /// A port that is not 1 to 65535.
    #[error("invalid connection url: port \"{0}\" is not between 1 and 65535")]
    Port(String),
    /// An IPv6 address without its closing bracket, or text after it.
    #[error("invalid connection url: an ipv6 address needs brackets, like [::1]:5432")]
    Bracket,
    /// A parameter that does not exist, or not here.
    #[error("invalid connection url: parameter \"{name}\" is not known; known are {KNOWN}")]
    Parameter {
        /// Its name.
        name: String,
    },
    /// A value out of its range.
    #[error("invalid connection url: {name}={value}: expected {expected}")]
    Value {
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What may be given.
        expected: &'static str,
    },
    /// One without the other.
    #[error("invalid connection url: sslcert and sslkey belong together")]
    Certificate,
    /// `channel_binding=require` where there is no TLS channel to bind to.
    #[error("invalid connection url: channel_binding=require contradicts sslmode=disable")]
    Binding,
}

const KNOWN: &str = "application_name, channel_binding, client_encoding, connect_timeout, dbname, \
                     gssencmode, host, hostaddr, keepalives, keepalives_count, keepalives_idle, \
                     keepalives_interval, options, password, port, ssl, sslcert, sslkey, sslmode, \
                     sslrootcert, target_session_attrs, tcp_user_timeout, user";

/// The URL's parts as text, before they are checked against each other.
#[derive(Default)]
struct Raw {
    hosts: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    tls: Tls,
    channel_binding: ChannelBinding,
    connect_timeout: Option<Duration>,
    target: TargetSession,
    application_name: Option<String>,
    options: Option<String>,
    keepalive: Keepalive,
}

impl FromStr for Connection {
    type Err = ParseConnectionError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.trim().strip_prefix(scheme))
            .ok_or(ParseConnectionError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut raw = Raw::default();
        raw.read_authority(rest)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, "a parameter's name")?;
            raw.read_parameter(&name, decode(value, "a parameter's value")?)?;
        }
        raw.resolve()
    }
}

fn decode(text: &str, part: &'static str) -> Result<String, ParseConnectionError> {
    let valid = |tail: &str| {
        tail.get(..2)
            .is_some_and(|hex| u8::from_str_radix(hex, 16).is_ok())
    };
    if !text.split('%').skip(1).all(valid) {
        return Err(ParseConnectionError::Encoding(part));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| ParseConnectionError::Encoding(part))?;
    if decoded.contains('\0') {
        return Err(ParseConnectionError::Encoding(part));
    }
    Ok(decoded.into_owned())
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::to_owned).collect()
}

impl Raw {
    /// `user:password@host:port,host:port/database`
    fn read_authority(&mut self, text: &str) -> Result<(), ParseConnectionError> {
        // A password may hold an unescaped '/' or '@': the last '@' before the path's '/' counts, as
        // far as that can be told.
        let (authority, database) = match text.rsplit_once('@') {
            Some((_, hosts)) => {
                let path = hosts.find('/').map(|at| text.len() - hosts.len() + at);
                path.and_then(|at| text.split_at_checked(at))
                    .unwrap_or((text, ""))
            }
            None => text
                .find('/')
                .and_then(|at| text.split_at_checked(at))
                .unwrap_or((text, "")),
        };
        let database = database.strip_prefix('/').unwrap_or_default();
        if !database.is_empty() {
            self.database = Some(decode(database, "the database")?);
        }
        let hosts = match authority.rsplit_once('@') {
            Some((login, hosts)) => {
                let (user, password) = match login.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (login, None),
                };
                if !user.is_empty() {
                    self.user = Some(decode(user, "the user")?);
                }
                self.password = password
                    .map(|text| decode(text, "the password"))
                    .transpose()?;
                hosts
            }
            None => authority,
        };
        if !hosts.is_empty() {
            hosts.split(',').try_for_each(|host| self.read_host(host))?;
        }
        Ok(())
    }

    fn read_host(&mut self, text: &str) -> Result<(), ParseConnectionError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').ok_or(ParseConnectionError::Bracket)?;
                let port = if after.is_empty() {
                    Some("")
                } else {
                    after.strip_prefix(':')
                };
                (address, port.ok_or(ParseConnectionError::Bracket)?)
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        if port.contains(':') {
            return Err(ParseConnectionError::Bracket);
        }
        self.hosts.push(decode(host, "a host")?);
        self.ports.push(port.to_owned());
        Ok(())
    }

    fn read_parameter(&mut self, name: &str, value: String) -> Result<(), ParseConnectionError> {
        match name {
            "host" => {
                self.hosts = list(&value);
                // Ports of the authority stay when they pair up with the new hosts.
                if self.ports.iter().all(String::is_empty) {
                    self.ports.clear();
                }
            }
            "hostaddr" => self.addresses = list(&value),
            "port" => self.ports = list(&value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "dbname" => self.database = Some(value),
            "application_name" => self.application_name = Some(value),
            "options" => self.options = Some(value),
            "sslmode" => self.tls.mode = tls_mode(name, value)?,
            "ssl" => self.tls.mode = require(name, value)?,
            "sslrootcert" if value == "system" => {
                self.tls.root_certificate = None;
                self.tls.mode = TlsMode::VerifyFull;
            }
            "sslrootcert" => self.tls.root_certificate = Some(PathBuf::from(value)),
            "sslcert" => self.tls.certificate = Some(PathBuf::from(value)),
            "sslkey" => self.tls.key = Some(PathBuf::from(value)),
            "channel_binding" => self.channel_binding = channel_binding(name, value)?,
            "target_session_attrs" => self.target = target_session(name, value)?,
            "connect_timeout" => {
                let limit = seconds(name, value)?;
                self.connect_timeout = (!limit.is_zero()).then_some(limit);
            }
            "client_encoding" => accept(name, value, &["utf8", "utf-8", "auto"], "utf8")?,
            "gssencmode" => accept(name, value, &["disable", "prefer"], "disable or prefer")?,
            _ => self.read_keepalive(name, value)?,
        }
        Ok(())
    }

    fn read_keepalive(&mut self, name: &str, value: String) -> Result<(), ParseConnectionError> {
        let keepalive = &mut self.keepalive;
        let positive =
            |limit: Duration, usual: Duration| if limit.is_zero() { usual } else { limit };
        match name {
            "keepalives" => keepalive.enabled = number(name, value, 1)? == 1,
            "keepalives_idle" => keepalive.idle = positive(seconds(name, value)?, keepalive.idle),
            "keepalives_interval" => {
                keepalive.interval = positive(seconds(name, value)?, keepalive.interval);
            }
            "keepalives_count" => {
                let count = number(name, value, 127)?;
                keepalive.count = u32::try_from(count).unwrap_or(keepalive.count).max(1);
            }
            "tcp_user_timeout" => {
                let limit = Duration::from_millis(number(name, value, SECONDS_MAX * 1000)?);
                keepalive.user_timeout = positive(limit, keepalive.user_timeout);
            }
            _ => {
                return Err(ParseConnectionError::Parameter {
                    name: name.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn resolve(self) -> Result<Connection, ParseConnectionError> {
        let hosts = resolve_hosts(self.hosts, &self.addresses, &self.ports)?;
        let user = self
            .user
            .filter(|user| !user.is_empty())
            .ok_or(ParseConnectionError::User)?;
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(ParseConnectionError::Certificate);
        }
        let binding = self.channel_binding == ChannelBinding::Require;
        if binding && self.tls.mode == TlsMode::Disable {
            return Err(ParseConnectionError::Binding);
        }
        Ok(Connection {
            hosts,
            database: self.database.unwrap_or_else(|| user.clone()),
            user,
            password: self.password,
            tls: self.tls,
            channel_binding: self.channel_binding,
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            target: self.target,
            application_name: self
                .application_name
                .unwrap_or_else(|| "tidewater".to_owned()),
            options: self.options,
            keepalive: self.keepalive,
        })
    }
}

/// One port or address for all hosts, or one each.
fn resolve_hosts(
    mut hosts: Vec<String>,
    addresses: &[String],
    ports: &[String],
) -> Result<Vec<Host>, ParseConnectionError> {
    if hosts.is_empty() {
        // Addresses alone will do; without either it is this host's socket.
        hosts = if addresses.is_empty() {
            vec![String::new()]
        } else {
            addresses.to_vec()
        };
    }
    let count = hosts.len();
    let paired = |parameter, others: usize, allowed: bool| {
        if allowed {
            Ok(())
        } else {
            Err(ParseConnectionError::Pairing {
                hosts: count,
                parameter,
                others,
            })
        }
    };
    paired(
        "port",
        ports.len(),
        ports.len() <= 1 || ports.len() == count,
    )?;
    paired(
        "hostaddr",
        addresses.len(),
        addresses.is_empty() || addresses.len() == count,
    )?;
    let resolve = |(index, name): (usize, String)| {
        let port = if ports.len() == 1 {
            ports.first()
        } else {
            ports.get(index)
        };
        let port = parse_port(port.map_or("", String::as_str))?;
        let address = addresses.get(index).filter(|text| !text.is_empty());
        let address = address.map(|text| parse_address(text)).transpose()?;
        let name = match name.as_str() {
            "" => HostName::Unix(PathBuf::from(SOCKET_DIRECTORY)),
            path if path.starts_with('/') => HostName::Unix(PathBuf::from(path)),
            _ => HostName::Tcp(name),
        };
        Ok(Host {
            name,
            address,
            port,
        })
    };
    hosts.into_iter().enumerate().map(resolve).collect()
}

fn parse_port(text: &str) -> Result<u16, ParseConnectionError> {
    if text.is_empty() {
        return Ok(PORT);
    }
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(ParseConnectionError::Port(text.to_owned())),
    }
}

fn parse_address(text: &str) -> Result<IpAddr, ParseConnectionError> {
    text.parse()
        .map_err(|_| unexpected("hostaddr", text.to_owned(), "an ip address"))
}

fn unexpected(name: &str, value: String, expected: &'static str) -> ParseConnectionError {
    ParseConnectionError::Value {
        name: name.to_owned(),
        value,
        expected,
    }
}

fn number(name: &str, value: String, max: u64) -> Result<u64, ParseConnectionError> {
    match value.parse() {
        Ok(number) if number <= max => Ok(number),
        _ => Err(unexpected(name, value, "a whole number within its limit")),
    }
}

fn seconds(name: &str, value: String) -> Result<Duration, ParseConnectionError> {
    number(name, value, SECONDS_MAX).map(Duration::from_secs)
}

fn accept(
    name: &str,
    value: String,
    known: &[&str],
    expected: &'static str,
) -> Result<(), ParseConnectionError> {
    if known.contains(&value.to_ascii_lowercase().as_str()) {
        Ok(())
    } else {
        Err(unexpected(name, value, expected))
    }
}

fn require(name: &str, value: String) -> Result<TlsMode, ParseConnectionError> {
    if value == "true" {
        Ok(TlsMode::Require)
    } else {
        Err(unexpected(name, value, "true"))
    }
}

fn tls_mode(name: &str, value: String) -> Result<TlsMode, ParseConnectionError> {
    match value.as_str() {
        "disable" => Ok(TlsMode::Disable),
        "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(unexpected(
            name,
            value,
            "disable, prefer, require, verify-ca or verify-full",
        )),
    }
}

fn channel_binding(name: &str, value: String) -> Result<ChannelBinding, ParseConnectionError> {
    match value.as_str() {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err(unexpected(name, value, "disable, prefer or require")),
    }
}

fn target_session(name: &str, value: String) -> Result<TargetSession, ParseConnectionError> {
    match value.as_str() {
        "any" => Ok(TargetSession::Any),
        "read-write" => Ok(TargetSession::ReadWrite),
        "read-only" => Ok(TargetSession::ReadOnly),
        "primary" => Ok(TargetSession::Primary),
        "standby" => Ok(TargetSession::Standby),
        "prefer-standby" => Ok(TargetSession::PreferStandby),
        _ => Err(unexpected(
            name,
            value,
            "any, read-write, read-only, primary, standby or prefer-standby",
        )),
    }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;

//! Ways into a server: passwords, TLS modes with a certificate authority of our own, client
//! certificates, Unix sockets, several hosts. Each case goes through both clients.
//!
//! The server is a private one, because these tests write its `pg_hba.conf` and its certificates; its
//! `wal_level` is `replica`, which is a case too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tidewater::connection::{self, Connection, connect};
use tidewater::exit::ExitCode;
use tidewater::postgres::{self, Error, Session, SessionKind, SnapshotExport};

use crate::support;
use crate::support::certificates::{openssl, self_signed};

/// The first line that matches a connection decides.
const HBA: &str = "\
local   all  all                       trust
host    all  postgres   127.0.0.1/32  trust
hostssl all  scram      127.0.0.1/32  scram-sha-256
hostnossl all plain     127.0.0.1/32  scram-sha-256
host    all  md5        127.0.0.1/32  md5
host    all  clear      127.0.0.1/32  password
hostssl all  certified  127.0.0.1/32  cert
host    all  nobody     127.0.0.1/32  reject
";

const ROLES: &str = "
    create role scram login replication password 'pencil';
    create role plain login replication password 'pencil';
    create role clear login replication password 'pencil';
    create role certified login replication;
    create role nobody login replication;
    set password_encryption = 'md5';
    create role md5 login replication password 'pencil'";

/// Keys and certificates made by the openssl command: a root, the server's for `localhost`, a client's
/// for the role `certified`, and a root that nobody trusts.
fn certificates(directory: &Path) {
    let run = |arguments: &[&str]| openssl(directory, arguments);
    for root in ["root", "stranger"] {
        self_signed(directory, root, &[]);
    }
    fs::write(
        directory.join("server.ext"),
        "subjectAltName=DNS:localhost\n",
    )
    .unwrap();
    fs::write(
        directory.join("client.ext"),
        "extendedKeyUsage=clientAuth\n",
    )
    .unwrap();
    for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=certified")] {
        let file = |suffix: &str| format!("{name}.{suffix}");
        run(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
        ]);
        run(&[
            "x509",
            "-req",
            "-in",
            &file("csr"),
            "-CA",
            "root.crt",
            "-CAkey",
            "root.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &file("ext"),
            "-out",
            &file("crt"),
        ]);
    }
}

struct Server {
    postgres: support::Postgres,
    files: PathBuf,
}

impl Server {
    async fn start() -> Server {
        let postgres = support::Postgres::start(&["wal_level=replica"]);
        let files = postgres.directory().join("certificates");
        fs::create_dir(&files).unwrap();
        certificates(&files);
        let data = postgres.data();
        for (from, to) in [
            ("server.key", "server.key"),
            ("server.crt", "server.crt"),
            ("root.crt", "root.crt"),
        ] {
            let to = data.join(to);
            fs::copy(files.join(from), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            support::Postgres::give(&to);
        }
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let database = connect(&postgres.url().parse().unwrap()).await.unwrap();
        for statement in ROLES.split(';').chain([
            "alter system set ssl = on",
            "alter system set ssl_ca_file = 'root.crt'",
            "select pg_reload_conf()",
        ]) {
            database.batch_execute(statement).await.unwrap();
        }
        support::until("tls", async || {
            let row = database.query_one("select count(*) > 5 from pg_hba_file_rules", &[]);
            let url = format!(
                "postgres://postgres@127.0.0.1:{}/postgres?sslmode=require",
                postgres.port()
            );
            row.await.unwrap().get(0) && connect(&url.parse().unwrap()).await.is_ok()
        })
        .await;
        Server { postgres, files }
    }

    fn connection(&self, login: &str, host: &str, parameters: &str) -> Connection {
        let parameters = parameters.replace("FILES", &self.files.display().to_string());
        let port = self.postgres.port();
        format!("postgres://{login}@{host}:{port}/postgres?{parameters}")
            .parse()
            .unwrap()
    }

    /// Both clients get in. Returns whether the connection is encrypted.
    async fn admits(&self, login: &str, host: &str, parameters: &str) -> bool {
        const QUESTION: &str = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
        let connection = self.connection(login, host, parameters);
        let name = format!("{login}@{host}?{parameters}");
        let database = connect(&connection)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let by_database: String = database.query_one(QUESTION, &[]).await.unwrap().get(0);
        let mut by_session = None;
        for kind in [SessionKind::Ordinary, SessionKind::Replication] {
            let session = Session::connect(&connection, kind, &[]).await;
            let mut session = session.unwrap_or_else(|error| panic!("{name}: {error}"));
            by_session = session.query(QUESTION).await.unwrap().remove(0).remove(0);
        }
        assert_eq!(Some(&by_database), by_session.as_ref(), "{name}");
        by_database == "true"
    }

    /// Neither client gets in; both give the same code, and an error that holds `part`.
    async fn refuses(&self, login: &str, host: &str, parameters: &str, part: &str) {
        let connection = self.connection(login, host, parameters);
        let name = format!("{login}@{host}?{parameters}");
        let by_database = connect(&connection).await.expect_err(&name);
        let by_session = Session::connect(&connection, SessionKind::Replication, &[]).await;
        let Err(Error::Connection(by_session)) = by_session else {
            panic!("{name}: {by_session:?}")
        };
        for error in [by_database, by_session] {
            assert_eq!(
                error.exit_code(),
                ExitCode::SourceAuthentication,
                "{name}: {error}"
            );
            assert!(!error.is_transient(), "{name}: {error}");
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            assert!(text.contains(part), "{name}: {text}");
            assert!(
                !text.contains("pencil") && !text.contains("wrong"),
                "{name}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn ways_in() {
    let server = Server::start().await;
    passwords(&server).await;
    certificates_are_checked(&server).await;
    hosts(&server).await;
    wal_level(&server).await;
}

async fn passwords(server: &Server) {
    const LOCAL: &str = "127.0.0.1";
    for login in ["scram:pencil", "md5:pencil", "clear:pencil"] {
        assert!(
            server.admits(login, LOCAL, "").await,
            "prefer is encrypted where it can be"
        );
        assert!(server.admits(login, LOCAL, "sslmode=require").await);
    }
    for login in ["plain:pencil", "md5:pencil", "clear:pencil"] {
        assert!(!server.admits(login, LOCAL, "sslmode=disable").await);
    }
    assert!(
        server
            .admits("scram:pencil", LOCAL, "channel_binding=require")
            .await
    );
    assert!(
        server
            .admits("scram:pencil", LOCAL, "channel_binding=disable")
            .await
    );
    for login in ["scram:wrong", "md5:wrong", "clear:wrong"] {
        server
            .refuses(login, LOCAL, "", "password authentication failed")
            .await;
    }
    server.refuses("scram", LOCAL, "", "password").await;
    server
        .refuses("nobody:pencil", LOCAL, "", "pg_hba.conf")
        .await;
    server
        .refuses("scram:pencil", LOCAL, "sslmode=disable", "pg_hba.conf")
        .await;
    for login in ["md5:pencil", "clear:pencil"] {
        server
            .refuses(login, LOCAL, "channel_binding=require", "channel binding")
            .await;
    }
}

async fn certificates_are_checked(server: &Server) {
    let login = "scram:pencil";
    for (host, parameters) in [
        ("127.0.0.1", "sslmode=require&sslrootcert=FILES/root.crt"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=FILES/root.crt"),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=FILES/root.crt",
        ),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=FILES/server.crt",
        ),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=FILES/root.crt&channel_binding=require",
        ),
    ] {
        assert!(server.admits(login, host, parameters).await);
    }
    for (host, parameters, part) in [
        (
            "localhost",
            "sslmode=require&sslrootcert=FILES/stranger.crt",
            "UnknownIssuer",
        ),
        (
            "localhost",
            "sslmode=verify-ca&sslrootcert=FILES/stranger.crt",
            "UnknownIssuer",
        ),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=FILES/stranger.crt",
            "UnknownIssuer",
        ),
        (
            "127.0.0.1",
            "sslmode=verify-full&sslrootcert=FILES/root.crt",
            "not valid for name",
        ),
    ] {
        server.refuses(login, host, parameters, part).await;
    }
    let mine = "sslcert=FILES/client.crt&sslkey=FILES/client.key";
    assert!(server.admits("certified", "127.0.0.1", mine).await);
    server
        .refuses("certified", "127.0.0.1", "", "certificate")
        .await;
    let missing = server.connection(
        login,
        "localhost",
        "sslmode=verify-ca&sslrootcert=FILES/none",
    );
    let error = connect(&missing).await.expect_err("no such file");
    assert!(
        matches!(error, connection::Error::TlsFile { .. }),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), ExitCode::Configuration);
}

async fn hosts(server: &Server) {
    let (port, dead) = (server.postgres.port(), support::free_port());
    let socket = server.postgres.directory().display().to_string();
    let connection = |text: String| text.parse::<Connection>().unwrap();
    for url in [
        format!("postgres://postgres@/postgres?host={socket}&port={port}"),
        format!("postgres://postgres@127.0.0.1:{dead},127.0.0.1:{port}/postgres"),
        format!("postgres://postgres@/postgres?host=/nowhere,{socket}&port={port}"),
        format!("postgres://postgres@127.0.0.1:{port}/postgres?target_session_attrs=read-write"),
        format!(
            "postgres://postgres@127.0.0.1:{port}/postgres?target_session_attrs=prefer-standby"
        ),
    ] {
        let connection = connection(url);
        connect(&connection)
            .await
            .unwrap_or_else(|error| panic!("{connection}: {error}"));
        Session::connect(&connection, SessionKind::Replication, &[])
            .await
            .unwrap();
    }
    let nobody = connection(format!("postgres://postgres@127.0.0.1:{dead}/postgres"));
    let error = connect(&nobody).await.expect_err("nobody listens");
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(error.exit_code(), ExitCode::SourceUnreachable);
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?target_session_attrs=standby");
    let error = connect(&connection(url))
        .await
        .expect_err("it is a primary");
    assert!(
        matches!(error, connection::Error::NoneSuitable { .. }),
        "{error:?}"
    );
    // A refusal ends the search: the password is not tried on the next host.
    let url = format!("postgres://scram:wrong@127.0.0.1:{port},127.0.0.1:{dead}/postgres");
    let error = connect(&connection(url)).await.expect_err("refused");
    assert!(
        matches!(error, connection::Error::Refused { .. }),
        "{error:?}"
    );
}

async fn wal_level(server: &Server) {
    let connection = server.connection("postgres", "127.0.0.1", "");
    let database = connect(&connection).await.unwrap();
    let found = postgres::inspect_server(&database)
        .await
        .unwrap()
        .check(false)
        .expect_err("replica");
    let mut session = Session::connect(&connection, SessionKind::Replication, &[])
        .await
        .unwrap();
    let created = postgres::create_slot(&mut session, "s", true, SnapshotExport::Nothing).await;
    for error in [found, created.expect_err("replica")] {
        assert!(
            error
                .to_string()
                .contains("alter system set wal_level = logical"),
            "{error}"
        );
        assert_eq!(error.exit_code(), ExitCode::SourceSettings);
    }
}

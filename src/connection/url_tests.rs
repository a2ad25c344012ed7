//! What libpq users write in a URL, and what is refused.

use super::*;

fn parse(url: &str) -> Connection {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn hosts(url: &str) -> Vec<String> {
    parse(url).hosts().iter().map(ToString::to_string).collect()
}

#[test]
fn hosts_are_read_as_libpq_does() {
    let check = |url: &str, expected: &[&str]| assert_eq!(hosts(url), expected, "{url}");
    check("postgres://u@h", &["h:5432"]);
    check("postgresql://u@h:6000/db", &["h:6000"]);
    check(
        "postgres://u@h1:1,h2,[::1]:3/db",
        &["h1:1", "h2:5432", "[::1]:3"],
    );
    check("postgres://u@[::1]/db", &["[::1]:5432"]);
    check("postgres://u@%2Frun%2Fpg:7/db", &["/run/pg/.s.PGSQL.7"]);
    check(
        "postgres://u@/db?host=/run/pg&port=7",
        &["/run/pg/.s.PGSQL.7"],
    );
    check(
        "postgres://u@/db?host=a,/s,c&port=1,2,3",
        &["a:1", "/s/.s.PGSQL.2", "c:3"],
    );
    check("postgres://u@/db?host=a,b&port=9", &["a:9", "b:9"]);
    check("postgres://u@/db", &["/var/run/postgresql/.s.PGSQL.5432"]);
    check(
        "postgres:///db?user=u",
        &["/var/run/postgresql/.s.PGSQL.5432"],
    );
    check("postgres://?user=u&host=h", &["h:5432"]);
    check("postgres://u@/db?hostaddr=10.0.0.1", &["10.0.0.1:5432"]);
    check("postgres://u@:7/db?host=/run/pg", &["/run/pg/.s.PGSQL.7"]);
}

#[test]
fn the_login_is_read() {
    let check = |url: &str, user: &str, password: Option<&str>, database: &str| {
        let connection = parse(url);
        let read = (
            connection.user(),
            connection.password(),
            connection.database(),
        );
        assert_eq!(read, (user, password, database), "{url}");
    };
    check("postgres://u:p@h/d", "u", Some("p"), "d");
    check("postgres://u@h", "u", None, "u");
    check(
        "postgres://u%40x:p%3A%2F%40@h/d%20b",
        "u@x",
        Some("p:/@"),
        "d b",
    );
    check("postgres://u:p@ss/word@h/d", "u", Some("p@ss/word"), "d");
    check(
        "postgres://h/d?user=u&password=s%26t",
        "u",
        Some("s&t"),
        "d",
    );
    check("postgres://u@h/d?dbname=e", "u", None, "e");
    check("postgres://u:@h/d", "u", Some(""), "d");
}

#[test]
fn parameters_are_read() {
    let connection = parse(
        "postgres://u@h/d?sslmode=verify-full&sslrootcert=/r.pem&sslcert=/c.pem&sslkey=/k.pem\
         &channel_binding=require&connect_timeout=3&target_session_attrs=read-write\
         &application_name=till&options=-c%20work_mem%3D1MB&keepalives_idle=7&tcp_user_timeout=900\
         &client_encoding=UTF8&gssencmode=disable",
    );
    assert_eq!(connection.tls().mode, TlsMode::VerifyFull);
    assert_eq!(
        connection.tls().root_certificate,
        Some(PathBuf::from("/r.pem"))
    );
    assert_eq!(connection.tls().certificate, Some(PathBuf::from("/c.pem")));
    assert_eq!(connection.tls().key, Some(PathBuf::from("/k.pem")));
    assert_eq!(connection.channel_binding(), ChannelBinding::Require);
    assert_eq!(connection.connect_timeout(), Duration::from_secs(3));
    assert_eq!(connection.target_session(), TargetSession::ReadWrite);
    assert_eq!(connection.application_name(), "till");
    assert_eq!(connection.keepalive().idle, Duration::from_secs(7));
    assert_eq!(
        connection.keepalive().user_timeout,
        Duration::from_millis(900)
    );
    let options = connection.start_up_options([("DateStyle", "ISO, MDY")]);
    assert_eq!(options, "-c work_mem=1MB -c DateStyle=ISO,\\ MDY");
}

#[test]
fn defaults_are_safe_and_bounded() {
    let connection = parse("postgres://u@h");
    assert_eq!(connection.tls().mode, TlsMode::Prefer);
    assert_eq!(connection.connect_timeout(), CONNECT_TIMEOUT);
    assert_eq!(
        parse("postgres://u@h?connect_timeout=0").connect_timeout(),
        CONNECT_TIMEOUT
    );
    assert_eq!(
        parse("postgres://u@h?ssl=true").tls().mode,
        TlsMode::Require
    );
    assert_eq!(
        parse("postgres://u@h?sslrootcert=system").tls().mode,
        TlsMode::VerifyFull
    );
    let keepalive = connection.keepalive();
    let seen_after = keepalive.idle + keepalive.interval * keepalive.count;
    assert!(
        seen_after < Duration::from_secs(15),
        "a lost host is seen after {seen_after:?}"
    );
}

#[test]
fn faults_are_named() {
    let check = |url: &str, part: &str| {
        let error = url.parse::<Connection>().expect_err(url).to_string();
        assert!(error.contains(part), "{url}: {error}");
    };
    check("http://u@h", "expected postgres://");
    check("postgres://h/d", "names no user");
    check("postgres://u@h:0/d", "port \"0\"");
    check("postgres://u@h:65536/d", "port \"65536\"");
    check("postgres://u@[::1/d", "brackets");
    check("postgres://u@::1/d", "brackets");
    check("postgres://u@h/%zz", "the database");
    check("postgres://u@h/%ff", "the database");
    check("postgres://u@h?sslmode=allow", "sslmode=allow");
    check("postgres://u@h?sslmod=require", "\"sslmod\" is not known");
    check("postgres://u@h?sslcert=/c.pem", "belong together");
    check(
        "postgres://u@h?sslmode=disable&channel_binding=require",
        "contradicts",
    );
    check(
        "postgres://u@/d?host=a,b,c&port=1,2",
        "3 hosts but 2 in port",
    );
    check(
        "postgres://u@/d?host=a,b&hostaddr=10.0.0.1",
        "2 hosts but 1 in hostaddr",
    );
    check(
        "postgres://u@h?connect_timeout=soon",
        "connect_timeout=soon",
    );
    check(
        "postgres://u@h?client_encoding=latin1",
        "client_encoding=latin1",
    );
}

#[test]
fn the_password_is_never_shown() {
    let connection = parse("postgres://u:hunter2@h/d");
    for shown in [format!("{connection:?}"), connection.to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let error = "postgres://u:hunter2@h:x/d"
        .parse::<Connection>()
        .expect_err("port");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

//! The checks: facts in, findings out. Pure.

use super::facts::{Purpose, SinkFacts, SourceFacts, TableFacts, TopicFacts, TopicSettings};
use super::{Finding, Severity, batch, standby};
use crate::config::settings::{Arms, Console, Gateway, Kafka, Retail, Settings, Source};
use crate::connection::{Connection, HostName, TlsMode, quote_identifier, quote_literal};
use crate::postgres::{self, Server, SlotState};
use crate::retail::SchemaError;

use Severity::{Error, Info, Warning};

/// Log that a slot may hold before the doctor speaks of it, bytes.
const RETAINED_BYTES_NOTABLE: i64 = 1 << 30;
/// A transaction older than this holds the slot's log back, seconds.
const TRANSACTION_AGE_NOTABLE: f64 = 300.0;
/// Clocks further apart than this make lags and validities wrong, seconds.
const CLOCK_OFFSET_MAX: f64 = 2.0;
/// The secret that everybody knows.
const DEFAULT_SECRET: &str = "tidewater";

/// What the settings alone tell.
pub(super) fn settings(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(source) = &settings.source {
        findings.push(plain_text("source.tls", "source.url", &source.connection));
    }
    if let Some(sink) = &settings.sink {
        findings.push(plain_text("sink.tls", "sink.url", &sink.connection));
        findings.push(secret(&settings.retail));
    }
    findings.push(gateway(&settings.gateway));
    findings.push(console(&settings.console));
    findings
}

/// Every request carries a key.
fn gateway(gateway: &Gateway) -> Finding {
    const CHECK: &str = "gateway.tls";
    if gateway.listen.ip().is_loopback() {
        return Finding::ok(CHECK, "the gateway is reached from this host alone");
    }
    if gateway.identity.is_some() {
        return Finding::ok(CHECK, "the gateway speaks tls");
    }
    Finding::bad(
        Warning,
        CHECK,
        format!(
            "the gateway listens in plain text on {}, and keys come with every request",
            gateway.listen
        ),
        "set gateway.certificate and gateway.private_key, let nothing but a proxy with TLS reach it, or set \
         gateway.listen to an address of this host alone",
    )
}

/// The console shows what the topics hold to whoever reaches it.
fn console(console: &Console) -> Finding {
    const CHECK: &str = "console.listen";
    if console.listen.ip().is_loopback() {
        return Finding::ok(CHECK, "the console is reached from this host alone");
    }
    let in_plain_text = match console.identity {
        Some(_) => "",
        None => " in plain text",
    };
    Finding::bad(
        Warning,
        CHECK,
        format!(
            "the console listens{in_plain_text} on {}, and shows customers and codes to whoever reaches it",
            console.listen
        ),
        "put a proxy with TLS and a log-in before it, or set console.listen to an address of this host alone",
    )
}

fn plain_text(check: &'static str, key: &str, connection: &Connection) -> Finding {
    let local = |name: &HostName| match name {
        HostName::Unix(_) => true,
        HostName::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    };
    let mut hosts = connection.hosts().iter().map(|host| &host.name);
    if hosts.all(local) {
        return Finding::ok(check, "the connection stays on this host");
    }
    match connection.tls().mode {
        TlsMode::Disable => Finding::bad(
            Warning,
            check,
            "the connection is plain text, outside this host",
            format!("set sslmode=verify-full in {key}"),
        ),
        TlsMode::VerifyFull => Finding::ok(check, "encrypted, and the server is verified"),
        TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa => Finding::bad(
            Info,
            check,
            "the server's name is not verified",
            format!("set sslmode=verify-full in {key}"),
        ),
    }
}

fn secret(retail: &Retail) -> Finding {
    if retail.code_secret == DEFAULT_SECRET {
        Finding::bad(
            Warning,
            "config.code-secret",
            "codes can be guessed: retail.code_secret is the default",
            "set TIDEWATER_RETAIL_CODE_SECRET_FILE to a file with a secret of your own",
        )
    } else {
        Finding::ok("config.code-secret", "codes are made with a secret")
    }
}

/// The source.
pub(super) fn source(source: &Source, facts: &SourceFacts) -> Vec<Finding> {
    let mut findings = server(&facts.server, facts.slot.is_some());
    findings.push(standby::check(source, &facts.server, facts.slot.as_ref()));
    findings.push(kept_log(&facts.server));
    findings.push(slot(&source.slot, facts.slot.as_ref()));
    findings.push(publication(&facts.publication));
    let user = &facts.server.user;
    findings.extend(facts.tables.iter().flat_map(|facts| table(facts, user)));
    findings.push(oldest_transaction(facts.oldest_transaction));
    findings.push(oldest_prepared(facts.oldest_prepared.as_ref()));
    findings.push(clock("source.clock", facts.clock_offset));
    findings
}

fn server(server: &Server, slot_exists: bool) -> Vec<Finding> {
    let faults = server.faults(slot_exists);
    if faults.is_empty() {
        let found = format!(
            "postgres {}, wal_level logical, {} slots and {} walsenders free, {} may replicate",
            server.version_text, server.slots_free, server.senders_free, server.user
        );
        return vec![Finding::ok("source.server", found)];
    }
    let finding = |fault: &postgres::Error| Finding::error(Error, "source.server", fault);
    faults.iter().map(finding).collect()
}

fn kept_log(server: &Server) -> Finding {
    if server.slot_wal_keep_megabytes < 0 {
        Finding::bad(
            Warning,
            "source.kept-log",
            "a replicator that stays away fills the source's disk: max_slot_wal_keep_size is unlimited",
            "alter system set max_slot_wal_keep_size = '64GB'; select pg_reload_conf(); and alert on \
             tidewater_retained_wal_bytes",
        )
    } else {
        let limit = server.slot_wal_keep_megabytes;
        Finding::ok(
            "source.kept-log",
            format!("at most {limit} MB are kept for slots"),
        )
    }
}

fn slot(name: &str, state: Option<&SlotState>) -> Finding {
    const CHECK: &str = "source.slot";
    let Some(state) = state else {
        return Finding::ok(CHECK, format!("{name} is created at the first start"));
    };
    if let Err(error) = postgres::check_slot(name, state) {
        return Finding::error(Error, CHECK, &error);
    }
    let drop = format!("select pg_drop_replication_slot({})", quote_literal(name));
    if state.is_lost() {
        let remedy = format!("{drop}; then start with source.snapshot = \"when-needed\"");
        return Finding::bad(
            Error,
            CHECK,
            format!("{name} is lost: {}", state.why_lost()),
            remedy,
        );
    }
    let retained = state.retained_bytes.unwrap_or(0);
    match state.wal_status.as_deref() {
        Some(status @ ("unreserved" | "extended")) => Finding::bad(
            Warning,
            CHECK,
            format!("{name} holds {retained} bytes of log and is {status}"),
            format!("start the replicator, or give the slot up with {drop}"),
        ),
        _ if retained > RETAINED_BYTES_NOTABLE => Finding::bad(
            Warning,
            CHECK,
            format!("{name} holds {retained} bytes of log"),
            format!("start the replicator, or give the slot up with {drop}"),
        ),
        _ => Finding::ok(CHECK, format!("{name} holds {retained} bytes of log")),
    }
}

fn publication(publication: &Result<postgres::Publication, postgres::Error>) -> Finding {
    const CHECK: &str = "source.publication";
    match publication {
        Ok(found) => Finding::ok(
            CHECK,
            format!("{} publishes {} tables", found.name, found.tables.len()),
        ),
        Err(error @ postgres::Error::PublicationMissing { .. }) => {
            Finding::error(Info, CHECK, error)
        }
        Err(error) => Finding::error(Error, CHECK, error),
    }
}

fn table(facts: &TableFacts, user: &str) -> Vec<Finding> {
    let (name, quoted) = (&facts.table, facts.table.quoted());
    let mut findings = Vec::new();
    if facts.unlogged {
        findings.push(Finding::bad(
            Error,
            "source.unlogged",
            format!("{name} is unlogged: its changes are not in the log"),
            format!(
                "alter table {quoted} set logged; or exclude it with \"!{name}\" in source.tables"
            ),
        ));
    }
    if !facts.may_select {
        findings.push(Finding::bad(
            Error,
            "source.select",
            format!("{user} may not read {name}: it cannot be in a snapshot"),
            format!("grant select on {quoted} to {}", quote_identifier(user)),
        ));
    }
    match (facts.identity.as_str(), facts.key.is_empty()) {
        ("d", true) => findings.push(Finding::bad(
            Error,
            "source.replica-identity",
            format!("{name} has no primary key: once published, its updates and deletes fail"),
            format!("alter table {quoted} add primary key (…); or alter table {quoted} replica identity full"),
        )),
        ("n", _) => findings.push(Finding::bad(
            Error,
            "source.replica-identity",
            format!("{name} has replica identity nothing: once published, its updates and deletes fail"),
            format!("alter table {quoted} replica identity default"),
        )),
        ("f", true) => findings.push(Finding::bad(
            Info,
            "source.key",
            format!("{name} has no primary key: its events have no key, and no order beyond a partition's"),
            format!("alter table {quoted} add primary key (…)"),
        )),
        _ => {}
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "source.table",
            format!("{name} can be captured"),
        ));
    }
    findings
}

fn oldest_transaction(oldest: Option<(i32, f64)>) -> Finding {
    match oldest {
        Some((pid, age)) if age > TRANSACTION_AGE_NOTABLE => Finding::bad(
            Warning,
            "source.transactions",
            format!(
                "backend {pid} has had a transaction open for {age:.0} s: the slot's log is kept since"
            ),
            format!("select pg_terminate_backend({pid})"),
        ),
        _ => Finding::ok("source.transactions", "no transaction is open for long"),
    }
}

fn oldest_prepared(oldest: Option<&(String, f64)>) -> Finding {
    match oldest {
        Some((gid, age)) if *age > TRANSACTION_AGE_NOTABLE => Finding::bad(
            Warning,
            "source.prepared",
            format!(
                "the prepared transaction {gid} is {age:.0} s old: the slot's log is kept since"
            ),
            format!("rollback prepared {}; or commit it", quote_literal(gid)),
        ),
        _ => Finding::ok("source.prepared", "no prepared transaction is forgotten"),
    }
}

fn clock(check: &'static str, offset: f64) -> Finding {
    if offset.abs() > CLOCK_OFFSET_MAX {
        Finding::bad(
            Warning,
            check,
            format!(
                "its clock is {offset:+.1} s from this host's: lags and validities are off by that"
            ),
            "synchronise both clocks, with chrony for instance",
        )
    } else {
        Finding::ok(
            check,
            format!("its clock is {offset:+.3} s from this host's"),
        )
    }
}

/// The topics.
pub(super) fn kafka(kafka: &Kafka, topics: &[TopicFacts]) -> Vec<Finding> {
    let reached = Finding::ok("kafka.reached", format!("{} answers", kafka.brokers));
    let mut findings = vec![reached];
    findings.extend(topics.iter().map(|facts| topic(kafka, facts)));
    findings
}

fn topic(kafka: &Kafka, facts: &TopicFacts) -> Finding {
    const CHECK: &str = "kafka.topic";
    let name = &facts.name;
    let Some(found) = &facts.settings else {
        return Finding::ok(CHECK, format!("{name} is created at the first start"));
    };
    let set =
        |settings: &str| format!("kafka-configs --alter --topic {name} --add-config {settings}");
    let TopicSettings {
        cleanup,
        retention_ms,
        message_bytes_max,
    } = found;
    let limit = message_bytes_max.unwrap_or(usize::MAX);
    match facts.purpose {
        Purpose::Position if cleanup != "compact" => Finding::bad(
            Error,
            CHECK,
            format!(
                "{name} holds the position and has cleanup.policy {cleanup}: it would be forgotten"
            ),
            set("cleanup.policy=compact"),
        ),
        Purpose::Position => Finding::ok(CHECK, format!("{name} is compacted")),
        Purpose::History if cleanup != "delete" || retention_ms != "-1" => Finding::bad(
            Error,
            CHECK,
            format!(
                "{name} is history, and has cleanup.policy {cleanup} and retention.ms {retention_ms}: \
                 no rebuild is possible from what is left"
            ),
            set("cleanup.policy=delete,retention.ms=-1"),
        ),
        Purpose::History | Purpose::Events if limit < kafka.message_bytes_max => Finding::bad(
            Error,
            CHECK,
            format!(
                "{name} takes at most {limit} bytes, kafka.message_bytes_max is {}",
                kafka.message_bytes_max
            ),
            set(&format!(
                "max.message.bytes={}",
                kafka.message_bytes_max + 1024
            )),
        ),
        Purpose::History | Purpose::Events => {
            Finding::ok(CHECK, format!("{name} is as it should be"))
        }
    }
}

/// The sink.
pub(super) fn sink(facts: &SinkFacts, arms: Arms) -> Vec<Finding> {
    let schema = match &facts.schema {
        Ok(()) => Finding::ok("sink.schema", format!("{} is up to date", facts.database)),
        Err(error @ SchemaError::Older { .. }) => Finding::error(Warning, "sink.schema", error),
        Err(error) => Finding::error(Error, "sink.schema", error),
    };
    let rights = if facts.may_create {
        Finding::ok("sink.rights", format!("{} may create tables", facts.user))
    } else {
        Finding::bad(
            Error,
            "sink.rights",
            format!("{} may not create tables in {}", facts.user, facts.database),
            format!(
                "grant create on schema public to {}",
                quote_identifier(&facts.user)
            ),
        )
    };
    let mut findings = vec![schema, rights, clock("sink.clock", facts.clock_offset)];
    if arms.batch > 0 && facts.schema.is_ok() {
        findings.push(batch::last_run(arms.batch, facts.batch_age));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::TableName;

    #[track_caller]
    fn check(finding: &Finding, severity: Severity, parts: &[&str]) {
        assert_eq!(finding.severity, severity, "{finding:?}");
        let text = format!(
            "{} {}",
            finding.finding,
            finding.remedy.as_deref().unwrap_or_default()
        );
        for part in parts {
            assert!(text.contains(part), "no \"{part}\" in {text}");
        }
    }

    fn facts(identity: &str, key: &[&str]) -> TableFacts {
        TableFacts {
            id: 7,
            table: TableName {
                schema: "public".to_owned(),
                name: "orders".to_owned(),
            },
            identity: identity.to_owned(),
            key: key.iter().map(|column| (*column).to_owned()).collect(),
            may_select: true,
            unlogged: false,
        }
    }

    #[test]
    fn tables_need_an_identity_a_log_and_a_reader() {
        let one = |facts: &TableFacts| table(facts, "till").remove(0);
        check(&one(&facts("d", &["order_id"])), Severity::Ok, &[]);
        check(&one(&facts("d", &[])), Error, &["replica identity full"]);
        check(
            &one(&facts("n", &["order_id"])),
            Error,
            &["replica identity default"],
        );
        check(&one(&facts("f", &[])), Info, &["add primary key"]);
        let unlogged = TableFacts {
            unlogged: true,
            ..facts("d", &["order_id"])
        };
        check(&one(&unlogged), Error, &["set logged", "!public.orders"]);
        let hidden = TableFacts {
            may_select: false,
            ..facts("d", &["order_id"])
        };
        check(
            &one(&hidden),
            Error,
            &["grant select on \"public\".\"orders\" to \"till\""],
        );
    }

    #[test]
    fn a_gateway_for_others_needs_a_proxy() {
        let judged = |listen: &str| {
            let text = format!("[gateway]\nlisten = \"{listen}\"");
            let settings = crate::config::parse(&text, []).unwrap();
            gateway(&settings.gateway)
        };
        check(&judged("[::1]:80"), Severity::Ok, &["this host"]);
        check(&judged("0.0.0.0:80"), Warning, &["0.0.0.0:80", "TLS"]);
    }

    #[test]
    fn a_console_for_others_needs_a_proxy() {
        let judged = |listen: &str| {
            let text = format!("[console]\nlisten = \"{listen}\"");
            let settings = crate::config::parse(&text, []).unwrap();
            console(&settings.console)
        };
        check(&judged("127.0.0.1:80"), Severity::Ok, &["this host"]);
        check(&judged("0.0.0.0:80"), Warning, &["0.0.0.0:80", "log-in"]);
    }

    #[test]
    fn a_server_must_be_new_enough() {
        let judged = |version, text: &str| {
            let facts = Server {
                version,
                version_text: text.to_owned(),
                ..Server::example()
            };
            server(&facts, false).remove(0)
        };
        check(&judged(140_000, "14.0"), Severity::Ok, &["postgres 14.0"]);
        check(
            &judged(130_023, "13.23"),
            Error,
            &["postgres 13.23", "14 or later"],
        );
    }

    #[test]
    fn slots_are_judged_by_kind_and_log() {
        let state = SlotState::example();
        let judged = |change: &dyn Fn(&mut SlotState)| {
            let mut state = state.clone();
            change(&mut state);
            slot("s", Some(&state))
        };
        check(&slot("s", None), Severity::Ok, &["first start"]);
        check(&judged(&|_| ()), Severity::Ok, &[]);
        check(
            &judged(&|s| s.plugin = Some("wal2json".to_owned())),
            Error,
            &["wal2json"],
        );
        check(
            &judged(&|s| s.wal_status = Some("lost".to_owned())),
            Error,
            &["when-needed"],
        );
        check(
            &judged(&|s| s.wal_status = Some("unreserved".to_owned())),
            Warning,
            &["unreserved"],
        );
        check(
            &judged(&|s| s.retained_bytes = Some(2 << 30)),
            Warning,
            &["2147483648"],
        );
    }

    #[test]
    fn topics_are_judged_by_what_they_are_for() {
        let text = "[source]\nurl = \"postgres://a@localhost/b\"\n[kafka]\nbrokers = \"h:1\"";
        let settings = crate::config::parse(text, []).unwrap();
        let judged = |purpose, cleanup: &str, retention: &str, limit| {
            let found = TopicSettings {
                cleanup: cleanup.to_owned(),
                retention_ms: retention.to_owned(),
                message_bytes_max: Some(limit),
            };
            let facts = TopicFacts {
                name: "t".to_owned(),
                purpose,
                settings: Some(found),
            };
            topic(settings.kafka.as_ref().unwrap(), &facts)
        };
        let large = 2_000_000;
        check(
            &judged(Purpose::History, "delete", "-1", large),
            Severity::Ok,
            &[],
        );
        check(
            &judged(Purpose::History, "delete", "86400000", large),
            Error,
            &["retention.ms=-1"],
        );
        check(
            &judged(Purpose::History, "compact", "-1", large),
            Error,
            &["cleanup.policy=delete"],
        );
        check(
            &judged(Purpose::Events, "delete", "1", large),
            Severity::Ok,
            &[],
        );
        check(
            &judged(Purpose::Events, "delete", "-1", 20_000),
            Error,
            &["max.message.bytes=1001024"],
        );
        check(
            &judged(Purpose::Position, "compact", "1", 1),
            Severity::Ok,
            &[],
        );
        check(
            &judged(Purpose::Position, "delete", "1", 1),
            Error,
            &["cleanup.policy=compact"],
        );
    }

    #[test]
    fn what_waits_for_long_is_named() {
        check(&oldest_transaction(None), Severity::Ok, &[]);
        check(&oldest_transaction(Some((7, 10.0))), Severity::Ok, &[]);
        check(
            &oldest_transaction(Some((7, 301.0))),
            Warning,
            &["pg_terminate_backend(7)"],
        );
        let prepared = ("it's".to_owned(), 301.0);
        check(
            &oldest_prepared(Some(&prepared)),
            Warning,
            &["rollback prepared 'it''s'"],
        );
        check(&clock("source.clock", 0.5), Severity::Ok, &[]);
        check(&clock("source.clock", -3.0), Warning, &["-3.0 s"]);
    }

    #[test]
    fn plain_text_and_a_known_secret_are_warned_of() {
        let judged = |url: &str| plain_text("source.tls", "source.url", &url.parse().unwrap());
        check(
            &judged("postgres://a@localhost/b?sslmode=disable"),
            Severity::Ok,
            &[],
        );
        check(
            &judged("postgres://a@10.0.0.1/b?sslmode=disable"),
            Warning,
            &["sslmode=verify-full in source.url"],
        );
        check(&judged("postgres://a@10.0.0.1/b"), Info, &["verify-full"]);
        check(
            &judged("postgres://a@db.example/b?sslmode=verify-full"),
            Severity::Ok,
            &[],
        );
    }
}

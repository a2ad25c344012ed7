//! A source that is a standby, or whose slot has copies on standbys. Pure.

use super::Finding;
use super::Severity::{Error, Warning};
use crate::config::settings::Source;
use crate::postgres::{Failover, Server, SlotState};

/// Judges it.
pub(super) fn check(source: &Source, server: &Server, slot: Option<&SlotState>) -> Finding {
    const CHECK: &str = "source.standby";
    if let Err(error) = server.check_standby(source.slot_failover, source.writes_itself()) {
        return Finding::error(Error, CHECK, &error);
    }
    if server.in_recovery && !server.hot_standby_feedback {
        return Finding::bad(
            Warning,
            CHECK,
            "the source is a standby, and its primary may remove rows that the slot needs, which loses it",
            "on the standby: alter system set hot_standby_feedback = on; select pg_reload_conf()",
        );
    }
    if server.in_recovery {
        return Finding::ok(CHECK, "its primary keeps what the slot needs");
    }
    let copied = source.slot_failover || slot.is_some_and(|slot| slot.failover == Failover::Copied);
    if copied && server.synchronized_standby_slots.is_empty() {
        return Finding::bad(
            Warning,
            CHECK,
            "standbys keep a copy of the slot, and may be behind it: a promotion can lose changes that are \
             published",
            "alter system set synchronized_standby_slots = '…', the physical slots of those standbys; \
             select pg_reload_conf()",
        );
    }
    Finding::ok(CHECK, "nothing here depends on a standby that may lag")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn what_a_standby_may_lose_is_named() {
        let judged = |more: &str, server: Server, slot: Option<SlotState>| {
            let text = format!("[source]\nurl = \"postgres://a@localhost/b\"\n{more}");
            let settings = crate::config::parse(&text, []).unwrap();
            check(&settings.source.unwrap(), &server, slot.as_ref())
        };
        let expect = |finding: Finding, severity: Severity, part: &str| {
            assert_eq!(finding.severity, severity, "{finding:?}");
            let remedy = finding.remedy.unwrap_or_default();
            assert!(
                remedy.contains(part) || finding.finding.contains(part),
                "{remedy}"
            );
        };
        let primary = || Server {
            version: 180_000,
            ..Server::example()
        };
        let standby = || Server {
            in_recovery: true,
            ..primary()
        };
        let kept = SlotState {
            failover: Failover::Copied,
            ..SlotState::example()
        };
        let ok = Severity::Ok;
        expect(judged("", primary(), Some(SlotState::example())), ok, "");
        expect(judged("", standby(), None), Error, "source.primary_url");
        let named = "primary_url = \"postgres://a@localhost/b\"";
        expect(
            judged(named, standby(), None),
            Warning,
            "hot_standby_feedback",
        );
        let fed = Server {
            hot_standby_feedback: true,
            ..standby()
        };
        expect(judged(named, fed, None), ok, "keeps");
        let copied = "slot_failover = true";
        expect(
            judged(copied, Server::example(), None),
            Error,
            "17 or later",
        );
        let waits = "synchronized_standby_slots";
        expect(judged(copied, primary(), None), Warning, waits);
        expect(judged("", primary(), Some(kept.clone())), Warning, waits);
        let waiting = Server {
            synchronized_standby_slots: "standby".to_owned(),
            ..primary()
        };
        expect(judged(copied, waiting, Some(kept)), ok, "");
    }
}

//! Whether codes can be posted to `webhook.url`. Pure: nothing is sent.

use url::{Host, Url};

use super::{Finding, Severity};
use crate::config::settings::Webhook;
use crate::retail;

/// `problem`: what keeps codes from being posted. The URL may hold what is secret, so no more than its host is shown.
pub(super) fn check(webhook: &Webhook, problem: Option<&retail::Error>) -> Finding {
    const CHECK: &str = "webhook.receiver";
    if let Some(problem) = problem {
        return Finding::error(Severity::Error, CHECK, problem);
    }
    let url = Url::parse(&webhook.url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let encrypted = url.as_ref().is_some_and(|url| url.scheme() == "https");
    let local = url
        .as_ref()
        .and_then(Url::host)
        .is_some_and(|host| match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        });
    if encrypted || local {
        return Finding::ok(CHECK, format!("codes are posted to {host}, and signed"));
    }
    Finding::bad(
        Severity::Warning,
        CHECK,
        format!("codes are posted to {host} in plain text: who reads them may redeem them"),
        "give the receiver TLS, and set webhook.url to its https address",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(url: &str, more: &str) -> Finding {
        let text = format!("[webhook]\nurl = \"{url}\"\nsecret = \"sixteen characters\"\n{more}");
        let settings = crate::config::parse(&text, []).unwrap();
        let webhook = settings.webhook.unwrap();
        check(&webhook, retail::webhook::check(&webhook).as_ref().err())
    }

    #[test]
    fn a_receiver_is_judged_without_a_request() {
        let judged_as = |url: &str, more: &str, severity, part: &str| {
            let finding = judged(url, more);
            assert_eq!(finding.severity, severity, "{finding:?}");
            assert!(
                finding.finding.contains(part),
                "no \"{part}\" in {finding:?}"
            );
            assert!(!finding.finding.contains("token"), "{finding:?}");
        };
        let (ok, warning, error) = (Severity::Ok, Severity::Warning, Severity::Error);
        let private = "allow_private = true";
        judged_as("https://shop.example/codes?token", "", ok, "shop.example");
        judged_as("http://127.0.0.1:8080/token", private, ok, "127.0.0.1");
        judged_as("http://shop.example/token", "", warning, "in plain text");
        judged_as("https://10.0.0.7/token", "", error, "10.0.0.7");
        let missing = "certificates = \"/nowhere/ca.pem\"";
        judged_as(
            "https://shop.example/token",
            missing,
            error,
            "/nowhere/ca.pem",
        );
    }
}

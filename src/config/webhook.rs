//! `[webhook]`: who is told of codes, and how patiently.

use super::resolve::Resolver;
use super::settings::Webhook;
use super::simulate::http_url;

/// Least length of the secret, characters.
const SECRET_MIN: usize = 16;
const SECRET_MAX: usize = 1_000;

/// Resolves it. The outer `None` is a fault, the inner one "none is configured".
pub(super) fn webhook(resolver: &mut Resolver<'_>) -> Option<Option<Webhook>> {
    let timeout = resolver.duration("webhook.timeout", "100ms", "5m");
    let attempts_max = resolver.number("webhook.attempts_max", 1, 1_000);
    let booleans = [("true", true), ("false", false)];
    let allow_private = resolver.choice("webhook.allow_private", &booleans);
    let certificates = resolver.text("webhook.certificates").map(Into::into);
    if !resolver.is_set("webhook.url") {
        let set = [
            "webhook.secret",
            "webhook.timeout",
            "webhook.attempts_max",
            "webhook.allow_private",
            "webhook.certificates",
        ];
        let off = resolver.none_is_set(
            &set,
            "webhook.url is not set, so nothing is posted",
            "set it to the receiver's URL, or remove this key",
        );
        return off.then_some(None);
    }
    let url = resolver.checked("webhook.url", http_url);
    if !resolver.is_set("webhook.secret") {
        resolver.conflict(
            "webhook.secret",
            "is missing, and webhook.url is set".to_owned(),
            "set it to the key that the receiver checks signatures with, 16 characters or more",
        );
        return None;
    }
    let secret = resolver.checked("webhook.secret", |text| {
        let length = text.chars().count();
        (SECRET_MIN..=SECRET_MAX)
            .contains(&length)
            .then(|| text.to_owned())
    });
    Some(Some(Webhook {
        url: url?,
        secret: secret?,
        timeout: timeout?,
        attempts_max: u32::try_from(attempts_max?).ok()?,
        allow_private: allow_private?,
        certificates,
    }))
}

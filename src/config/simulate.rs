//! `[simulate]`: where simulated shoppers meet the gateway.

use super::resolve::Resolver;
use super::settings::Simulate;

/// Resolves it. `None` only together with faults.
pub(super) fn simulate(resolver: &mut Resolver<'_>) -> Option<Simulate> {
    Some(Simulate {
        gateway_url: resolver.checked("simulate.gateway_url", http_url)?,
        gateway_key: resolver.text("simulate.gateway_key"),
    })
}

/// The text, if it is the URL of a web server, without a user in it.
pub(crate) fn http_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    (usable && url.username().is_empty()).then(|| text.to_owned())
}

//! What a server of ours shows to its clients: `certificate` and `private_key` of its section.

use super::resolve::Resolver;
use super::settings::Identity;

/// Resolves it; `None` within for a server without TLS. `None` only together with faults.
pub(super) fn identity(resolver: &mut Resolver<'_>, section: &str) -> Option<Option<Identity>> {
    let [certificate, private_key] =
        ["certificate", "private_key"].map(|key| format!("{section}.{key}"));
    match (resolver.text(&certificate), resolver.text(&private_key)) {
        (None, None) => Some(None),
        (Some(certificate), Some(private_key)) => Some(Some(Identity {
            certificate: certificate.into(),
            private_key: private_key.into(),
        })),
        (set, _) => {
            let (lacking, beside) = match set {
                None => (certificate, private_key),
                Some(_) => (private_key, certificate),
            };
            let problem = format!("it is not set, and {beside} is");
            let remedy = format!("set both for TLS, or neither: {lacking} names a file in PEM");
            resolver.conflict(&lacking, problem, &remedy);
            None
        }
    }
}

//! `[console]`: where it listens, and whom it asks.

use std::net::SocketAddr;

use super::identity::identity;
use super::keys::KEYS;
use super::resolve::Resolver;
use super::settings::Console;

/// Most roles whose stages are shown.
const ROLES_MAX: usize = 16;

/// Resolves it; `own` is where this process tells its own stages. `None` only together with faults.
pub(super) fn console(resolver: &mut Resolver<'_>, own: SocketAddr) -> Option<Console> {
    let enabled = enabled(resolver);
    let listen = resolver.parsed("console.listen");
    let identity = identity(resolver, "console");
    let connections_max = resolver.number("console.connections_max", 1, 10_000);
    let roles = roles(resolver);
    Some(Console {
        enabled: enabled?,
        listen: listen?,
        identity: identity?,
        connections_max: usize::try_from(connections_max?).ok()?,
        roles: roles?.unwrap_or_else(|| vec![own]),
    })
}

/// Where processes tell their stages; `None` within where nobody is named.
fn roles(resolver: &mut Resolver<'_>) -> Option<Option<Vec<SocketAddr>>> {
    if !resolver.is_set("console.roles") {
        return Some(None);
    }
    let named = resolver.list("console.roles")?;
    let addresses: Option<Vec<SocketAddr>> = named.iter().map(|name| name.parse().ok()).collect();
    match addresses {
        Some(addresses) if (1..=ROLES_MAX).contains(&addresses.len()) => Some(Some(addresses)),
        _ => {
            resolver.fault("console.roles", &named.join(", "));
            None
        }
    }
}

/// Whether `run` has one.
fn enabled(resolver: &mut Resolver<'_>) -> Option<bool> {
    if resolver.is_set("console.enabled") {
        return resolver.choice("console.enabled", &[("true", true), ("false", false)]);
    }
    let mut keys = KEYS.iter().map(|key| key.path);
    Some(keys.any(|path| path.starts_with("console.") && resolver.is_set(path)))
}

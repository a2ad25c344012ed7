//! `[verify]`: how much of the sink is verified in a minute.

use super::keys::KEYS;
use super::resolve::Resolver;
use super::settings::Verify;

/// Resolves it. `None` only together with faults.
pub(super) fn verify(resolver: &mut Resolver<'_>) -> Option<Verify> {
    let enabled = enabled(resolver);
    let chunks_per_minute = resolver.number("verify.chunks_per_minute", 1, 600);
    let chunk_rows = resolver.number("verify.chunk_rows", 10, 100_000);
    Some(Verify {
        enabled: enabled?,
        chunks_per_minute: u32::try_from(chunks_per_minute?).ok()?,
        chunk_rows: chunk_rows?,
    })
}

/// Whether `run` verifies.
fn enabled(resolver: &mut Resolver<'_>) -> Option<bool> {
    if resolver.is_set("verify.enabled") {
        return resolver.choice("verify.enabled", &[("true", true), ("false", false)]);
    }
    let mut keys = KEYS.iter().map(|key| key.path);
    Some(keys.any(|path| path.starts_with("verify.") && resolver.is_set(path)))
}

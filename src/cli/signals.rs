//! SIGTERM and SIGINT: the first asks for a drain, the second ends the process.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` at the first signal. At the second the default action is what the user wants:
/// the drain is given up.
pub(super) async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::warn!("signals cannot be caught: the process ends without a drain");
        return;
    };
    next(&mut terminate, &mut interrupt).await;
    tracing::info!("stopping: a second signal ends at once");
    shutdown.cancel();
    next(&mut terminate, &mut interrupt).await;
    tracing::warn!("ended before everything was drained");
    std::process::abort();
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

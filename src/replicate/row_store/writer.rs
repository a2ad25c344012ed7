//! The thread that writes the file: one write at a time, durable when it is told of.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Error;
use super::changes::Changes;
use super::file::{Reader, Recorded, StoreFile};
use super::overlay::Overlay;
use crate::step::Steps;

/// The store's side of the thread.
pub(super) struct Writer {
    orders: Option<SyncSender<Changes>>,
    outcomes: UnboundedReceiver<Result<Reader, Error>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(file: StoreFile, steps: Steps) -> Result<Writer, Error> {
        let (orders, inbox) = sync_channel(1);
        let (results, outcomes) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("row-store".to_owned())
            .spawn(move || work(&file, &steps, &inbox, &results))
            .map_err(Error::Thread)?;
        Ok(Writer {
            orders: Some(orders),
            outcomes,
            thread: Some(thread),
        })
    }

    /// Writes the changes below an entry, and where the file stands then. At most one write is under way.
    pub(super) fn write(&self, overlay: &Overlay, until: u64, recorded: &Recorded) {
        let mut changes = Changes::default();
        for (key, value) in overlay.until(until) {
            changes.push(key, value);
        }
        changes.push(Recorded::key(), Some(&recorded.to_bytes()));
        // A send fails only after the thread has ended, and then its outcome says why.
        if let Some(orders) = &self.orders {
            let _ = orders.send(changes);
        }
    }

    /// The map as of the write that is under way. Cancel-safe.
    pub(super) async fn outcome(&mut self) -> Result<Reader, Error> {
        self.outcomes
            .recv()
            .await
            .unwrap_or(Err(Error::WriterEnded))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook; there is nothing left to undo.
            let _ = thread.join();
        }
    }
}

fn work(
    file: &StoreFile,
    steps: &Steps,
    orders: &Receiver<Changes>,
    results: &UnboundedSender<Result<Reader, Error>>,
) {
    while let Ok(changes) = orders.recv() {
        steps.at("rows.before-write");
        let written = file.write(changes.sorted().into_iter());
        steps.at("rows.written");
        let failed = written.is_err();
        if results.send(written.and_then(|()| file.read())).is_err() || failed {
            return;
        }
    }
}

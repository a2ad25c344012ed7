//! Named steps, for crash tests: where a process stands, readable after it was killed, and a way to
//! make it die exactly there.
//!
//! Off unless the configuration names a file or a step (`[debug]`); then each step is one `pwrite` into
//! the page cache, which outlives the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the step file that one role's current step occupies, padded with spaces.
pub const STEP_BYTES: usize = 64;

/// What the configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepSettings {
    /// File that holds each role's current step.
    pub file: Option<PathBuf>,
    /// Step to abort at, and at which arrival there, counted from 1.
    pub crash_at: Option<(String, u64)>,
}

/// Which slot of the step file a role writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The replicator.
    Replicate = 0,
    /// The retail consumer.
    Aggregate = 1,
    /// The dispatcher of promotion codes.
    Dispatch = 2,
    /// The consumer of application events.
    Events = 3,
    /// The gateway.
    Gateway = 4,
    /// The webhook's deliverer.
    Webhook = 5,
}

/// Where one role stands; clones share the arrival count.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    active: Option<Arc<Active>>,
}

#[derive(Debug)]
struct Active {
    file: Option<File>,
    offset: u64,
    crash_at: Option<(String, u64)>,
    arrivals: AtomicU64,
}

impl Steps {
    /// Opens the step file. Nothing is done, ever, when the settings ask for nothing.
    pub fn open(settings: &StepSettings, role: Role) -> io::Result<Steps> {
        if *settings == StepSettings::default() {
            return Ok(Steps::default());
        }
        let open = |path: &PathBuf| {
            File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let active = Active {
            file: settings.file.as_ref().map(open).transpose()?,
            offset: role as u64 * STEP_BYTES as u64,
            crash_at: settings.crash_at.clone(),
            arrivals: AtomicU64::new(0),
        };
        Ok(Steps {
            active: Some(Arc::new(active)),
        })
    }

    /// The role has arrived at `step`. Dies here if that was asked for.
    pub fn at(&self, step: &'static str) {
        if let Some(active) = &self.active {
            active.arrive(step);
        }
    }
}

impl Active {
    fn arrive(&self, step: &'static str) {
        if let Some(file) = &self.file {
            let text = format!("{step:<STEP_BYTES$}");
            // A full disk must not change what the test observes: the step is then only not recorded.
            let _ = file.write_all_at(text.as_bytes(), self.offset);
        }
        if let Some((name, arrival)) = &self.crash_at
            && name == step
            && self.arrivals.fetch_add(1, Ordering::Relaxed) + 1 == *arrival
        {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_writes_its_own_slot() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("steps");
        let settings = StepSettings {
            file: Some(file.clone()),
            crash_at: None,
        };
        Steps::open(&settings, Role::Aggregate)
            .unwrap()
            .at("sink.commit");
        Steps::open(&settings, Role::Replicate)
            .unwrap()
            .at("publish.begin");
        let text = std::fs::read_to_string(file).unwrap();
        let (replicate, aggregate) = text.split_at(STEP_BYTES);
        assert_eq!(
            (replicate.trim(), aggregate.trim()),
            ("publish.begin", "sink.commit")
        );
    }
}

//! What a server takes from the outside world: time, chance, files, tasks and threads.
//!
//! The same code runs in production and in simulation; these are the seams where the two differ. Everything of
//! Ochre that needs one of them receives it (mostly as an [`Env`]) and never reaches for the ambient one; clippy's
//! `disallowed-methods` enforces it. The doubles live in `tests/doubles`. The object store has its own seam,
//! `Arc<dyn ObjectStore>`.
//!
//! # Invariants
//! 1. Nothing here decides anything: no retry, no policy, no formats.
//! 2. A task is owned by a [`Tasks`]; when that is dropped or aborted, no task of it runs on.
//! 3. [`Disk`] never reports as durable what a power loss could take: a file's bytes are durable after
//!    [`DiskFile::sync`], its name after [`Disk::sync_dir`].

mod clock;
mod compute;
mod disk;
mod entropy;
pub mod planted;
mod tasks;

use std::sync::Arc;

pub use clock::{Clock, SystemClock};
pub use compute::Compute;
pub use disk::{Disk, DiskEntry, DiskFile, DiskLock, LocalDisk};
pub use entropy::{Entropy, SystemEntropy};
pub use tasks::Tasks;

/// The seams together, as most parts of the server take them.
#[derive(Clone, Debug)]
pub struct Env {
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers for identities.
    pub entropy: Arc<dyn Entropy>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Where background tasks are spawned.
    pub tasks: Tasks,
    /// Where blocking and heavy work runs.
    pub compute: Compute,
}

impl Env {
    /// The real ones. Must be called within a tokio runtime.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
            disk: Arc::new(LocalDisk),
            tasks: Tasks::new(),
            compute: Compute::pool(),
        }
    }
}

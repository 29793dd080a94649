//! Chance that a seed decides, and an environment that takes everything from the doubles.

use std::sync::Arc;
use std::time::Duration;

use ochre_env::{Clock, Compute, Disk, Entropy, Env, Tasks};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Random numbers from a seed. Clones draw from one sequence.
#[derive(Debug, Clone)]
pub struct SimEntropy(Arc<Mutex<SmallRng>>);

impl SimEntropy {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))))
    }

    /// A number from 0 up to `most`, both included.
    pub fn up_to(&self, most: u64) -> u64 {
        self.0.lock().random_range(0..=most)
    }
}

impl Entropy for SimEntropy {
    fn next_u64(&self) -> u64 {
        self.0.lock().random()
    }
}

/// The seams of one process: its own tasks, and heavy work that runs on the one thread after a random pause of up to
/// `slowest`.
pub fn env(clock: Arc<dyn Clock>, entropy: &SimEntropy, disk: Arc<dyn Disk>, slowest: Duration) -> Env {
    let (sleeper, chance) = (clock.clone(), entropy.clone());
    let most = u64::try_from(slowest.as_micros()).unwrap_or(u64::MAX);
    let compute = Compute::inline_after(move || sleeper.sleep(Duration::from_micros(chance.up_to(most))));
    Env { clock, entropy: Arc::new(entropy.clone()), disk, tasks: Tasks::new(), compute }
}

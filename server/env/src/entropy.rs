//! Chance.

use std::fmt::Debug;

/// Random numbers for identities (incarnations, log ids, nonces) and jitter.
pub trait Entropy: Debug + Send + Sync {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// The operating system's random numbers.
#[derive(Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

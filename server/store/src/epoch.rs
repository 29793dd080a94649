//! Who owns a node's prefix: epochs, claimed by creating the next number, and the fence that knows when ours is over.
//!
//! ```text
//!   claim: list epoch/ -> create epoch/<n+1> -> Fence { held }
//!                                                 |  epoch/<n+2> appears: read by `watch` every few seconds,
//!                                                 v  by `ensure_held` after a pause, or met in a catalog
//!                                               fenced { by } for ever
//! ```
//!
//! # Invariants
//! 1. Epochs are numbered without gaps and their records are never removed or changed: the prefix is still ours if
//!    and only if the next number is free.
//! 2. A fence that has fallen stays so.
//! 3. A store that can't be reached fences nobody.

mod claim;
mod fence;

use ochre_types::{Epoch, Incarnation};

pub use claim::{ClaimError, claim, current};
pub use fence::{Fence, Fenced};

/// What an epoch's object says of its claimer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRecord {
    /// The number.
    pub epoch: Epoch,
    /// The identity of the start that made the claim.
    pub incarnation: Incarnation,
    /// Drawn for this claim only.
    pub nonce: u64,
    /// When, by the claimer's wall clock: milliseconds since 1970-01-01 UTC.
    pub claimed_at_millis: u64,
    /// The claimer's software version.
    pub version: String,
}

#[cfg(test)]
mod tests;

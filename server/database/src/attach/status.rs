//! What an attached node tells about itself.

use std::sync::atomic::Ordering;

use ochre_types::{DatabaseName, Epoch, Incarnation, NodeId};

use super::Attached;
use crate::node::Health;

/// An attached node at one moment.
#[derive(Debug, Clone)]
pub struct AttachedStatus {
    /// The node.
    pub node_id: NodeId,
    /// Who owns it: the epoch and the incarnation of its highest claim.
    pub owner: Option<(Epoch, Incarnation)>,
    /// The revision of the node's catalog that was last seen.
    pub revision: u64,
    /// Seconds since everything was last looked at.
    pub age_seconds: u64,
    /// How often it was looked at, failures included.
    pub refreshes: u64,
    /// Whether it can be looked at.
    pub health: Health,
    /// Why the last look failed.
    pub failing: Option<String>,
    /// Its databases by name.
    pub databases: Vec<AttachedDatabaseStatus>,
}

/// A database of an attached node at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedDatabaseStatus {
    /// Its name.
    pub name: DatabaseName,
    /// The revision that is served.
    pub revision: u64,
    /// Seconds since its owner committed that revision, by the two machines' wall clocks.
    pub age_seconds: u64,
    /// Tables.
    pub tables: u64,
    /// Chunks.
    pub chunks: u64,
    /// Rows in them, counting versions of one key apart.
    pub rows: u64,
    /// Bytes of their objects.
    pub bytes: u64,
    /// Why no newer revision can be read.
    pub unreadable: Option<String>,
}

impl Attached {
    /// What is attached, at this moment.
    pub fn status(&self) -> AttachedStatus {
        let view = self.view();
        let now = self.env.clock.wall_millis();
        let databases = view.databases.values().map(|database| AttachedDatabaseStatus {
            name: database.name.clone(),
            revision: database.revision.0,
            age_seconds: now.saturating_sub(database.committed_at_millis) / 1_000,
            tables: database.tables(),
            chunks: database.state.chunks().count() as u64,
            rows: database.state.chunks().map(|chunk| chunk.rows).sum(),
            bytes: database.state.chunks().map(|chunk| chunk.size_bytes).sum(),
            unreadable: view.unreadable.get(&database.name).cloned(),
        });
        AttachedStatus {
            node_id: self.config.node_id.clone(),
            owner: view.owner.as_ref().map(|owner| (owner.epoch, owner.incarnation)),
            revision: view.node.revision.0,
            age_seconds: self.env.clock.monotonic().saturating_sub(view.looked).as_secs(),
            refreshes: self.refreshes.load(Ordering::Relaxed),
            health: self.health(),
            failing: view.failing.clone(),
            databases: databases.collect(),
        }
    }
}

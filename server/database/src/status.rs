//! What a node tells about itself: for `ochre status` and for metrics.

use std::collections::BTreeMap;

use ochre_log::LogStatus;
use ochre_query::QueryUse;
use ochre_types::{DatabaseName, Epoch, Incarnation, NodeId, Sequence};

use crate::budget::ShareStatus;
use crate::damage::DamageKind;
use crate::database::WriteTotals;
use crate::node::{Health, Node};

/// A node at one moment.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// The node's label.
    pub node_id: NodeId,
    /// The claim under which it holds its prefix.
    pub epoch: Epoch,
    /// Its identity.
    pub incarnation: Incarnation,
    /// Seconds since it was opened.
    pub uptime_seconds: u64,
    /// Whether it can do its work.
    pub health: Health,
    /// Bytes that chunks hold in memory.
    pub buffer_bytes: u64,
    /// The most bytes that they ever held.
    pub buffer_peak_bytes: u64,
    /// Bytes that they may hold.
    pub buffer_limit_bytes: u64,
    /// The parts of the memory.
    pub memory: Vec<ShareStatus>,
    /// What queries hold.
    pub queries: QueryUse,
    /// The log.
    pub log: LogStatus,
    /// The highest fence that was ever presented with rules; 0 before the first.
    pub fence: u64,
    /// Things that are damaged, set aside among them.
    pub damaged: u64,
    /// How often damage was found since the start, by kind.
    pub damage_found: BTreeMap<DamageKind, u64>,
    /// Its databases by name.
    pub databases: Vec<DatabaseStatus>,
}

/// A database at one moment.
#[derive(Debug, Clone)]
pub struct DatabaseStatus {
    /// Its name.
    pub name: DatabaseName,
    /// The revision of its catalog.
    pub revision: u64,
    /// Tables.
    pub tables: u64,
    /// Chunks in committed Parquet.
    pub persisted_chunks: u64,
    /// Rows in them, counting versions of one key apart.
    pub persisted_rows: u64,
    /// Their bytes in the object store.
    pub persisted_bytes: u64,
    /// Chunks in memory only.
    pub buffered_chunks: u64,
    /// Rows in them.
    pub buffered_rows: u64,
    /// Every frame at or below this is in committed Parquet.
    pub low_water: Sequence,
    /// Totals since the start.
    pub writes: WriteTotals,
    /// The generation of the rules in force; 0 if no document was ever applied.
    pub rules_generation: u64,
    /// Why the partition rules should be looked at: rows lie in so many partitions that each has hardly any.
    pub partition_alarm: Option<String>,
}

impl Node {
    /// The node at this moment.
    pub fn status(&self) -> NodeStatus {
        let memory = &self.shared.memory;
        NodeStatus {
            node_id: self.config.node_id.clone(),
            epoch: self.epoch,
            incarnation: self.shared.incarnation,
            uptime_seconds: self.shared.env.clock.monotonic().saturating_sub(self.started).as_secs(),
            health: self.health(),
            buffer_bytes: memory.held(),
            buffer_peak_bytes: memory.peak(),
            buffer_limit_bytes: memory.limit(),
            memory: self.memory_shares(),
            queries: self.engine.usage(),
            log: self.shared.log.status(),
            fence: self.fence(),
            damaged: self.damage().len() as u64,
            damage_found: self.damage_totals(),
            databases: self.served_now().iter().map(|database| database.status()).collect(),
        }
    }
}

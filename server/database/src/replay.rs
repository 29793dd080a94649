//! Brings a database's buffer to where the log is.

use std::sync::Arc;

use ochre_batch::{codec, tombstone};
use ochre_env::Env;
use ochre_env::planted::{self, Planted};
use ochre_log::{Frame, FrameHeader, FrameKind, Log, LogError, ReadItem};
use ochre_store::buffer::{Buffer, Placed};
use ochre_store::lifecycle::{Demand, Lifecycle};
use ochre_store::memory::{BufferMemory, Pressure};
use ochre_types::rules::Rules;
use ochre_types::{DatabaseName, Sequence};

use crate::accept::split_batch;
use crate::error::OpenError;
use crate::schema::Schema;

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Frames read.
    pub frames: u64,
    /// Rows applied, or passed over because a chunk has them.
    pub rows: u64,
    /// Stretches of the log that are damaged.
    pub damaged: u64,
}

/// Replays frames after `after` into a buffer.
pub struct Replay<'a> {
    /// The database.
    pub database: &'a DatabaseName,
    /// The log.
    pub log: &'a Log,
    /// Where rows go.
    pub buffer: &'a Buffer,
    /// What learns of their columns.
    pub schema: &'a Schema,
    /// What makes room meanwhile.
    pub lifecycle: &'a Lifecycle,
    /// The budget.
    pub memory: &'a BufferMemory,
    /// How rows are partitioned: by the rules in force now, whatever was in force when they came.
    pub rules: &'a Arc<Rules>,
    /// Seams.
    pub env: &'a Env,
}

impl Replay<'_> {
    /// Streams the log; when memory gets short, persists before it goes on.
    pub async fn run(&self, after: Sequence) -> Result<Replayed, OpenError> {
        let after = if planted::is(Planted::ReplayOffByOne) { after.next() } else { after };
        let mut reader = self.log.read(self.database, after);
        let mut replayed = Replayed::default();
        loop {
            match reader.next().await {
                Ok(None) => return Ok(replayed),
                Ok(Some(ReadItem::Frame(frame))) => replayed.rows += self.apply(frame).await?,
                Ok(Some(ReadItem::Damage(damage))) => {
                    tracing::error!(database = %self.database, ?damage, "a part of the log is damaged: its rows are missing until they are written again or fetched from a peer");
                    replayed.damaged += 1;
                }
                Ok(Some(ReadItem::Gap { first, last })) => {
                    tracing::warn!(database = %self.database, %first, %last, "frames of the log were lost and moved aside by a repair: their rows are missing until they are written again or fetched from a peer");
                    replayed.damaged += 1;
                }
                // Without a mark for this log, as when another server had the prefix meanwhile, the replay began at its
                // very beginning; what the log has dropped since was in chunks.
                Err(LogError::Gone { oldest, .. }) if after == Sequence::ZERO => {
                    tracing::info!(database = %self.database, %oldest, "the log begins later: what was before was persisted");
                    reader = self.log.read(self.database, Sequence(oldest.0.saturating_sub(1)));
                }
                Err(LogError::Gone { oldest, .. }) => {
                    tracing::error!(database = %self.database, %after, %oldest, "the log begins after the catalog's low-water mark: frames between are missing");
                    replayed.damaged += 1;
                    reader = self.log.read(self.database, Sequence(oldest.0.saturating_sub(1)));
                }
                Err(error) => return Err(error.into()),
            }
            replayed.frames += 1;
        }
    }

    async fn apply(&self, frame: Frame) -> Result<u64, OpenError> {
        let header = &frame.header;
        let failed = |reason: String| OpenError::Unusable {
            database: self.database.clone(),
            reason: format!("its log can't be replayed: {reason}"),
        };
        match header.kind {
            FrameKind::Rows => {}
            FrameKind::Tombstone => {
                let tombstone = tombstone::decode(&frame.payload);
                let tombstone = tombstone.map_err(|error| failed(format!("frame {}: {error}", header.sequence)))?;
                self.buffer.apply_tombstone(placed(header), &Arc::new(tombstone.clone()));
                self.schema.erase(&tombstone, self.buffer);
                return Ok(0);
            }
            FrameKind::Start => {
                self.buffer.skip_to(header.sequence);
                return Ok(0);
            }
        }
        if header.min_reader > codec::FORMAT {
            return Err(failed(format!(
                "frame {} needs a reader of batch format {}, and this release reads up to {}: start a newer release",
                header.sequence,
                header.min_reader,
                codec::FORMAT
            )));
        }
        let (payload, rules) = (frame.payload.clone(), self.rules.clone());
        let decoded = self
            .env
            .compute
            .run(move || codec::decode(payload).map(|batch| (split_batch(&batch, &rules.partition), batch)))
            .await;
        let (parts, batch) = decoded.map_err(|error| failed(format!("frame {}: {error}", header.sequence)))?;
        self.schema.merge(&batch);
        let now = self.env.clock.monotonic();
        self.buffer
            .apply(placed(header), &parts, now)
            .map_err(|error| failed(format!("frame {}: {error}", header.sequence)))?;
        if self.memory.pressure() >= Pressure::Soft {
            self.lifecycle.step(Demand::Due).await.map_err(|error| failed(error.to_string()))?;
        }
        Ok(batch.row_count() as u64)
    }
}

fn placed(header: &FrameHeader) -> Placed {
    Placed {
        sequence: header.sequence,
        stamp: header.stamp,
        origin: header.origin,
        origin_sequence: header.origin_sequence,
    }
}

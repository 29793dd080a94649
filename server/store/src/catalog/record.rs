//! Whole objects: revisions and epoch records, framed, with what the writer says of itself.

use bytes::Bytes;
use ochre_types::{Epoch, Incarnation};
use prost::Message;

use super::frame::{self, FrameError, Framed, Kind};
use super::state::State;
use super::wire::{Content, WireError, pb};
use super::{CatalogId, Revision};
use crate::epoch::EpochRecord;

/// What a revision says of itself besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) revision: Revision,
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: Incarnation,
    pub(crate) nonce: u64,
    pub(crate) previous_nonce: u64,
    pub(crate) catalog_id: CatalogId,
    pub(crate) newest_checkpoint: Revision,
    pub(crate) committed_at_millis: u64,
}

/// A revision as read and understood.
#[derive(Debug)]
pub(crate) struct Decoded<S: State> {
    pub(crate) envelope: Envelope,
    pub(crate) change: Change<S>,
    /// Bytes of the body.
    pub(crate) bytes: u64,
    /// What is wrong with the other copy of it in its object.
    pub(crate) damaged_copy: Option<String>,
}

/// What a revision does to the state.
#[derive(Debug)]
pub(crate) enum Change<S: State> {
    Delta(Vec<S::Edit>),
    Checkpoint(S),
}

/// Why an object is not the record that its name promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("its frame says that it is {found:?}, which does not belong here")]
    Kind { found: Kind },
    #[error("it says that it is number {found}")]
    Number { found: u64 },
}

impl RecordError {
    /// Whether a sound header says that this was a checkpoint.
    pub(crate) fn was_checkpoint(&self) -> bool {
        matches!(self, Self::Frame(error) if error.kind() == Some(Kind::Checkpoint))
    }
}

/// The object of a revision.
pub(crate) fn write(envelope: &Envelope, content: Content) -> Bytes {
    let kind = match content {
        Content::DatabaseDelta(_) | Content::NodeDelta(_) => Kind::Delta,
        Content::DatabaseCheckpoint(_) | Content::NodeCheckpoint(_) => Kind::Checkpoint,
    };
    let message = pb::Revision {
        revision: envelope.revision.0,
        epoch: envelope.epoch.0,
        incarnation: envelope.incarnation.0,
        nonce: envelope.nonce,
        previous_nonce: envelope.previous_nonce,
        catalog_id: envelope.catalog_id.0,
        newest_checkpoint: envelope.newest_checkpoint.0,
        committed_at_millis: envelope.committed_at_millis,
        content: Some(content),
    };
    frame::write(kind, &message)
}

impl<S: State> Decoded<S> {
    /// Reads the object named by `revision`.
    pub(crate) fn read(revision: Revision, object: &[u8]) -> Result<Self, RecordError> {
        let Framed { kind, body, damaged_copy } = frame::read(object)?;
        let damaged_copy = damaged_copy.map(|error| error.to_string());
        Ok(Self { damaged_copy, ..Self::read_body(revision, kind, body)? })
    }

    /// Reads the verified body of an object.
    pub(crate) fn read_body(revision: Revision, kind: Kind, body: &[u8]) -> Result<Self, RecordError> {
        let message = pb::Revision::decode(body).map_err(|error| WireError::Protobuf(error.to_string()))?;
        if message.revision != revision.0 {
            return Err(RecordError::Number { found: message.revision });
        }
        let envelope = Envelope {
            revision,
            epoch: Epoch(message.epoch),
            incarnation: Incarnation(message.incarnation),
            nonce: message.nonce,
            previous_nonce: message.previous_nonce,
            catalog_id: CatalogId(message.catalog_id),
            newest_checkpoint: Revision(message.newest_checkpoint),
            committed_at_millis: message.committed_at_millis,
        };
        let content = message.content.ok_or_else(|| WireError::Missing { path: "content".to_owned() })?;
        let change = match kind {
            Kind::Delta => Change::Delta(S::read_edits(content)?),
            Kind::Checkpoint => Change::Checkpoint(S::read(envelope.catalog_id, content)?),
            Kind::Epoch => return Err(RecordError::Kind { found: kind }),
        };
        Ok(Self { envelope, change, bytes: body.len() as u64, damaged_copy: None })
    }
}

/// The object of an epoch.
pub(crate) fn write_epoch(record: &EpochRecord) -> Bytes {
    let message = pb::EpochRecord {
        epoch: record.epoch.0,
        incarnation: record.incarnation.0,
        nonce: record.nonce,
        claimed_at_millis: record.claimed_at_millis,
        version: record.version.clone(),
    };
    frame::write(Kind::Epoch, &message)
}

/// The inverse of [`write_epoch`].
pub(crate) fn read_epoch(object: &[u8]) -> Result<EpochRecord, RecordError> {
    let Framed { kind, body, .. } = frame::read(object)?;
    if kind != Kind::Epoch {
        return Err(RecordError::Kind { found: kind });
    }
    let message = pb::EpochRecord::decode(body).map_err(|error| WireError::Protobuf(error.to_string()))?;
    Ok(EpochRecord {
        epoch: Epoch(message.epoch),
        incarnation: Incarnation(message.incarnation),
        nonce: message.nonce,
        claimed_at_millis: message.claimed_at_millis,
        version: message.version,
    })
}

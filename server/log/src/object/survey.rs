//! Reads the segments of closed epochs, one at a time, and names what is wrong with them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ochre_types::LogId;

use super::folder::{Folder, ReadFailure};
use super::header::{self, Header, HeaderError};
use super::{close, name, ordinal};
use crate::damage::DamageCause;
use crate::error::LogError;
use crate::format::{SegmentHeader, SegmentHeaderError};
use crate::recover::{Around, Listed, Recovery, Survey};

/// What lies behind a seal, and was never acknowledged, or before what is needed: not served, not missed.
pub(crate) type Leftovers = Vec<u64>;

/// Reads what `epochs` hold; `None` if a segment went away meanwhile, as when the process that was closed out goes on
/// removing what is persisted. An object that is missing or can't be read counts as `unreadable_as` bytes.
pub(crate) async fn read(
    folder: &Arc<Folder>,
    log_id: LogId,
    (epochs, oldest): (&[u64], u64),
    unreadable_as: u64,
) -> Result<Option<(Survey, Leftovers)>, LogError> {
    let mut walk = Walk::new(folder.clone(), log_id, oldest, unreadable_as);
    for epoch in epochs {
        if !walk.epoch(*epoch, true).await? {
            return Ok(None);
        }
    }
    Ok(Some(walk.finish()))
}

/// Looks at a log without closing anything: what a process that is still writing has acknowledged, and maybe a little
/// more. `None` as for [`read`].
pub(crate) async fn look(folder: &Arc<Folder>, unreadable_as: u64) -> Result<Option<Survey>, LogError> {
    let look = close::look(folder, None).await?;
    let Some(log_id) = look.log_id else { return Ok(Some(Survey::default())) };
    let mut walk = Walk::new(folder.clone(), log_id, look.oldest, unreadable_as);
    for epoch in look.folders.iter().filter(|epoch| **epoch >= super::split(look.oldest).0) {
        if !walk.epoch(*epoch, false).await? {
            return Ok(None);
        }
    }
    Ok(Some(walk.finish().0))
}

struct Walk {
    folder: Arc<Folder>,
    log_id: LogId,
    oldest: u64,
    unreadable_as: u64,
    recovery: Recovery,
    leftovers: Leftovers,
}

impl Walk {
    fn new(folder: Arc<Folder>, log_id: LogId, oldest: u64, unreadable_as: u64) -> Self {
        let recovery = Recovery::new(PathBuf::new(), name, Some(log_id));
        Self { folder, log_id, oldest, unreadable_as, recovery, leftovers: Vec::new() }
    }

    fn finish(self) -> (Survey, Leftovers) {
        let mut survey = self.recovery.finish();
        survey.log_id = Some(self.log_id);
        (survey, self.leftovers)
    }

    /// Reads an epoch's segments up to its seal or, if it is open, up to where it ends; false to begin again.
    async fn epoch(&mut self, epoch: u64, is_closed: bool) -> Result<bool, LogError> {
        let numbers = self.folder.segments(epoch).await?;
        let end = if is_closed { u64::MAX } else { close::end(&self.folder, epoch, &numbers).await? };
        let mut before = None;
        let mut is_sealed = false;
        for (number, length) in numbers {
            let ordinal = ordinal(epoch, number);
            // What is before the oldest was on its way to be removed, or came back as an answer to a put that took long.
            if is_sealed || number > end || ordinal < self.oldest {
                self.leftovers.push(ordinal);
                continue;
            }
            let bytes = match self.folder.try_read(ordinal).await {
                Ok(bytes) => Some(bytes),
                Err(ReadFailure::Missing) => return Ok(false),
                Err(ReadFailure::Failed(error)) if !self.folder.is_in_reach().await => {
                    return Err(self.folder.failed("reading a segment in", &error.to_string()));
                }
                Err(ReadFailure::Failed(error)) => {
                    tracing::error!(segment = name(ordinal), %error, "a segment of the log can't be read, though others can");
                    None
                }
            };
            let missing = before.map(|before| before + 1).filter(|missing| *missing < number);
            let missing = missing.map(|missing| super::ordinal(epoch, missing));
            is_sealed = self.segment(ordinal, missing, length, bytes)?;
            before = Some(number);
        }
        Ok(true)
    }

    /// Takes in one segment; whether it ends its epoch.
    fn segment(
        &mut self,
        ordinal: u64,
        missing: Option<u64>,
        length: u64,
        bytes: Option<Bytes>,
    ) -> Result<bool, LogError> {
        if missing.is_some() {
            self.recovery.unknown_bytes += self.unreadable_as;
        }
        let Some(bytes) = bytes else {
            if let Some(missing) = missing {
                self.recovery.damaged(missing, 0, 0, DamageCause::MissingSegment);
            }
            self.recovery.unread(ordinal, length, self.unreadable_as);
            return Ok(false);
        };
        let header = match Header::decode(&bytes) {
            Err(HeaderError::Version(version)) => {
                let file = self.folder.path(ordinal).to_string().into();
                return Err(LogError::Version { file, version, supported: header::VERSION });
            }
            header => header.ok(),
        };
        let is_seal = header.is_some_and(|header| header.is_seal && header.ordinal == ordinal);
        // The seal of a take-over holds nothing.
        if header.is_some_and(|header| is_seal && header.oldest == 0 && header.log_id == self.log_id) {
            if let Some(missing) = missing {
                self.recovery.damaged(missing, 0, 0, DamageCause::MissingSegment);
            }
            return Ok(true);
        }
        let expected = header.filter(|header| header.ordinal == ordinal).map(|header| header.length);
        let around = Around { missing, is_first: false, expected, may_be_torn: false };
        self.recovery.segment(&listed(ordinal, &bytes, header), around, || Ok(bytes.clone()))?;
        // Without a readable header, the seal frame tells. A seal is never removed: it is not among the segments.
        let may_be_seal = header.is_none() && self.recovery.survey.sealed;
        if may_be_seal {
            self.recovery.survey.segments.pop_if(|segment| segment.frames == 0);
        }
        Ok(is_seal || may_be_seal)
    }
}

fn listed(ordinal: u64, bytes: &Bytes, header: Option<Header>) -> Listed {
    let header = header.ok_or(SegmentHeaderError::Unreadable).map(|header| SegmentHeader {
        log_id: header.log_id,
        incarnation: header.incarnation,
        number: header.ordinal,
        previous_length: 0,
    });
    Listed { number: ordinal, length: bytes.len() as u64, header }
}

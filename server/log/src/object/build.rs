//! Makes the bytes of segments.

use std::collections::BTreeMap;

use bytes::Bytes;
use ochre_types::{DatabaseName, Incarnation, LogId, Sequence};

use super::header::{self, Header};
use super::ordinal;
use crate::cursors::{self, Slots};
use crate::format::{self, Place};
use crate::heads::Heads;
use crate::recover::Survey;
use crate::shared::{Queued, SegmentMeta, Written};

/// A segment that is ready to be put.
#[derive(Debug)]
pub(crate) struct Built {
    pub meta: SegmentMeta,
    pub bytes: Bytes,
    pub frames: Vec<Written>,
}

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Builder {
    log_id: LogId,
    incarnation: Incarnation,
    epoch: u64,
    next_number: u64,
    heads: Heads,
    /// Positions that databases were raised to: frames above them name them as their predecessors.
    pub raised: BTreeMap<DatabaseName, Sequence>,
    /// The last segment of this epoch that is known to be there with all before it.
    pub acknowledged: u64,
    /// The oldest segment that is kept.
    pub oldest: u64,
}

impl Builder {
    pub fn new(log_id: LogId, incarnation: Incarnation, epoch: u64, survey: &Survey) -> Self {
        let oldest = survey.segments.first().map_or(ordinal(epoch, 1), |segment| segment.meta.number);
        Self {
            log_id,
            incarnation,
            epoch,
            next_number: 1,
            heads: survey.heads.clone(),
            raised: BTreeMap::new(),
            acknowledged: 0,
            oldest,
        }
    }

    /// Whether the epoch has no more numbers.
    pub fn is_used_up(&self) -> bool {
        self.next_number >= 1 << super::NUMBER_BITS
    }

    /// The next segment: heads, cursors, and a group's frames.
    pub fn build(&mut self, group: Vec<Queued>, slots: &Slots, seal: bool) -> Built {
        let number = ordinal(self.epoch, self.next_number);
        self.next_number += 1;
        let mut out = vec![0; header::LENGTH];
        let place = |out: &Vec<u8>| Place { log_id: self.log_id, segment: number, offset: out.len() as u64 };
        let at = place(&out);
        format::encode_mark(&mut out, &self.heads.encode(), 0, at);
        let at = place(&out);
        format::encode_cursors(&mut out, &cursors::encode(self.log_id, slots), at);
        let mut meta = SegmentMeta { number, ..SegmentMeta::default() };
        let mut frames = Vec::with_capacity(group.len());
        for queued in group {
            let at = place(&out);
            let written = self.heads.databases.get(&queued.database).map(|head| head.last).unwrap_or_default();
            let raised = self.raised.get(&queued.database).filter(|raised| **raised < queued.sequence);
            let previous = raised.map_or(written, |raised| written.max(*raised));
            let frame = queued.record.into_frame(queued.database, queued.sequence, previous);
            format::encode_record(&mut out, &frame, 0, at);
            self.heads.see(&frame.header, Some(self.incarnation));
            meta.see(&frame.header.database, queued.sequence, at.offset);
            frames.push(Written {
                database: frame.header.database,
                sequence: queued.sequence,
                offset: at.offset,
                bytes: out.len() as u64 - at.offset,
                stamp: frame.header.stamp.hlc,
            });
        }
        if seal {
            let at = place(&out);
            format::encode_seal(&mut out, 0, at);
        }
        meta.length = out.len() as u64;
        let header = Header {
            is_seal: seal,
            log_id: self.log_id,
            incarnation: self.incarnation,
            ordinal: number,
            length: meta.length,
            acknowledged: self.acknowledged,
            oldest: self.oldest,
        };
        header.put(&mut out);
        Built { meta, bytes: out.into(), frames }
    }
}

/// The seal that closes another process's epoch.
pub(crate) fn seal(log_id: LogId, incarnation: Incarnation, number: u64) -> Bytes {
    let mut out = vec![0; header::LENGTH];
    format::encode_seal(&mut out, 0, Place { log_id, segment: number, offset: header::LENGTH as u64 });
    let length = out.len() as u64;
    Header { is_seal: true, log_id, incarnation, ordinal: number, length, acknowledged: 0, oldest: 0 }.put(&mut out);
    out.into()
}

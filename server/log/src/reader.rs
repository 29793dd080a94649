//! Readers: the frames of one database in rising order, never past what is synced.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use ochre_types::{DatabaseName, Sequence};

use crate::cursors::Cursors;
use crate::damage::{Damage, DamageCause};
use crate::error::LogError;
use crate::format::{Entry, SEGMENT_HEADER};
use crate::frame::Frame;
use crate::memory::Memory;
use crate::scan::{Found, Want};
use crate::segments::{SegmentScanner, Segments};
use crate::shared::Shared;

/// Bytes of payload that a reader takes from the disk ahead of its caller, unless a frame is longer.
const AHEAD: u64 = 1 << 20;
/// Bytes of a segment that a reader passes over before it looks anew at what is synced.
const STRIDE: u64 = 8 << 20;

/// What a reader comes upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadItem {
    /// A whole frame.
    Frame(Frame),
    /// Frames of this database that are lost; those behind them follow.
    Damage(Damage),
    /// Frames of this database that are known to be missing: dropped because the reader lagged beyond its queue limit,
    /// or lost, and moved aside by a repair. Those behind them follow.
    Gap {
        /// The first missing sequence.
        first: Sequence,
        /// The last.
        last: Sequence,
    },
}

pub(crate) enum Origin {
    Segments { shared: Arc<Shared>, segments: Segments },
    Memory(Arc<Memory>),
}

/// Reads one database. Dropping it at any time does no harm.
pub struct LogReader {
    origin: Origin,
    walk: Walk,
    ready: VecDeque<ReadItem>,
    scanner: Option<(u64, SegmentScanner)>,
    /// The cursor that this reads for.
    cursor: Option<(Arc<Cursors>, String)>,
}

/// How far a reader has come.
#[derive(Debug, Clone)]
struct Walk {
    database: DatabaseName,
    last: Sequence,
    /// The last unreadable bytes passed: file, offset, length.
    bad: Option<(String, u64, u64)>,
    /// Whether the log has frames that stand for lost ones: what is missing without bad bytes is told as a gap.
    repaired: bool,
}

enum Plan {
    /// Go on in this segment, which is synced up to `length` and has frames up to `last`.
    Segment { number: u64, length: u64, start: u64, last: Sequence },
    /// No segment has more; the database is synced up to `synced`.
    End { synced: Sequence },
}

impl LogReader {
    pub(crate) fn new(origin: Origin, database: DatabaseName, after: Sequence) -> Self {
        let walk = Walk { database, last: after, bad: None, repaired: false };
        Self { origin, walk, ready: VecDeque::new(), scanner: None, cursor: None }
    }

    pub(crate) fn with_cursor(mut self, cursors: Arc<Cursors>, name: &str) -> Self {
        self.cursor = Some((cursors, name.to_owned()));
        self
    }

    /// The next frame, or what is lost in its place; `None` at the end of what is synced now, after which it may be
    /// called again. [`LogError::Gone`] if the position is before what is kept.
    pub async fn next(&mut self) -> Result<Option<ReadItem>, LogError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if let Some(gap) = self.dropped()? {
                return Ok(Some(gap));
            }
            let (shared, segments) = match &self.origin {
                Origin::Memory(memory) => {
                    let frames = memory.read(&self.walk.database, self.walk.last, AHEAD)?;
                    let Some(last) = frames.last() else { return Ok(None) };
                    self.walk.last = last.header.sequence;
                    self.ready.extend(frames.into_iter().map(ReadItem::Frame));
                    continue;
                }
                Origin::Segments { shared, segments } => (shared.clone(), segments.clone()),
            };
            match self.walk.plan(&shared)? {
                Plan::End { synced } if synced > self.walk.last => {
                    return Ok(Some(self.walk.missing(synced, String::new())));
                }
                Plan::End { .. } => return Ok(None),
                Plan::Segment { number, length, start, last } => {
                    let held = self.scanner.take().filter(|(held, _)| *held == number).map(|(_, scanner)| scanner);
                    let scanner = match held {
                        Some(scanner) => scanner,
                        None => segments.scan(shared.log_id, number, start, length).await?,
                    };
                    self.scan(&segments, scanner, number, length, last).await?;
                }
            }
        }
    }

    async fn scan(
        &mut self,
        segments: &Segments,
        mut scanner: SegmentScanner,
        number: u64,
        length: u64,
        last: Sequence,
    ) -> Result<(), LogError> {
        let (mut walk, path, file) = (self.walk.clone(), segments.path(number), segments.name(number));
        let (walk, ready, scanner) = segments
            .compute()
            .run(move || -> Result<_, LogError> {
                scanner.extend(length);
                let mut ready = VecDeque::new();
                walk.scan(&mut scanner, &file, last, &mut ready).map_err(LogError::io("reading", &path))?;
                Ok((walk, ready, scanner))
            })
            .await?;
        self.walk = walk;
        self.ready = ready;
        self.scanner = Some((number, scanner));
        Ok(())
    }

    /// What the cursor has lost before its reader came to it.
    fn dropped(&mut self) -> Result<Option<ReadItem>, LogError> {
        let Some((cursors, name)) = &self.cursor else { return Ok(None) };
        let (_, dropped) = cursors.position(name, &self.walk.database)?;
        if dropped <= self.walk.last {
            return Ok(None);
        }
        let first = self.walk.last.next();
        self.walk.last = dropped;
        self.scanner = None;
        Ok(Some(ReadItem::Gap { first, last: dropped }))
    }
}

impl Walk {
    fn plan(&mut self, shared: &Shared) -> Result<Plan, LogError> {
        let state = shared.state.lock();
        self.repaired = state.repaired;
        let position = state.positions.get(&self.database).copied().unwrap_or_default();
        if self.last < position.released {
            let oldest = position.released.next();
            return Err(LogError::Gone { database: self.database.clone(), after: self.last, oldest });
        }
        for segment in &state.segments {
            if let Some(range) = segment.databases.get(&self.database)
                && range.last > self.last
            {
                let start = if range.first > self.last { range.first_offset } else { SEGMENT_HEADER };
                return Ok(Plan::Segment { number: segment.number, length: segment.length, start, last: range.last });
            }
        }
        Ok(Plan::End { synced: position.synced })
    }

    /// Takes frames up to `end`, the last that the segment has, or until enough is ready.
    fn scan(
        &mut self,
        scanner: &mut SegmentScanner,
        file: &str,
        end: Sequence,
        ready: &mut VecDeque<ReadItem>,
    ) -> io::Result<()> {
        let (from, mut bytes) = (scanner.offset(), 0);
        while bytes < AHEAD && scanner.offset() - from < STRIDE && self.last < end {
            let (database, last) = (&self.database, self.last);
            let want = |raw: &crate::format::RawHeader| match &raw.entry {
                Entry::Record(header) if header.database == *database && header.sequence > last => Want::Payload,
                _ => Want::Skip,
            };
            let (offset, raw, payload) = match scanner.next(want)? {
                // The segment had frames up to `end` when it was written or opened.
                None => {
                    ready.push_back(self.missing(end, file.to_owned()));
                    return Ok(());
                }
                Some(Found::Bad { offset, length }) => {
                    self.bad = Some((file.to_owned(), offset, length));
                    continue;
                }
                Some(Found::Frame { offset, raw, payload }) => (offset, raw, Some(payload)),
                Some(Found::BadPayload { offset, raw }) => (offset, raw, None),
            };
            let length = raw.frame_length();
            let Entry::Record(header) = raw.entry else { continue };
            if header.database != self.database || header.sequence <= self.last {
                continue;
            }
            if header.previous > self.last {
                ready.push_back(self.missing(header.previous, file.to_owned()));
            }
            self.last = header.sequence;
            match payload {
                Some(payload) => {
                    bytes += payload.len() as u64;
                    ready.push_back(ReadItem::Frame(Frame { header, payload }));
                }
                None => {
                    let sequences = BTreeMap::from([(header.database, (header.sequence, header.sequence))]);
                    let cause = DamageCause::Payload;
                    ready.push_back(ReadItem::Damage(Damage {
                        file: file.to_owned(),
                        offset,
                        length,
                        cause,
                        sequences,
                    }));
                }
            }
        }
        Ok(())
    }

    /// What is lost between here and `through`.
    fn missing(&mut self, through: Sequence, file: String) -> ReadItem {
        let first = self.last.next();
        let sequences = BTreeMap::from([(self.database.clone(), (first, through))]);
        self.last = self.last.max(through);
        ReadItem::Damage(match self.bad.take() {
            None if self.repaired => return ReadItem::Gap { first, last: through },
            Some((file, offset, length)) => Damage { file, offset, length, cause: DamageCause::Frame, sequences },
            None => Damage { file, offset: 0, length: 0, cause: DamageCause::MissingFrames, sequences },
        })
    }
}

//! Readers: the frames of one database in rising order, never past what is synced.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use ochre_env::{Compute, Disk, DiskFile};
use ochre_types::{DatabaseName, Sequence};

use crate::damage::{Damage, DamageCause};
use crate::error::LogError;
use crate::format::{Entry, SEGMENT_HEADER, segment_name};
use crate::frame::Frame;
use crate::memory::Memory;
use crate::scan::{Found, Scanner, Want};
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
}

pub(crate) enum Origin {
    Disk { shared: Arc<Shared>, disk: Arc<dyn Disk>, compute: Compute },
    Memory(Arc<Memory>),
}

/// Reads one database. Dropping it at any time does no harm.
pub struct LogReader {
    origin: Origin,
    walk: Walk,
    ready: VecDeque<ReadItem>,
    scanner: Option<(u64, Scanner<Box<dyn DiskFile>>)>,
}

/// How far a reader has come.
#[derive(Debug, Clone)]
struct Walk {
    database: DatabaseName,
    last: Sequence,
    /// The last unreadable bytes passed: file, offset, length.
    bad: Option<(String, u64, u64)>,
}

enum Plan {
    /// Go on in this segment, which is synced up to `length` and has frames up to `last`.
    Segment { number: u64, length: u64, start: u64, last: Sequence },
    /// No segment has more; the database is synced up to `synced`.
    End { synced: Sequence },
}

impl LogReader {
    pub(crate) fn new(origin: Origin, database: DatabaseName, after: Sequence) -> Self {
        let walk = Walk { database, last: after, bad: None };
        Self { origin, walk, ready: VecDeque::new(), scanner: None }
    }

    /// The next frame, or what is lost in its place; `None` at the end of what is synced now, after which it may be
    /// called again. [`LogError::Gone`] if the position is before what is kept.
    pub async fn next(&mut self) -> Result<Option<ReadItem>, LogError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let (shared, disk, compute) = match &self.origin {
                Origin::Memory(memory) => {
                    let frames = memory.read(&self.walk.database, self.walk.last, AHEAD)?;
                    let Some(last) = frames.last() else { return Ok(None) };
                    self.walk.last = last.header.sequence;
                    self.ready.extend(frames.into_iter().map(ReadItem::Frame));
                    continue;
                }
                Origin::Disk { shared, disk, compute } => (shared.clone(), disk.clone(), compute.clone()),
            };
            match self.walk.plan(&shared)? {
                Plan::End { synced } if synced > self.walk.last => {
                    let damage = self.walk.missing(synced, String::new());
                    return Ok(Some(ReadItem::Damage(damage)));
                }
                Plan::End { .. } => return Ok(None),
                Plan::Segment { number, length, start, last } => {
                    let scanner = self.scanner.take().filter(|(held, _)| *held == number).map(|(_, scanner)| scanner);
                    let mut walk = self.walk.clone();
                    let (walk, ready, scanner) = compute
                        .run(move || -> Result<_, LogError> {
                            let path = shared.dir.join(segment_name(number));
                            let mut scanner = match scanner {
                                Some(scanner) => scanner,
                                None => {
                                    let file = disk.open_read(&path).map_err(LogError::io("opening", &path))?;
                                    Scanner::new(file, shared.log_id, number, start, length)
                                }
                            };
                            scanner.extend(length);
                            let mut ready = VecDeque::new();
                            walk.scan(&mut scanner, number, last, &mut ready)
                                .map_err(LogError::io("reading", &path))?;
                            Ok((walk, ready, scanner))
                        })
                        .await?;
                    self.walk = walk;
                    self.ready = ready;
                    self.scanner = Some((number, scanner));
                }
            }
        }
    }
}

impl Walk {
    fn plan(&self, shared: &Shared) -> Result<Plan, LogError> {
        let state = shared.state.lock();
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
        scanner: &mut Scanner<Box<dyn DiskFile>>,
        number: u64,
        end: Sequence,
        ready: &mut VecDeque<ReadItem>,
    ) -> io::Result<()> {
        let file = segment_name(number);
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
                    ready.push_back(ReadItem::Damage(self.missing(end, file)));
                    return Ok(());
                }
                Some(Found::Bad { offset, length }) => {
                    self.bad = Some((file.clone(), offset, length));
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
                ready.push_back(ReadItem::Damage(self.missing(header.previous, file.clone())));
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
                    ready.push_back(ReadItem::Damage(Damage { file: file.clone(), offset, length, cause, sequences }));
                }
            }
        }
        Ok(())
    }

    /// What is lost between here and `through`.
    fn missing(&mut self, through: Sequence, file: String) -> Damage {
        let sequences = BTreeMap::from([(self.database.clone(), (self.last.next(), through))]);
        self.last = self.last.max(through);
        match self.bad.take() {
            Some((file, offset, length)) => Damage { file, offset, length, cause: DamageCause::Frame, sequences },
            None => Damage { file, offset: 0, length: 0, cause: DamageCause::MissingFrames, sequences },
        }
    }
}

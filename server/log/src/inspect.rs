//! Looks at a log's directory without claiming or changing it, even while a server writes there.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use ochre_env::{Compute, Disk, DiskFile};
use ochre_types::{DatabaseName, Incarnation, LogId, Sequence};

use crate::cursors::CursorState;
use crate::damage::{Damage, DamageCause, TornTail};
use crate::error::LogError;
use crate::format::{Entry, RawHeader, SEGMENT_HEADER, segment_name};
use crate::frame::Frame;
use crate::reader::ReadItem;
use crate::recover::{self, CursorsFound, Survey};
use crate::scan::{Found, Scanner, Want};

/// Bytes of payload taken from the disk at once, unless a frame is longer.
const AHEAD: u64 = 1 << 20;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedSegment {
    /// Its number.
    pub number: u64,
    /// Its file name.
    pub file: String,
    /// Its length in bytes, without a torn tail.
    pub length: u64,
    /// Who wrote it; `None` if the header is unreadable.
    pub incarnation: Option<Incarnation>,
    /// Whole frames of databases.
    pub frames: u64,
    /// The offset below which its frames say that everything was synced.
    pub synced_through: u64,
    /// For each database, the first and the last sequence.
    pub databases: BTreeMap<DatabaseName, (Sequence, Sequence)>,
}

/// How far one database has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectedDatabase {
    /// The oldest sequence that can be read, or the next one if none can.
    pub oldest: Sequence,
    /// The last sequence given; after damage, an upper bound of it.
    pub last: Sequence,
    /// The last sequence that a mark proves to have been synced; later ones may have been.
    pub synced_through: Sequence,
}

/// What a log's directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The log's identity; `None` if there is no log, or nothing tells it.
    pub log_id: Option<LogId>,
    /// Whether the log was stopped cleanly.
    pub sealed: bool,
    /// Its segments, oldest first.
    pub segments: Vec<InspectedSegment>,
    /// Its databases.
    pub databases: BTreeMap<DatabaseName, InspectedDatabase>,
    /// Its cursors, as they were last flushed.
    pub cursors: Vec<CursorState>,
    /// An unfinished end; opening would cut it off. While a server writes here, that may be a write under way.
    pub torn_tail: Option<TornTail>,
    /// Unreadable bytes.
    pub damage: Vec<Damage>,
}

/// Looks at the log in `dir`.
pub async fn inspect(disk: &Arc<dyn Disk>, compute: &Compute, dir: PathBuf) -> Result<Inspection, LogError> {
    let disk = disk.clone();
    let survey = compute.run(move || recover::survey(&*disk, &dir)).await?;
    Ok(inspection(survey))
}

fn inspection(survey: Survey) -> Inspection {
    let segments = survey.segments.into_iter().map(|segment| InspectedSegment {
        number: segment.meta.number,
        file: segment_name(segment.meta.number),
        length: segment.meta.length,
        incarnation: segment.incarnation,
        frames: segment.frames,
        synced_through: segment.mark,
        databases: segment.meta.databases.into_iter().map(|(name, range)| (name, (range.first, range.last))).collect(),
    });
    let databases = survey.heads.databases.into_iter().map(|(name, head)| {
        let released = survey.released.get(&name).copied().unwrap_or_default();
        let synced_through = survey.marked.get(&name).copied().unwrap_or(released);
        (name, InspectedDatabase { oldest: released.next(), last: head.last, synced_through })
    });
    let cursors = match survey.cursors {
        CursorsFound::Whole(slots) => slots,
        CursorsFound::Missing | CursorsFound::Unreadable => BTreeMap::new(),
    };
    Inspection {
        log_id: survey.log_id,
        sealed: survey.sealed,
        segments: segments.collect(),
        databases: databases.collect(),
        cursors: crate::cursors::states(&cursors),
        torn_tail: survey.torn_tail,
        damage: survey.damage,
    }
}

/// Reads every database's frames from a directory, in the order of writing, without claiming it.
pub struct DirectoryReader {
    disk: Arc<dyn Disk>,
    compute: Compute,
    dir: PathBuf,
    log_id: Option<LogId>,
    /// Number and length of the segments still to read.
    segments: VecDeque<(u64, u64)>,
    scanner: Option<(u64, Scanner<Box<dyn DiskFile>>)>,
    ready: VecDeque<ReadItem>,
}

impl DirectoryReader {
    /// A reader of what is in `dir` now, without a torn tail.
    pub async fn open(disk: &Arc<dyn Disk>, compute: &Compute, dir: PathBuf) -> Result<Self, LogError> {
        let (looker, path) = (disk.clone(), dir.clone());
        let survey = compute.run(move || recover::survey(&*looker, &path)).await?;
        let foreign = |number: u64| {
            survey.damage.iter().any(|damage| {
                damage.file == segment_name(number)
                    && matches!(damage.cause, DamageCause::OtherLog { .. } | DamageCause::OtherNumber { .. })
            })
        };
        let segments = survey.segments.iter().map(|segment| (segment.meta.number, segment.meta.length));
        Ok(Self {
            disk: disk.clone(),
            compute: compute.clone(),
            dir,
            log_id: survey.log_id,
            segments: segments.filter(|(number, _)| !foreign(*number)).collect(),
            scanner: None,
            ready: VecDeque::new(),
        })
    }

    /// The next frame or unreadable bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<ReadItem>, LogError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let Some(log_id) = self.log_id else { return Ok(None) };
            let (number, scanner) = match self.scanner.take() {
                Some(held) => held,
                None => {
                    let Some((number, length)) = self.segments.pop_front() else { return Ok(None) };
                    let path = self.dir.join(segment_name(number));
                    let disk = self.disk.clone();
                    let file =
                        self.compute.run(move || disk.open_read(&path).map_err(LogError::io("opening", &path))).await?;
                    (number, Scanner::new(file, log_id, number, SEGMENT_HEADER, length))
                }
            };
            let path = self.dir.join(segment_name(number));
            let taken = self.compute.run(move || take(scanner, number).map_err(LogError::io("reading", &path))).await?;
            self.ready = taken.0;
            self.scanner = taken.1.map(|scanner| (number, scanner));
        }
    }
}

type Taken = (VecDeque<ReadItem>, Option<Scanner<Box<dyn DiskFile>>>);

/// Takes what comes next; the scanner is gone at the end.
fn take(mut scanner: Scanner<Box<dyn DiskFile>>, number: u64) -> std::io::Result<Taken> {
    let (mut ready, mut bytes) = (VecDeque::new(), 0);
    let want = |raw: &RawHeader| if matches!(raw.entry, Entry::Record(_)) { Want::Payload } else { Want::Check };
    while bytes < AHEAD {
        let Some(found) = scanner.next(want)? else { return Ok((ready, None)) };
        let (offset, length, cause, sequences) = match found {
            Found::Frame { raw, payload, .. } => {
                if let Entry::Record(header) = raw.entry {
                    bytes += payload.len() as u64;
                    ready.push_back(ReadItem::Frame(Frame { header, payload }));
                }
                continue;
            }
            Found::Bad { offset, length } => (offset, length, DamageCause::Frame, BTreeMap::new()),
            Found::BadPayload { offset, raw } => {
                let sequences = match &raw.entry {
                    Entry::Record(h) => BTreeMap::from([(h.database.clone(), (h.sequence, h.sequence))]),
                    _ => BTreeMap::new(),
                };
                (offset, raw.frame_length(), DamageCause::Payload, sequences)
            }
        };
        ready.push_back(ReadItem::Damage(Damage { file: segment_name(number), offset, length, cause, sequences }));
    }
    Ok((ready, Some(scanner)))
}

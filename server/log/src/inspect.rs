//! Looks at a log, in a directory or an object store, without claiming or changing it, even while a server writes there.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use ochre_env::{Compute, Disk, Env};
use ochre_types::{ByteSize, DatabaseName, Incarnation, LogId, Sequence};

use crate::cursors::CursorState;
use crate::damage::{Damage, DamageCause, TornTail};
use crate::error::LogError;
use crate::format::{Entry, RawHeader, SEGMENT_HEADER};
use crate::frame::Frame;
use crate::object::{self, Folder};
use crate::reader::ReadItem;
use crate::recover::{self, CursorsFound, Survey};
use crate::scan::{Found, Want};
use crate::segments::{SegmentScanner, Segments};

/// Bytes of payload taken from the disk at once, unless a frame is longer.
const AHEAD: u64 = 1 << 20;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedSegment {
    /// Its number; in an object store, the epoch times 2^32 and the number within it.
    pub number: u64,
    /// Its name within the log's directory or folder.
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

/// What a log holds.
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

/// What a missing object counts as, where nothing says how long it was.
const UNREADABLE_AS: u64 = 8 << 20;
/// How often a look begins again because a server removed what was to be read.
const TRIES: u32 = 5;
/// What a look at an object store keeps in memory of what it has read.
const KEPT: ByteSize = ByteSize::mib(64);

/// Looks at the log in `dir`.
pub async fn inspect(disk: &Arc<dyn Disk>, compute: &Compute, dir: PathBuf) -> Result<Inspection, LogError> {
    let segments = Segments::Disk { disk: disk.clone(), compute: compute.clone(), dir };
    Ok(inspection(survey(&segments).await?, &segments))
}

/// Looks at the log in a folder of an object store. While a server writes there, the newest segments may not have been
/// acknowledged.
pub async fn inspect_objects(env: &Env, store: Arc<dyn ObjectStore>, folder: Path) -> Result<Inspection, LogError> {
    let segments = Segments::Objects(Folder::of(env, store, folder, ByteSize(0)));
    Ok(inspection(survey(&segments).await?, &segments))
}

async fn survey(segments: &Segments) -> Result<Survey, LogError> {
    match segments {
        Segments::Disk { disk, compute, dir } => {
            let (disk, dir) = (disk.clone(), dir.clone());
            compute.run(move || recover::survey(&*disk, &dir)).await
        }
        Segments::Objects(folder) => {
            for _ in 0..TRIES {
                if let Some(survey) = object::look(folder, UNREADABLE_AS).await? {
                    return Ok(survey);
                }
            }
            Err(folder.failed("reading", "segments that a server keeps removing"))
        }
    }
}

fn inspection(survey: Survey, home: &Segments) -> Inspection {
    let segments = survey.segments.into_iter().map(|segment| InspectedSegment {
        number: segment.meta.number,
        file: home.name(segment.meta.number),
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

/// Reads every database's frames, in the order of writing, without claiming the log.
pub struct DirectoryReader {
    home: Segments,
    log_id: Option<LogId>,
    /// Number and length of the segments still to read.
    todo: VecDeque<(u64, u64)>,
    scanner: Option<(u64, SegmentScanner)>,
    ready: VecDeque<ReadItem>,
}

impl DirectoryReader {
    /// A reader of what is in `dir` now, without a torn tail.
    pub async fn open(disk: &Arc<dyn Disk>, compute: &Compute, dir: PathBuf) -> Result<Self, LogError> {
        Self::of(Segments::Disk { disk: disk.clone(), compute: compute.clone(), dir }).await
    }

    /// A reader of what is in a folder of an object store now.
    pub async fn open_objects(env: &Env, store: Arc<dyn ObjectStore>, folder: Path) -> Result<Self, LogError> {
        Self::of(Segments::Objects(Folder::of(env, store, folder, KEPT))).await
    }

    async fn of(home: Segments) -> Result<Self, LogError> {
        let survey = survey(&home).await?;
        let unusable = |number: u64| {
            survey.damage.iter().any(|damage| {
                damage.file == home.name(number)
                    && matches!(
                        damage.cause,
                        DamageCause::OtherLog { .. } | DamageCause::OtherNumber { .. } | DamageCause::Unread
                    )
            })
        };
        let segments = survey.segments.iter().map(|segment| (segment.meta.number, segment.meta.length));
        let todo = segments.filter(|(number, _)| !unusable(*number)).collect();
        Ok(Self { home, log_id: survey.log_id, todo, scanner: None, ready: VecDeque::new() })
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
                    let Some((number, length)) = self.todo.pop_front() else { return Ok(None) };
                    (number, self.home.scan(log_id, number, SEGMENT_HEADER, length).await?)
                }
            };
            let (path, file) = (self.home.path(number), self.home.name(number));
            let taken =
                self.home.compute().run(move || take(scanner, &file).map_err(LogError::io("reading", &path))).await?;
            self.ready = taken.0;
            self.scanner = taken.1.map(|scanner| (number, scanner));
        }
    }
}

type Taken = (VecDeque<ReadItem>, Option<SegmentScanner>);

/// Takes what comes next; the scanner is gone at the end.
fn take(mut scanner: SegmentScanner, file: &str) -> std::io::Result<Taken> {
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
        ready.push_back(ReadItem::Damage(Damage { file: file.to_owned(), offset, length, cause, sequences }));
    }
    Ok((ready, Some(scanner)))
}

//! Looks through a log's directory without changing it: what is whole, what is damaged, what is a torn tail.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use ochre_env::Disk;
use ochre_types::{DatabaseName, Incarnation, LogId, Sequence};

use crate::backlog::Backlogs;
use crate::cursors::{self, Slots};
use crate::damage::{Damage, DamageCause, TornTail};
use crate::error::LogError;
use crate::format::{
    Entry, FRAME_FIXED, RawHeader, SEGMENT_HEADER, SegmentHeader, SegmentHeaderError, VERSION, segment_name,
    segment_number,
};
use crate::heads::Heads;
use crate::scan::{Found, Scanner, Source, Want};
use crate::shared::SegmentMeta;

/// A segment as it was found.
#[derive(Debug, Clone)]
pub(crate) struct Surveyed {
    pub meta: SegmentMeta,
    /// Who wrote it, if the header is readable.
    pub incarnation: Option<Incarnation>,
    /// The offset below which frames say that everything was synced.
    pub mark: u64,
    /// Whole frames of databases.
    pub frames: u64,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// `None` if nothing tells it.
    pub log_id: Option<LogId>,
    pub segments: Vec<Surveyed>,
    pub damage: Vec<Damage>,
    pub torn_tail: Option<TornTail>,
    pub sealed: bool,
    /// Where each database stands, raised above what unreadable bytes may have held.
    pub heads: Heads,
    /// For each database, the last sequence that is no longer in the log.
    pub released: BTreeMap<DatabaseName, Sequence>,
    /// For each database, the last sequence below a mark.
    pub marked: BTreeMap<DatabaseName, Sequence>,
    pub cursors: CursorsFound,
    /// How much of each database stands where.
    pub backlogs: Backlogs,
    /// Whether a frame stands for lost ones.
    pub repaired: bool,
    /// The highest number of any segment; 0 if there are none.
    pub highest_number: u64,
}

/// The file of cursors.
#[derive(Debug, Default)]
pub(crate) enum CursorsFound {
    /// There is none.
    #[default]
    Missing,
    /// There is one, but it is not this log's or not readable.
    Unreadable,
    Whole(Slots),
}

/// A segment before its frames were read.
pub(crate) struct Listed {
    pub number: u64,
    pub length: u64,
    pub header: Result<SegmentHeader, SegmentHeaderError>,
}

/// What is known of a segment from those around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around {
    /// The number of a segment before it that should be there and is not.
    pub missing: Option<u64>,
    /// Whether nothing of this log is before it.
    pub is_first: bool,
    /// Its length, if something tells it.
    pub expected: Option<u64>,
    /// Whether its end may be that of a write which a crash cut off.
    pub may_be_torn: bool,
}

/// Bytes that may turn out damaged or torn.
struct Suspect {
    offset: u64,
    length: u64,
    cause: DamageCause,
    /// The frame's header, if that is whole.
    raw: Option<RawHeader>,
}

/// Looks through `dir`. Blocks.
pub(crate) fn survey(disk: &dyn Disk, dir: &Path) -> Result<Survey, LogError> {
    let listed = list(disk, dir)?;
    let (cursors_id, cursors) = read_cursors(disk, dir)?;
    let log_id = vote(&listed).or(cursors_id);
    let mut walk = Recovery::new(dir.to_owned(), segment_name, log_id);
    walk.survey.highest_number = listed.last().map_or(0, |last| last.number);
    for (index, segment) in listed.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| listed.get(before));
        let around = around(segment, before, listed.get(index + 1), log_id);
        let path = dir.join(segment_name(segment.number));
        walk.segment(segment, around, || disk.open_read(&path).map_err(LogError::io("opening", &path)))?;
    }
    walk.take_cursors(cursors_id, cursors);
    Ok(walk.finish())
}

fn around(segment: &Listed, before: Option<&Listed>, after: Option<&Listed>, log_id: Option<LogId>) -> Around {
    let expected = after
        .filter(|after| after.number == segment.number + 1)
        .and_then(|after| after.header.ok())
        .filter(|header| Some(header.log_id) == log_id && header.previous_length > 0)
        .map(|header| header.previous_length);
    Around {
        missing: before.map(|before| before.number + 1).filter(|missing| *missing < segment.number),
        // Nothing was ever dropped before the first segment.
        is_first: segment.number == 1,
        expected,
        may_be_torn: after.is_none(),
    }
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Listed>, LogError> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(LogError::io("listing", dir))?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let Some(number) = entry.name.to_str().and_then(segment_number).filter(|_| !entry.is_dir) else { continue };
        let path = dir.join(&entry.name);
        let mut bytes = vec![0; entry.len.min(SEGMENT_HEADER) as usize];
        let file = disk.open_read(&path).map_err(LogError::io("opening", &path))?;
        file.read_exact_at(&mut bytes, 0).map_err(LogError::io("reading", &path))?;
        let header = SegmentHeader::decode(&bytes);
        if let Err(SegmentHeaderError::Version(version)) = header {
            return Err(LogError::Version { file: path, version, supported: VERSION });
        }
        listed.push(Listed { number, length: entry.len, header });
    }
    listed.sort_by_key(|segment| segment.number);
    Ok(listed)
}

/// The log id that most headers bear; of several, the one that comes first.
fn vote(listed: &[Listed]) -> Option<LogId> {
    let mut votes: Vec<(LogId, usize)> = Vec::new();
    for header in listed.iter().filter_map(|segment| segment.header.ok().filter(|h| h.number == segment.number)) {
        match votes.iter_mut().find(|(id, _)| *id == header.log_id) {
            Some((_, count)) => *count += 1,
            None => votes.push((header.log_id, 1)),
        }
    }
    let most = votes.iter().map(|(_, count)| *count).max()?;
    votes.iter().find(|(_, count)| *count == most).map(|(id, _)| *id)
}

fn read_cursors(disk: &dyn Disk, dir: &Path) -> Result<(Option<LogId>, CursorsFound), LogError> {
    let path = dir.join(cursors::FILE);
    match disk.read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((None, CursorsFound::Missing)),
        Err(error) => Err(LogError::io("reading", &path)(error)),
        Ok(bytes) => Ok(match cursors::decode(&bytes) {
            Some((id, slots)) => (Some(id), CursorsFound::Whole(slots)),
            None => (None, CursorsFound::Unreadable),
        }),
    }
}

/// The state of things when a database was last come upon.
#[derive(Clone, Copy, Default)]
struct Sighting {
    sequence: Sequence,
    /// How much damage was known.
    damage: usize,
    /// How many bytes had been unreadable.
    unknown_bytes: u64,
}

/// Walks over a log's segments, oldest first.
pub(crate) struct Recovery {
    dir: PathBuf,
    /// How a segment's file is called within the directory.
    naming: fn(u64) -> String,
    log_id: Option<LogId>,
    pub survey: Survey,
    /// What was known of each database when it was last come upon.
    chain: BTreeMap<DatabaseName, Sighting>,
    /// Whether it is known where every database stood at the start of the oldest segment.
    start_known: bool,
    /// Unreadable bytes so far.
    pub unknown_bytes: u64,
    /// How many bytes had been unreadable up to the last frame that stands for lost ones; 0 if there is none.
    repaired: u64,
    /// Frames of the current segment that no mark covers yet: offset, database, sequence.
    unmarked: VecDeque<(u64, DatabaseName, Sequence)>,
}

impl Recovery {
    pub fn new(dir: PathBuf, naming: fn(u64) -> String, log_id: Option<LogId>) -> Self {
        Self {
            dir,
            naming,
            log_id,
            survey: Survey { log_id, ..Survey::default() },
            chain: BTreeMap::new(),
            start_known: false,
            unknown_bytes: 0,
            repaired: 0,
            unmarked: VecDeque::new(),
        }
    }

    /// Takes in one segment; `open` gives its bytes.
    pub fn segment<S: Source>(
        &mut self,
        listed: &Listed,
        around: Around,
        open: impl FnOnce() -> Result<S, LogError>,
    ) -> Result<(), LogError> {
        let meta = SegmentMeta { number: listed.number, length: listed.length, ..SegmentMeta::default() };
        let mut found = Surveyed { meta, incarnation: None, mark: 0, frames: 0 };
        if let Some(missing) = around.missing {
            self.damaged(missing, 0, 0, DamageCause::MissingSegment);
        }
        if let Some(cause) = self.foreign(listed) {
            self.damaged(listed.number, 0, listed.length, cause);
            self.unknown_bytes += listed.length;
            found.meta.damaged = true;
            self.survey.segments.push(found);
            return Ok(());
        }
        let is_oldest = self.survey.segments.is_empty();
        self.start_known |= around.is_first;
        let known = self.damage_count();
        found.incarnation = listed.header.ok().map(|header| header.incarnation);
        // What is beyond the length that the next segment names was refused or never synced.
        found.meta.length = listed.length.min(around.expected.unwrap_or(u64::MAX));
        self.survey.sealed = false;
        let suspects = self.frames(listed, &mut found, open)?;
        let (damaged, torn): (Vec<_>, Vec<_>) = suspects.into_iter().partition(|suspect| {
            let lonely = is_oldest && !around.is_first && suspect.offset <= SEGMENT_HEADER;
            !around.may_be_torn || suspect.offset < found.mark || (lonely && found.frames == 0)
        });
        self.condemn(damaged, &mut found);
        match torn.first() {
            Some(first) => {
                self.survey.torn_tail = Some(TornTail {
                    file: (self.naming)(listed.number),
                    offset: first.offset,
                    length: listed.length - first.offset,
                    kept_as: None,
                });
                found.meta.length = first.offset;
                self.survey.sealed = false;
            }
            None if !around.may_be_torn => self.mark(u64::MAX),
            None => {}
        }
        if let Some(expected) = around.expected.filter(|expected| *expected > listed.length) {
            self.damaged(listed.number, listed.length, 0, DamageCause::Shortened { expected });
            self.unknown_bytes += expected - listed.length;
        }
        found.meta.damaged = self.damage_count() > known;
        self.unmarked.clear();
        self.survey.segments.push(found);
        Ok(())
    }

    /// Takes note of a segment that is there and can't be read; it counts as so many bytes.
    pub fn unread(&mut self, number: u64, length: u64, counts_as: u64) {
        self.damaged(number, 0, length, DamageCause::Unread);
        self.unknown_bytes += counts_as;
        let meta = SegmentMeta { number, length, damaged: true, ..SegmentMeta::default() };
        self.survey.segments.push(Surveyed { meta, incarnation: None, mark: 0, frames: 0 });
    }

    /// Why nothing of a segment may be used.
    fn foreign(&self, listed: &Listed) -> Option<DamageCause> {
        match listed.header {
            Ok(header) if header.number != listed.number => Some(DamageCause::OtherNumber { found: header.number }),
            Ok(header) if Some(header.log_id) != self.log_id => Some(DamageCause::OtherLog { found: header.log_id }),
            // Without the log's id, no frame can be verified.
            Err(_) if self.log_id.is_none() && listed.number > 1 => Some(DamageCause::SegmentHeader),
            _ => None,
        }
    }

    /// Reads a segment's frames; returns the suspects that no whole frame follows.
    fn frames<S: Source>(
        &mut self,
        listed: &Listed,
        found: &mut Surveyed,
        open: impl FnOnce() -> Result<S, LogError>,
    ) -> Result<Vec<Suspect>, LogError> {
        let mut suspects = Vec::new();
        if listed.header.is_err() {
            let length = found.meta.length.min(SEGMENT_HEADER);
            suspects.push(Suspect { offset: 0, length, cause: DamageCause::SegmentHeader, raw: None });
        }
        let Some(log_id) = self.log_id.filter(|_| found.meta.length > SEGMENT_HEADER) else {
            if let Some(header) = suspects.first_mut() {
                header.length = found.meta.length;
            }
            return Ok(suspects);
        };
        let path = self.dir.join((self.naming)(listed.number));
        let mut scanner = Scanner::new(open()?, log_id, listed.number, SEGMENT_HEADER, found.meta.length);
        let want = |raw: &RawHeader| match raw.entry {
            Entry::Mark | Entry::Cursors => Want::Payload,
            _ => Want::Check,
        };
        while let Some(next) = scanner.next(want).map_err(LogError::io("reading", &path))? {
            match next {
                Found::Bad { offset, length } => match suspects.last_mut() {
                    Some(last) if last.raw.is_none() && last.offset + last.length == offset => last.length += length,
                    _ => suspects.push(Suspect { offset, length, cause: DamageCause::Frame, raw: None }),
                },
                Found::BadPayload { offset, raw } => {
                    found.mark = found.mark.max(raw.synced_through);
                    let (length, cause) = (raw.frame_length(), DamageCause::Payload);
                    suspects.push(Suspect { offset, length, cause, raw: Some(raw) });
                }
                Found::Frame { offset, raw, payload } => {
                    self.condemn(std::mem::take(&mut suspects), found);
                    found.mark = found.mark.max(raw.synced_through);
                    self.mark(found.mark);
                    self.whole(offset, raw, &payload, found);
                }
            }
        }
        Ok(suspects)
    }

    fn whole(&mut self, offset: u64, raw: RawHeader, payload: &[u8], found: &mut Surveyed) {
        self.survey.sealed = raw.entry == Entry::Seal;
        let (number, length) = (found.meta.number, raw.frame_length());
        match raw.entry {
            Entry::Record(header) => {
                self.see(&header.database, header.previous, header.sequence, number, offset);
                let backlog = self.survey.backlogs.entry(header.database.clone()).or_default();
                backlog.note(header.sequence, length, header.stamp.hlc.millis());
                self.survey.heads.see(&header, found.incarnation);
                found.meta.see(&header.database, header.sequence, offset);
                found.frames += 1;
                self.unmarked.push_back((offset, header.database, header.sequence));
            }
            Entry::Mark => {
                let Some(heads) = Heads::decode(payload) else { return };
                for (database, head) in heads.databases {
                    self.see(&database, head.last, head.last, number, offset);
                    let mine = self.survey.heads.databases.entry(database).or_default();
                    mine.last = mine.last.max(head.last);
                    if head.writer.incarnation != Incarnation(0) {
                        mine.writer = head.writer;
                    }
                }
                self.survey.heads.highest = self.survey.heads.highest.max(heads.highest);
                self.start_known |= self.survey.segments.is_empty() && offset == SEGMENT_HEADER;
            }
            Entry::Cursors => {
                if let Some((_, slots)) = cursors::decode(payload) {
                    self.survey.cursors = CursorsFound::Whole(slots);
                }
            }
            Entry::Lost => {
                self.unknown_bytes += length;
                self.repaired = self.unknown_bytes;
                self.survey.repaired = true;
            }
            Entry::Seal => {}
        }
    }

    /// Follows the chain of a database's frames: what lies between is lost.
    fn see(&mut self, database: &DatabaseName, previous: Sequence, sequence: Sequence, number: u64, offset: u64) {
        let (last, known, unreadable) = match self.chain.get(database) {
            Some(seen) => (seen.sequence, seen.damage, seen.unknown_bytes),
            // A database that was not there at the start: what it had before may be in the unreadable bytes.
            None if self.start_known && self.may_have_lost_something() => (Sequence::ZERO, 0, 0),
            None => {
                self.survey.released.insert(database.clone(), previous);
                (previous, 0, 0)
            }
        };
        if previous > last {
            let lost = (last.next(), previous);
            let mut named = false;
            for damage in self.survey.damage.iter_mut().skip(known).filter(|damage| damage.is_unknown()) {
                damage.sequences.insert(database.clone(), lost);
                named = true;
            }
            // What was moved aside by a repair is known, and told to readers as a gap.
            let told = self.repaired > unreadable;
            if !named && !told {
                self.damaged(number, offset, 0, DamageCause::MissingFrames);
                if let Some(damage) = self.survey.damage.last_mut() {
                    damage.sequences.insert(database.clone(), lost);
                }
            }
        }
        let (damage, unknown_bytes) = (self.damage_count(), self.unknown_bytes);
        let seen = self.chain.entry(database.clone()).or_default();
        *seen = Sighting { sequence: seen.sequence.max(sequence), damage, unknown_bytes };
    }

    fn may_have_lost_something(&self) -> bool {
        self.repaired > 0 || self.survey.damage.iter().any(Damage::is_unknown)
    }

    /// Names suspects as damage.
    fn condemn(&mut self, suspects: Vec<Suspect>, found: &mut Surveyed) {
        for Suspect { offset, length, cause, raw } in suspects {
            let number = found.meta.number;
            match raw.map(|raw| raw.entry) {
                Some(Entry::Record(header)) => {
                    self.see(&header.database, header.previous, header.sequence, number, offset);
                    self.survey.heads.see(&header, found.incarnation);
                    found.meta.see(&header.database, header.sequence, offset);
                    self.damaged(number, offset, length, cause);
                    if let Some(damage) = self.survey.damage.last_mut() {
                        damage.sequences.insert(header.database, (header.sequence, header.sequence));
                    }
                }
                other => {
                    self.damaged(number, offset, length, cause);
                    self.unknown_bytes += if other.is_none() { length } else { 0 };
                }
            }
        }
    }

    pub fn damaged(&mut self, number: u64, offset: u64, length: u64, cause: DamageCause) {
        let file = (self.naming)(number);
        self.survey.damage.push(Damage { file, offset, length, cause, sequences: BTreeMap::new() });
    }

    fn damage_count(&self) -> usize {
        self.survey.damage.len()
    }

    /// Takes note that everything of the current segment below `offset` was synced.
    fn mark(&mut self, offset: u64) {
        while let Some((_, database, sequence)) = self.unmarked.pop_front_if(|(at, ..)| *at < offset) {
            self.survey.marked.insert(database, sequence);
        }
    }

    /// Takes in what the file of cursors says.
    fn take_cursors(&mut self, cursors_id: Option<LogId>, cursors: CursorsFound) {
        let empty = self.survey.heads.databases.is_empty();
        let foreign = cursors_id.is_some() && cursors_id != self.log_id;
        self.survey.cursors = match cursors {
            CursorsFound::Whole(slots) if !foreign && !(self.survey.segments.is_empty()) => CursorsFound::Whole(slots),
            CursorsFound::Missing => CursorsFound::Missing,
            _ => CursorsFound::Unreadable,
        };
        let lost = match self.survey.cursors {
            CursorsFound::Whole(_) => false,
            // They are written before the first frame is.
            CursorsFound::Missing => !empty,
            CursorsFound::Unreadable => true,
        };
        if lost {
            let file = cursors::FILE.to_owned();
            let cause = DamageCause::Cursors;
            self.survey.damage.push(Damage { file, offset: 0, length: 0, cause, sequences: BTreeMap::new() });
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Survey {
        for (database, head) in &mut self.survey.heads.databases {
            // A frame has at least so many bytes: the database cannot have had more in what is unreadable since.
            let seen = self.chain.get(database).map_or(0, |seen| seen.unknown_bytes);
            head.last = Sequence(head.last.0 + (self.unknown_bytes - seen) / FRAME_FIXED as u64);
        }
        // Without any segment, an id from the cursors is that of a log that is lost.
        if self.survey.segments.is_empty() {
            self.survey.log_id = None;
        }
        self.survey
    }
}

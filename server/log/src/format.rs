//! The layout of segments and frames, bit by bit. All numbers are little-endian.
//!
//! A log is a directory of segments `<number as 20 digits>.seg`, numbered without holes, a file `cursors` (see
//! [`crate::cursors`]), and the side files `<segment>.torn-<offset>` of tails that were cut off.
//!
//! Every checksum is CRC-32C. A frame's checksums begin with the frame's *place*, which is not stored in it: log id,
//! segment number, offset in the segment (8 bytes each). So bytes that look like a frame but were not written as one at
//! that place (an old block, a misdirected write, a frame inside a payload) are never taken for one.
//!
//! # Segment header: 64 bytes
//! ```text
//!   0  8  magic "OCHRELOG"
//!   8  2  version: 1
//!  10  2  header length: 64
//!  12  4  checksum of bytes 0..12 and 16..64
//!  16  8  log id
//!  24  8  incarnation that wrote the segment
//!  32  8  segment number
//!  40  8  length of the segment before, in bytes, when this one was made; 0 if there was none
//!  48 16  zero
//! ```
//! The first frame of a segment is a mark with heads (see [`crate::heads`]). The segment before is synced before a
//! segment is made; header, heads and name are synced before a frame is acknowledged from it.
//!
//! # Frame: starts and ends at a multiple of 8
//! ```text
//!   0  4  magic "ofr1"
//!   4  4  header checksum: place, bytes 8..header length
//!   8  2  header length, a multiple of 8: where the payload begins
//!  10  1  kind: 1 rows, 2 mark, 3 start, 4 seal, 5 tombstone, 6 cursors (in an object store), 7 lost
//!  11  1  number of incarnations in the path, at most 64
//!  12  4  payload length, without padding
//!  16  4  payload checksum: place, payload, padding
//!  20  2  length of the database's name; 0 for kinds 2, 4, 6 and 7, which belong to the node
//!  22  2  format of the payload
//!  24  2  min_reader of the payload
//!  26  6  zero
//!  32  8  synced through: the offset in this segment below which everything (with all earlier segments) was synced
//!           when this frame was written; never above the frame's own offset
//!  40  8  sequence in the database
//!  48  8  sequence of the database's frame before this one; 0 if there is none
//!  56  8  origin incarnation
//!  64  8  origin sequence
//!  72 16  stamp: hybrid clock, incarnation
//!  88  8  slice
//!  96 16  covers: from (exclusive), to (inclusive)
//! 112  -  path, 8 bytes each
//!      -  database name, UTF-8
//!      -  zeros up to a multiple of 8
//!      -  payload
//!      -  zeros up to a multiple of 8
//! ```
//! A frame of kind 7 stands where unreadable bytes stood until `ochre log repair` moved them aside: it is as long as
//! they were, so that the frames behind it keep their places, and its payload is zeros. The payload of kind 6 is laid out
//! as the file `cursors`.
//!
//! # Sequences
//! A sequence is given when a record is appended, and never twice. If the disk turns out to be full, the frames of that
//! group and all behind it are refused and their sequences stay unused. `previous` makes such a hole explicit: between
//! `previous` and `sequence` there never was a frame, and a frame that is missing in the chain is damage.

use ochre_types::{DatabaseName, Hlc, Incarnation, LogId, Sequence, Stamp};

use crate::frame::{Frame, FrameHeader, FrameKind, MAX_PATH, MAX_PAYLOAD, Record};

/// The version of segments that this release writes, and the highest that it reads.
pub(crate) const VERSION: u16 = 1;
/// The length of a segment's header.
pub(crate) const SEGMENT_HEADER: u64 = 64;
/// The length of a frame's header without path and name.
pub(crate) const FRAME_FIXED: usize = 112;
/// The longest header of a frame.
pub(crate) const FRAME_HEADER_LIMIT: usize = FRAME_FIXED + MAX_PATH * 8 + DatabaseName::LIMIT.next_multiple_of(8);
/// What frames start at and end at multiples of.
pub(crate) const ALIGN: u64 = 8;

const SEGMENT_MAGIC: &[u8; 8] = b"OCHRELOG";
pub(crate) const FRAME_MAGIC: &[u8; 4] = b"ofr1";

/// The file name of a segment.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The number of a segment, if `name` is one's file name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub log_id: LogId,
    pub incarnation: Incarnation,
    pub number: u64,
    pub previous_length: u64,
}

/// Why bytes are not the header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentHeaderError {
    /// Too short, or not what was written.
    Unreadable,
    /// Whole, but of a version that this release does not know.
    Version(u16),
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER as usize] {
        let mut bytes = [0; SEGMENT_HEADER as usize];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(SEGMENT_HEADER as u16).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log_id.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.incarnation.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous_length.to_le_bytes());
        let checksum = Self::checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn checksum(bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..SEGMENT_HEADER as usize])
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentHeaderError> {
        let unreadable = SegmentHeaderError::Unreadable;
        if bytes.len() < SEGMENT_HEADER as usize
            || !bytes.starts_with(SEGMENT_MAGIC)
            || u32_at(bytes, 12) != Some(Self::checksum(bytes))
        {
            return Err(unreadable);
        }
        match u16_at(bytes, 8) {
            Some(VERSION) => {}
            Some(version) => return Err(SegmentHeaderError::Version(version)),
            None => return Err(unreadable),
        }
        Ok(Self {
            log_id: LogId(u64_at(bytes, 16).ok_or(unreadable)?),
            incarnation: Incarnation(u64_at(bytes, 24).ok_or(unreadable)?),
            number: u64_at(bytes, 32).ok_or(unreadable)?,
            previous_length: u64_at(bytes, 40).ok_or(unreadable)?,
        })
    }
}

/// Where a frame is: what binds its checksums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub log_id: LogId,
    pub segment: u64,
    pub offset: u64,
}

impl Place {
    fn checksum(self) -> u32 {
        let mut place = [0; 24];
        place[..8].copy_from_slice(&self.log_id.0.to_le_bytes());
        place[8..16].copy_from_slice(&self.segment.to_le_bytes());
        place[16..].copy_from_slice(&self.offset.to_le_bytes());
        crc32c::crc32c(&place)
    }
}

/// What a frame is: a record, or the log's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Record(FrameHeader),
    /// Carries heads if it has a payload.
    Mark,
    Seal,
    /// Where all cursors stand; only in an object store.
    Cursors,
    /// Stands for bytes that were unreadable and have been moved aside.
    Lost,
}

/// A frame's header as it stands in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawHeader {
    pub entry: Entry,
    pub header_length: usize,
    pub payload_length: usize,
    pub payload_checksum: u32,
    pub synced_through: u64,
}

impl RawHeader {
    /// The frame's length in the segment, with all padding.
    pub fn frame_length(&self) -> u64 {
        (self.header_length + self.payload_length.next_multiple_of(ALIGN as usize)) as u64
    }

    /// Reads the header of the frame at `place`; `None` if `bytes` do not begin with one.
    pub fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        if !bytes.starts_with(FRAME_MAGIC) {
            return None;
        }
        let length = usize::from(u16_at(bytes, 8)?);
        let covered = bytes.get(8..length)?;
        if u32_at(bytes, 4)? != crc32c::crc32c_append(place.checksum(), covered) {
            return None;
        }
        Self::decode_fields(bytes.get(..length)?).filter(|raw| raw.synced_through <= place.offset)
    }

    /// Reads the fields of a header whose checksum is right (or, when fuzzing, was not looked at).
    pub fn decode_fields(bytes: &[u8]) -> Option<Self> {
        let path_count = usize::from(*bytes.get(11)?);
        let name_length = usize::from(u16_at(bytes, 20)?);
        let name_at = FRAME_FIXED + path_count * 8;
        let payload_length = u32_at(bytes, 12)? as usize;
        let header_length = (name_at + name_length).next_multiple_of(ALIGN as usize);
        if path_count > MAX_PATH || header_length != bytes.len() || payload_length > MAX_PAYLOAD {
            return None;
        }
        let kind = match (bytes.get(10)?, name_length) {
            (1, 1..) => Some(FrameKind::Rows),
            (3, 1..) => Some(FrameKind::Start),
            (5, 1..) => Some(FrameKind::Tombstone),
            (2 | 4 | 6 | 7, 0) => None,
            _ => return None,
        };
        let entry = match kind {
            None => match bytes[10] {
                2 => Entry::Mark,
                6 => Entry::Cursors,
                7 => Entry::Lost,
                _ => Entry::Seal,
            },
            Some(kind) => {
                let name = std::str::from_utf8(bytes.get(name_at..name_at + name_length)?).ok()?;
                let path = (0..path_count).map(|i| u64_at(bytes, FRAME_FIXED + i * 8).map(Incarnation));
                Entry::Record(FrameHeader {
                    kind,
                    database: DatabaseName::new(name).ok()?,
                    sequence: Sequence(u64_at(bytes, 40)?),
                    previous: Sequence(u64_at(bytes, 48)?),
                    origin: Incarnation(u64_at(bytes, 56)?),
                    origin_sequence: u64_at(bytes, 64)?,
                    stamp: Stamp { hlc: Hlc(u64_at(bytes, 72)?), incarnation: Incarnation(u64_at(bytes, 80)?) },
                    path: path.collect::<Option<_>>()?,
                    slice: u64_at(bytes, 88)?,
                    covers: (u64_at(bytes, 96)?, u64_at(bytes, 104)?),
                    format: u16_at(bytes, 22)?,
                    min_reader: u16_at(bytes, 24)?,
                })
            }
        };
        Some(Self {
            entry,
            header_length,
            payload_length,
            payload_checksum: u32_at(bytes, 16)?,
            synced_through: u64_at(bytes, 32)?,
        })
    }

    /// Whether `padded` (payload and padding) is what was written at `place`.
    pub fn payload_matches(&self, padded: &[u8], place: Place) -> bool {
        crc32c::crc32c_append(place.checksum(), padded) == self.payload_checksum
    }
}

/// Appends an encoded frame to `out`, as it has to stand at `place`.
pub(crate) fn encode_record(out: &mut Vec<u8>, frame: &Frame, synced_through: u64, place: Place) {
    let header = &frame.header;
    let kind = match header.kind {
        FrameKind::Rows => 1,
        FrameKind::Start => 3,
        FrameKind::Tombstone => 5,
    };
    encode(out, kind, Some(header), &frame.payload, synced_through, place);
}

/// Appends an encoded mark, with heads if `payload` is not empty.
pub(crate) fn encode_mark(out: &mut Vec<u8>, payload: &[u8], synced_through: u64, place: Place) {
    encode(out, 2, None, payload, synced_through, place);
}

/// Appends an encoded seal.
pub(crate) fn encode_seal(out: &mut Vec<u8>, synced_through: u64, place: Place) {
    encode(out, 4, None, &[], synced_through, place);
}

/// Appends an encoded record of all cursors.
pub(crate) fn encode_cursors(out: &mut Vec<u8>, payload: &[u8], place: Place) {
    encode(out, 6, None, payload, 0, place);
}

/// Appends a frame of exactly `length` bytes that stands for lost ones; `length` is a multiple of 8 and at least
/// [`FRAME_FIXED`].
pub(crate) fn encode_lost(out: &mut Vec<u8>, length: usize, place: Place) {
    encode(out, 7, None, &vec![0; length - FRAME_FIXED], 0, place);
}

/// The bytes that a record takes in a segment.
pub(crate) fn encoded_size(database: &DatabaseName, record: &Record) -> u64 {
    let header = FRAME_FIXED + record.path.len() * 8 + database.as_str().len();
    (header.next_multiple_of(ALIGN as usize) + record.payload.len().next_multiple_of(ALIGN as usize)) as u64
}

fn encode(
    out: &mut Vec<u8>,
    kind: u8,
    header: Option<&FrameHeader>,
    payload: &[u8],
    synced_through: u64,
    place: Place,
) {
    let start = out.len();
    let name = header.map_or("", |h| h.database.as_str());
    let path = header.map_or(&[][..], |h| &h.path);
    let header_length = (FRAME_FIXED + path.len() * 8 + name.len()).next_multiple_of(ALIGN as usize);
    out.resize(start + header_length, 0);
    let mut put = |at: usize, bytes: &[u8]| out[start + at..start + at + bytes.len()].copy_from_slice(bytes);
    put(0, FRAME_MAGIC);
    put(8, &(header_length as u16).to_le_bytes());
    put(10, &[kind, path.len() as u8]);
    put(12, &(payload.len() as u32).to_le_bytes());
    put(20, &(name.len() as u16).to_le_bytes());
    put(32, &synced_through.to_le_bytes());
    if let Some(h) = header {
        put(22, &h.format.to_le_bytes());
        put(24, &h.min_reader.to_le_bytes());
        let numbers = [
            h.sequence.0,
            h.previous.0,
            h.origin.0,
            h.origin_sequence,
            h.stamp.hlc.0,
            h.stamp.incarnation.0,
            h.slice,
            h.covers.0,
            h.covers.1,
        ];
        for (i, number) in numbers.into_iter().chain(path.iter().map(|i| i.0)).enumerate() {
            put(40 + i * 8, &number.to_le_bytes());
        }
        put(FRAME_FIXED + path.len() * 8, name.as_bytes());
    }
    out.extend_from_slice(payload);
    out.resize(start + header_length + payload.len().next_multiple_of(ALIGN as usize), 0);
    let seed = place.checksum();
    let payload_checksum = crc32c::crc32c_append(seed, &out[start + header_length..]);
    out[start + 16..start + 20].copy_from_slice(&payload_checksum.to_le_bytes());
    let header_checksum = crc32c::crc32c_append(seed, &out[start + 8..start + header_length]);
    out[start + 4..start + 8].copy_from_slice(&header_checksum.to_le_bytes());
}

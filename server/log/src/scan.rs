//! Walks over one segment's frames in bounded memory, and finds its way on behind bytes that are no frame.

use std::io;

use bytes::Bytes;
use ochre_env::DiskFile;
use ochre_types::LogId;

use crate::format::{ALIGN, FRAME_FIXED, FRAME_HEADER_LIMIT, FRAME_MAGIC, Place, RawHeader};

/// Bytes read at once, unless a frame is longer.
const BLOCK: u64 = 256 << 10;

/// Where a segment's bytes come from.
pub(crate) trait Source {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for Box<dyn DiskFile> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

impl Source for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (&**self).read_exact_at(buffer, offset)
    }
}

impl Source for &[u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let part = usize::try_from(offset).ok().and_then(|at| self.get(at..)?.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// What to do with a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Check it and hand it out.
    Payload,
    /// Check it.
    Check,
    /// Pass over it unread.
    Skip,
}

/// What stands at an offset.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole frame; the payload is empty unless it was wanted.
    Frame { offset: u64, raw: RawHeader, payload: Bytes },
    /// A frame whose header is whole, but whose payload is not.
    BadPayload { offset: u64, raw: RawHeader },
    /// Bytes up to the next header that is whole, or up to the end.
    Bad { offset: u64, length: u64 },
}

/// A walk over a segment, from an offset up to an end.
#[derive(Debug)]
pub(crate) struct Scanner<S> {
    source: S,
    log_id: LogId,
    segment: u64,
    offset: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<S: Source> Scanner<S> {
    /// Starts at `offset`, which must be a multiple of 8.
    pub fn new(source: S, log_id: LogId, segment: u64, offset: u64, end: u64) -> Self {
        Self { source, log_id, segment, offset, end, window: Vec::new(), window_at: 0 }
    }

    /// The offset of what comes next.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Lets the walk go on up to a later end.
    pub fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// The next find, or `None` at the end.
    pub fn next(&mut self, mut want: impl FnMut(&RawHeader) -> Want) -> io::Result<Option<Found>> {
        let offset = self.offset;
        if offset >= self.end {
            return Ok(None);
        }
        let Some(raw) = self.header_at(offset)? else {
            self.offset = self.next_header_after(offset)?;
            return Ok(Some(Found::Bad { offset, length: self.offset - offset }));
        };
        self.offset = offset + raw.frame_length();
        let want = want(&raw);
        if want == Want::Skip {
            return Ok(Some(Found::Frame { offset, raw, payload: Bytes::new() }));
        }
        let place = self.place(offset);
        let frame = self.window(offset, raw.frame_length())?;
        let padded = &frame[raw.header_length..];
        if !raw.payload_matches(padded, place) {
            return Ok(Some(Found::BadPayload { offset, raw }));
        }
        let payload = match want {
            Want::Payload => Bytes::copy_from_slice(&padded[..raw.payload_length]),
            _ => Bytes::new(),
        };
        Ok(Some(Found::Frame { offset, raw, payload }))
    }

    fn place(&self, offset: u64) -> Place {
        Place { log_id: self.log_id, segment: self.segment, offset }
    }

    /// The header at `offset`, if there is one and its frame ends before the end.
    fn header_at(&mut self, offset: u64) -> io::Result<Option<RawHeader>> {
        let left = self.end - offset;
        if left < FRAME_FIXED as u64 || !self.window(offset, 4)?.starts_with(FRAME_MAGIC) {
            return Ok(None);
        }
        let place = self.place(offset);
        let bytes = self.window(offset, left.min(FRAME_HEADER_LIMIT as u64))?;
        Ok(RawHeader::decode(bytes, place).filter(|raw| raw.frame_length() <= left))
    }

    fn next_header_after(&mut self, offset: u64) -> io::Result<u64> {
        let mut at = offset + ALIGN;
        while at < self.end {
            if self.header_at(at)?.is_some() {
                return Ok(at);
            }
            at += ALIGN;
        }
        Ok(self.end)
    }

    /// The bytes `offset..offset + length`, which must be before the end.
    fn window(&mut self, offset: u64, length: u64) -> io::Result<&[u8]> {
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if offset < held.start || offset + length > held.end {
            let read = BLOCK.max(length).min(self.end - offset);
            let read = usize::try_from(read).map_err(io::Error::other)?;
            self.window.clear();
            self.window.resize(read, 0);
            self.window_at = offset;
            if let Err(error) = self.source.read_exact_at(&mut self.window, offset) {
                self.window.clear();
                return Err(error);
            }
        }
        let start = (offset - self.window_at) as usize;
        Ok(&self.window[start..start + length as usize])
    }
}

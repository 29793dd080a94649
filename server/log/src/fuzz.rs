//! The decoders of this crate, for a fuzzer: no bytes may make one panic.

use ochre_types::LogId;

use crate::cursors;
use crate::format::{RawHeader, SEGMENT_HEADER, SegmentHeader};
use crate::heads::Heads;
use crate::scan::{Scanner, Want};

/// Decodes `bytes` as everything that stands in a log's files, with and without looking at checksums.
pub fn fuzz_decode(bytes: &[u8]) {
    let log_id = SegmentHeader::decode(bytes).map_or(LogId(0), |header| header.log_id);
    let number = SegmentHeader::decode(bytes).map_or(0, |header| header.number);
    let mut scanner = Scanner::new(bytes, log_id, number, SEGMENT_HEADER, bytes.len() as u64);
    while let Ok(Some(_)) = scanner.next(|_| Want::Payload) {}
    // A fuzzer does not find checksums: what is behind them is tried without.
    let _ = RawHeader::decode_fields(bytes).map(|raw| raw.frame_length());
    crate::object::fuzz_header(bytes);
    let _ = Heads::decode(bytes);
    let _ = cursors::decode(bytes);
    let _ = cursors::decode_fields(bytes);
}

//! The bytes of the file of cursors.

use ochre_types::{DatabaseName, LogId, Sequence};

use super::{Slot, Slots};
use crate::format::{u16_at, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"OCHRECUR";
/// The version without dropped frames.
const FIRST: u16 = 1;
const VERSION: u16 = 2;
const HEADER: usize = 32;

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

pub(crate) fn encode(log_id: LogId, slots: &Slots) -> Vec<u8> {
    encode_as(VERSION, log_id, slots)
}

fn encode_as(version: u16, log_id: LogId, slots: &Slots) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..10].copy_from_slice(&version.to_le_bytes());
    out[16..24].copy_from_slice(&log_id.0.to_le_bytes());
    out[24..28].copy_from_slice(&(slots.len() as u32).to_le_bytes());
    for ((database, name), slot) in slots {
        for text in [database.as_str(), name.as_str()] {
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        let numbers = [slot.version, slot.position.0, slot.dropped_through.0, slot.dropped_total];
        let count = if version == FIRST { 2 } else { 4 };
        numbers.iter().take(count).for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    }
    let sum = checksum(&out);
    out[12..16].copy_from_slice(&sum.to_le_bytes());
    out
}

/// The log id and the cursors in a file's bytes; `None` if they are not what was written.
pub(crate) fn decode(bytes: &[u8]) -> Option<(LogId, Slots)> {
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) || u32_at(bytes, 12)? != checksum(bytes) {
        return None;
    }
    decode_fields(bytes)
}

pub(crate) fn decode_fields(bytes: &[u8]) -> Option<(LogId, Slots)> {
    let version = u16_at(bytes, 8)?;
    if !(FIRST..=VERSION).contains(&version) {
        return None;
    }
    let log_id = LogId(u64_at(bytes, 16)?);
    let mut slots = Slots::new();
    let mut at = HEADER;
    for _ in 0..u32_at(bytes, 24)? {
        let mut text = || {
            let end = at + 2 + usize::from(u16_at(bytes, at)?);
            let text = std::str::from_utf8(bytes.get(at + 2..end)?).ok()?;
            at = end;
            Some(text)
        };
        let key = (DatabaseName::new(text()?).ok()?, text()?.to_owned());
        let mut slot = Slot::at(u64_at(bytes, at)?, Sequence(u64_at(bytes, at + 8)?));
        at += 16;
        if version > FIRST {
            slot.dropped_through = Sequence(u64_at(bytes, at)?);
            slot.dropped_total = u64_at(bytes, at + 8)?;
            slot.flushed = slot.durable();
            at += 16;
        }
        slots.insert(key, slot);
    }
    Some((log_id, slots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let mut slot = Slot::at(3, Sequence(7));
        let key = (DatabaseName::new("ü b").unwrap(), "peer".to_owned());
        let slots = |slot: Slot| Slots::from([(key.clone(), slot)]);
        assert_eq!(decode(&encode_as(FIRST, LogId(9), &slots(slot))), Some((LogId(9), slots(slot))));
        (slot.dropped_through, slot.dropped_total) = (Sequence(12), 5);
        slot.flushed = slot.durable();
        let bytes = encode(LogId(9), &slots(slot));
        assert_eq!(decode(&bytes), Some((LogId(9), slots(slot))));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), None, "at {at}");
        }
    }
}

//! Text values one after another, as Arrow lays them out.

use arrow_array::StringArray;
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};

/// Values of text: value `i` is `bytes[offsets[i]..offsets[i + 1]]`.
pub(super) struct Text {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether a value of `length` bytes fits: offsets are 32 bits wide.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.bytes.len() + length <= i32::MAX as usize
    }

    /// Adds a value, for which there must be room.
    pub(super) fn push(&mut self, value: &str) {
        self.bytes.extend_from_slice(value.as_bytes());
        self.offsets.push(self.bytes.len() as i32);
    }

    /// Adds `count` empty values.
    pub(super) fn push_empty(&mut self, count: usize) {
        let end = self.bytes.len() as i32;
        self.offsets.extend(std::iter::repeat_n(end, count));
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.offsets.truncate(len + 1);
            self.bytes.truncate(self.offsets[len] as usize);
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&[u8]> {
        let index = index as usize;
        let end = *self.offsets.get(index.wrapping_add(1))?;
        Some(&self.bytes[self.offsets[index] as usize..end as usize])
    }

    pub(super) fn finish(self, nulls: Option<NullBuffer>) -> StringArray {
        let offsets = OffsetBuffer::new(self.offsets.into());
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)
            .expect("offsets rise, and only whole pieces of UTF-8 were pushed")
    }
}

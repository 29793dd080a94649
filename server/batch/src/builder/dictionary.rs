//! A tag column being built: codes of a dictionary of values.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, PrimitiveArray};
use arrow_buffer::NullBuffer;
use hashbrown::HashTable;

use super::text::Text;
use super::{NONE, hash};

/// Codes and distinct values, which come in the order in which they were first seen.
pub(super) struct Dictionary {
    codes: Vec<i32>,
    values: Text,
    by_value: HashTable<u32>,
    /// For each code, the code that followed it last time: agents report the same things in the same order.
    next: Vec<u32>,
    last: u32,
    /// Whether the last push added its value.
    is_new: bool,
}

impl Dictionary {
    pub(super) fn new() -> Self {
        Self {
            codes: Vec::new(),
            values: Text::new(),
            by_value: HashTable::new(),
            next: Vec::new(),
            last: NONE,
            is_new: false,
        }
    }

    /// Whether a new value of `length` bytes fits.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.values.has_room(length)
    }

    /// Adds a row with this value, for which there must be room.
    pub(super) fn push(&mut self, value: &str) {
        self.is_new = false;
        let code = match self.predict(value.as_bytes()) {
            Some(code) => code,
            None => self.find_or_add(value),
        };
        self.last = code;
        self.codes.push(code as i32);
    }

    fn predict(&self, value: &[u8]) -> Option<u32> {
        if self.values.get(self.last) == Some(value) {
            return Some(self.last);
        }
        let next = *self.next.get(self.last as usize)?;
        (self.values.get(next) == Some(value)).then_some(next)
    }

    fn find_or_add(&mut self, value: &str) -> u32 {
        let hashed = hash(value.as_bytes());
        let values = &self.values;
        let code = match self.by_value.find(hashed, |code| values.get(*code) == Some(value.as_bytes())) {
            Some(code) => *code,
            None => {
                let code = self.values.len() as u32;
                self.values.push(value);
                let values = &self.values;
                self.by_value.insert_unique(hashed, code, |code| values.get(*code).map_or(0, hash));
                self.next.push(NONE);
                self.is_new = true;
                code
            }
        };
        if let Some(next) = self.next.get_mut(self.last as usize) {
            *next = code;
        }
        code
    }

    /// The value of a row that has one.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        let code = *self.codes.get(row)?;
        std::str::from_utf8(self.values.get(code as u32)?).ok()
    }

    pub(super) fn push_absent(&mut self, count: usize) {
        self.codes.resize(self.codes.len() + count, 0);
    }

    /// Takes the last push back, with the value that it added.
    pub(super) fn undo(&mut self, rows: usize) {
        self.codes.truncate(rows);
        if !self.is_new {
            return;
        }
        self.is_new = false;
        let code = (self.values.len() - 1) as u32;
        if let Some(value) = self.values.get(code)
            && let Ok(entry) = self.by_value.find_entry(hash(value), |other| *other == code)
        {
            entry.remove();
        }
        self.values.truncate(code as usize);
        self.next.truncate(code as usize);
    }

    pub(super) fn finish(self, nulls: Option<NullBuffer>) -> ArrayRef {
        let codes = PrimitiveArray::<Int32Type>::new(self.codes.into(), nulls);
        let values = Arc::new(self.values.finish(None));
        Arc::new(DictionaryArray::try_new(codes, values).expect("every code is that of a value"))
    }
}

//! Lists that run in parallel.

use std::vec::IntoIter;

use ochre_types::IntervalSet;

use super::WireError;

/// One of several lists that run in parallel, read from the front.
pub(super) struct Column<T> {
    path: String,
    length: usize,
    values: IntoIter<T>,
}

impl<T> Column<T> {
    pub(super) fn new(parent: &str, name: &str, values: Vec<T>) -> Self {
        Self { path: format!("{parent}.{name}"), length: values.len(), values: values.into_iter() }
    }

    /// The next value.
    pub(super) fn next(&mut self) -> Result<T, WireError> {
        self.values.next().ok_or_else(|| WireError::Uneven {
            path: self.path.clone(),
            found: self.length,
            expected: self.length + 1,
        })
    }

    /// The place of the value that was read last.
    pub(super) fn place(&self) -> String {
        let read = self.length - self.values.len();
        format!("{}[{}]", self.path, read.saturating_sub(1))
    }

    /// Checks that nothing is left.
    pub(super) fn end(self) -> Result<(), WireError> {
        match self.values.len() {
            0 => Ok(()),
            left => Err(WireError::Uneven { path: self.path, found: self.length, expected: self.length - left }),
        }
    }
}

/// Interval sets, one after the other.
pub(super) struct Intervals {
    first: Column<u64>,
    length: Column<u64>,
}

impl Intervals {
    pub(super) fn new(parent: &str, first: Vec<u64>, length: Vec<u64>) -> Self {
        Self {
            first: Column::new(parent, "interval_first", first),
            length: Column::new(parent, "interval_length", length),
        }
    }

    /// The next set, of `count` intervals.
    pub(super) fn next(&mut self, count: u32) -> Result<IntervalSet, WireError> {
        let mut set = IntervalSet::new();
        for _ in 0..count {
            let (first, length) = (self.first.next()?, self.length.next()?);
            let last = first
                .checked_add(length)
                .ok_or_else(|| WireError::value(self.length.place(), "the interval ends above the highest sequence"))?;
            set.insert(first, last);
        }
        Ok(set)
    }

    pub(super) fn end(self) -> Result<(), WireError> {
        self.first.end()?;
        self.length.end()
    }
}

/// A length as the formats hold it.
pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).expect("a catalog that fits in memory has no list of four billion names or intervals")
}

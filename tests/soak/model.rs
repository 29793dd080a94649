//! What is in the table.

use std::collections::BTreeMap;

/// The fields of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields {
    /// Given first.
    pub value: i64,
    /// Given later to some rows, by a write that has only this field.
    pub extra: Option<i64>,
}

/// Of the rows of one host: how many, the sum of their values, and the sum of their extras.
pub type Sums = (i64, i64, i64);

/// Rows by time and host.
#[derive(Debug, Default)]
pub struct Model {
    rows: BTreeMap<(i64, u32), Fields>,
}

impl Model {
    /// A whole row.
    pub fn put(&mut self, time: i64, host: u32, value: i64) {
        self.rows.insert((time, host), Fields { value, extra: None });
    }

    /// One more field of a row that is there.
    pub fn add(&mut self, time: i64, host: u32, extra: i64) {
        if let Some(fields) = self.rows.get_mut(&(time, host)) {
            fields.extra = Some(extra);
        }
    }

    /// Rows of a host from `start` on, before `stop`.
    pub fn delete(&mut self, host: u32, start: i64, stop: i64) {
        self.rows.retain(|(time, of), _| !(*of == host && (start..stop).contains(time)));
    }

    /// Forgets what nobody asks for any more.
    pub fn forget_before(&mut self, time: i64) {
        self.rows = self.rows.split_off(&(time, 0));
    }

    /// What a query over the times from `start` on answers.
    pub fn sums(&self, start: i64) -> BTreeMap<u32, Sums> {
        let mut sums: BTreeMap<u32, Sums> = BTreeMap::new();
        for ((_, host), fields) in self.rows.range((start, 0)..) {
            let sum = sums.entry(*host).or_default();
            *sum = (sum.0 + 1, sum.1 + fields.value, sum.2 + fields.extra.unwrap_or_default());
        }
        sums
    }
}

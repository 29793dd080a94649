//! Rows with the stamp of the batch that each came with.

use std::sync::Arc;

use arrow_array::{Array, FixedSizeBinaryArray};
use arrow_schema::DataType;
use ochre_types::Stamp;

use crate::rows::Rows;

/// The stamps of rows.
#[derive(Debug, Clone)]
pub enum Stamps {
    /// All rows came with one batch.
    One(Stamp),
    /// Each row has its own: 16 bytes ([`Stamp::to_bytes`]), never null.
    Each(Arc<FixedSizeBinaryArray>),
}

/// Rows and the stamp of each. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StampedRows {
    /// The rows.
    pub rows: Rows,
    /// Their stamps.
    pub stamps: Stamps,
}

/// The Arrow type of the hidden stamp column.
pub fn stamp_type() -> DataType {
    DataType::FixedSizeBinary(Stamp::BYTES as i32)
}

impl Stamps {
    /// The stamp of one row.
    pub fn at(&self, row: usize) -> Stamp {
        match self {
            Self::One(stamp) => *stamp,
            Self::Each(stamps) => {
                let mut bytes = [0; Stamp::BYTES];
                bytes.copy_from_slice(stamps.value(row));
                Stamp::from_bytes(bytes)
            }
        }
    }

    /// The stamps of `len` rows as an array.
    pub fn to_array(&self, len: usize) -> Arc<FixedSizeBinaryArray> {
        match self {
            Self::Each(stamps) => stamps.clone(),
            Self::One(stamp) => {
                let bytes = stamp.to_bytes().repeat(len);
                Arc::new(FixedSizeBinaryArray::new(Stamp::BYTES as i32, bytes.into(), None))
            }
        }
    }

    fn memory_size(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Each(stamps) => stamps.len() * Stamp::BYTES,
        }
    }
}

impl StampedRows {
    /// The lowest and the highest stamp, unless there are no rows.
    pub fn stamp_range(&self) -> Option<(Stamp, Stamp)> {
        match &self.stamps {
            _ if self.rows.is_empty() => None,
            Stamps::One(stamp) => Some((*stamp, *stamp)),
            each => (0..self.rows.len()).map(|row| each.at(row)).fold(None, |range, stamp| match range {
                None => Some((stamp, stamp)),
                Some((low, high)) => Some((stamp.min(low), stamp.max(high))),
            }),
        }
    }

    /// The rows `offset..offset + len`, sharing the memory.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        let stamps = match &self.stamps {
            Stamps::One(stamp) => Stamps::One(*stamp),
            Stamps::Each(stamps) => Stamps::Each(Arc::new(stamps.slice(offset, len))),
        };
        Self { rows: self.rows.slice(offset, len), stamps }
    }

    /// Bytes held.
    pub fn memory_size(&self) -> usize {
        self.rows.memory_size() + self.stamps.memory_size()
    }
}

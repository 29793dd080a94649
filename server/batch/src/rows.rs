//! Rows of one table as Arrow columns.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::types::{Int32Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, DictionaryArray, PrimitiveArray, StringArray, cast::AsArray};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, TimeUnit};
use ochre_types::{ColumnId, ColumnKind, FieldType};

/// Rows of one table. See the crate's invariants 1 and 2. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rows {
    columns: Arc<[ColumnId]>,
    arrays: Vec<ArrayRef>,
    len: usize,
}

/// Bytes that an array takes beside its values (pointers, lengths, reference counts), about.
const ARRAY_OVERHEAD: usize = 160;

/// Why columns do not make [`Rows`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// There is no time column, or it has nulls.
    #[error("the time column is missing or has nulls")]
    Time,
    /// Two columns are the same, or they are out of order.
    #[error("column {0} stands twice or out of order")]
    Order(ColumnId),
    /// A column's array has another length than the rest.
    #[error("column {column} has {length} rows where the others have {expected}")]
    Length {
        /// The column.
        column: ColumnId,
        /// Its rows.
        length: usize,
        /// The rows of the others.
        expected: usize,
    },
    /// A column's array is not of the type that its kind has.
    #[error("column {column} is of Arrow type {found}, where its kind has {expected}")]
    Type {
        /// The column.
        column: ColumnId,
        /// The array's type.
        found: DataType,
        /// The type of its kind.
        expected: DataType,
    },
}

/// The Arrow type of a kind of column, the same in memory and in Parquet:
/// tag `Dictionary(Int32, Utf8)`, float `Float64`, integer `Int64`, unsigned `UInt64`, boolean `Boolean`,
/// string `Utf8`, time `Timestamp(Nanosecond)` without a time zone.
pub fn arrow_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Tag => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        ColumnKind::Time => DataType::Timestamp(TimeUnit::Nanosecond, None),
        ColumnKind::Field(FieldType::Float) => DataType::Float64,
        ColumnKind::Field(FieldType::Integer) => DataType::Int64,
        ColumnKind::Field(FieldType::UInteger) => DataType::UInt64,
        ColumnKind::Field(FieldType::Boolean) => DataType::Boolean,
        ColumnKind::Field(FieldType::String) => DataType::Utf8,
    }
}

/// The order of columns in [`Rows`]: tags by name, fields by name and type, then time.
pub fn canonical_order(a: &ColumnId, b: &ColumnId) -> Ordering {
    let class = |kind: ColumnKind| match kind {
        ColumnKind::Tag => 0,
        ColumnKind::Field(_) => 1,
        ColumnKind::Time => 2,
    };
    (class(a.kind), &a.name, a.kind).cmp(&(class(b.kind), &b.name, b.kind))
}

impl Rows {
    /// Takes columns that are already in canonical order.
    pub fn new(columns: impl Into<Arc<[ColumnId]>>, arrays: Vec<ArrayRef>) -> Result<Self, RowsError> {
        let columns = columns.into();
        let time = match (columns.last(), arrays.last()) {
            (Some(column), Some(array)) if column.kind == ColumnKind::Time && columns.len() == arrays.len() => array,
            _ => return Err(RowsError::Time),
        };
        if time.null_count() > 0 {
            return Err(RowsError::Time);
        }
        let len = time.len();
        for pair in columns.windows(2) {
            if canonical_order(&pair[0], &pair[1]) != Ordering::Less || pair[0].kind == ColumnKind::Time {
                return Err(RowsError::Order(pair[1].clone()));
            }
        }
        for (column, array) in columns.iter().zip(&arrays) {
            if array.len() != len {
                return Err(RowsError::Length { column: column.clone(), length: array.len(), expected: len });
            }
            let expected = arrow_type(column.kind);
            if *array.data_type() != expected {
                return Err(RowsError::Type { column: column.clone(), found: array.data_type().clone(), expected });
            }
        }
        Ok(Self { columns, arrays, len })
    }

    /// Takes columns in any order.
    pub fn from_unordered(mut columns: Vec<(ColumnId, ArrayRef)>) -> Result<Self, RowsError> {
        columns.sort_by(|a, b| canonical_order(&a.0, &b.0));
        let (columns, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        Self::new(columns, arrays)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The columns in canonical order.
    pub fn columns(&self) -> &Arc<[ColumnId]> {
        &self.columns
    }

    /// The arrays, one a column, in the same order.
    pub fn arrays(&self) -> &[ArrayRef] {
        &self.arrays
    }

    /// Columns with their arrays.
    pub fn iter(&self) -> impl Iterator<Item = (&ColumnId, &ArrayRef)> {
        self.columns.iter().zip(&self.arrays)
    }

    /// The array of one column, if these rows carry it.
    pub fn array(&self, column: &ColumnId) -> Option<&ArrayRef> {
        let index = self.columns.binary_search_by(|c| canonical_order(c, column)).ok()?;
        self.arrays.get(index)
    }

    /// The times, in nanoseconds since 1970-01-01 UTC.
    pub fn times(&self) -> &ScalarBuffer<i64> {
        let time: &PrimitiveArray<TimestampNanosecondType> = self.arrays[self.arrays.len() - 1].as_primitive();
        time.values()
    }

    /// The lowest and the highest time, unless there are no rows.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let times = self.times();
        Some((*times.iter().min()?, *times.iter().max()?))
    }

    /// The rows `offset..offset + len`, sharing the memory.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        let arrays = self.arrays.iter().map(|array| array.slice(offset, len)).collect();
        Self { columns: self.columns.clone(), arrays, len }
    }

    /// The rows at `indices`, in that order. Indices must be below [`Rows::len`].
    pub fn take(&self, indices: &arrow_array::UInt32Array) -> Result<Self, arrow_schema::ArrowError> {
        let arrays = self
            .arrays
            .iter()
            .map(|array| arrow_select::take::take(array, indices, None).map(own_values))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { columns: self.columns.clone(), arrays, len: indices.len() })
    }

    /// Bytes that these rows need, counting only their part of buffers that they share with others.
    pub fn memory_size(&self) -> usize {
        self.arrays.iter().map(|array| array.to_data().get_slice_memory_size().unwrap_or(0) + ARRAY_OVERHEAD).sum()
    }
}

/// A tag column with the values that its rows have, if it shares many more with the column that they were taken from:
/// else each of many partitions would hold on to the values of all.
fn own_values(array: ArrayRef) -> ArrayRef {
    let DataType::Dictionary(..) = array.data_type() else { return array };
    let (codes, values) = tag_parts(&array);
    if values.len() <= codes.len() {
        return array;
    }
    let mut own: BTreeMap<i32, i32> = BTreeMap::new();
    let mut used = Vec::new();
    let renamed: PrimitiveArray<Int32Type> = codes
        .iter()
        .map(|code| {
            let code = code?;
            let next = used.len() as i32;
            Some(*own.entry(code).or_insert_with(|| {
                used.push(values.value(code as usize));
                next
            }))
        })
        .collect();
    let values = StringArray::from_iter_values(used);
    Arc::new(DictionaryArray::<Int32Type>::try_new(renamed, Arc::new(values)).expect("every code has its value"))
}

/// A tag column's codes and values: the code of a row indexes the values, unless the row's code is null.
pub fn tag_parts(array: &ArrayRef) -> (&PrimitiveArray<Int32Type>, &StringArray) {
    let tags: &DictionaryArray<Int32Type> = array.as_dictionary();
    (tags.keys(), tags.values().as_string())
}

/// The tag value of one row.
pub fn tag_value(array: &ArrayRef, row: usize) -> Option<&str> {
    let (codes, values) = tag_parts(array);
    codes.is_valid(row).then(|| values.value(codes.value(row) as usize))
}

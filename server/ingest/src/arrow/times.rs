//! The time column.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, TimeUnit};

use super::Refused;
use crate::line_protocol::{MAX_TIME, MIN_TIME};

/// The rows' times, none of which may be absent. Nanoseconds are not copied.
pub(super) fn read(array: &dyn Array) -> Result<ArrayRef, Refused> {
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        let row = (0..nulls.len()).find(|row| nulls.is_null(*row)).unwrap_or(0);
        return Err(Refused::NullTime { row });
    }
    let times = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => scale::<TimestampSecondType>(array, 1_000_000_000, "s"),
        DataType::Timestamp(TimeUnit::Millisecond, _) => scale::<TimestampMillisecondType>(array, 1_000_000, "ms"),
        DataType::Timestamp(TimeUnit::Microsecond, _) => scale::<TimestampMicrosecondType>(array, 1_000, "us"),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => scale::<TimestampNanosecondType>(array, 1, "ns"),
        _ => scale::<Int64Type>(array, 1, "ns"),
    }?;
    Ok(Arc::new(PrimitiveArray::<TimestampNanosecondType>::new(times, None)))
}

/// Times of a unit of so many nanoseconds as nanoseconds.
fn scale<T: ArrowPrimitiveType<Native = i64>>(
    array: &dyn Array,
    nanoseconds: i64,
    unit: &'static str,
) -> Result<ScalarBuffer<i64>, Refused> {
    let times = array.as_primitive::<T>().values();
    let (first, last) = (MIN_TIME / nanoseconds, MAX_TIME / nanoseconds);
    // Multiplying can't overflow within these.
    if let Some(row) = times.iter().position(|time| !(first..=last).contains(time)) {
        return Err(Refused::TimeRange { row, value: times[row], unit });
    }
    match nanoseconds {
        1 => Ok(times.clone()),
        _ => Ok(times.iter().map(|time| time * nanoseconds).collect()),
    }
}

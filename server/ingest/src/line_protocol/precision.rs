//! Timestamps: their units and their range.

use super::error::LineError;

/// The earliest time, in nanoseconds since 1970-01-01 UTC: InfluxDB keeps the two below for itself.
pub const MIN_TIME: i64 = i64::MIN + 2;
/// The latest time, in nanoseconds since 1970-01-01 UTC.
pub const MAX_TIME: i64 = i64::MAX - 1;

/// The unit of a request's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// `ns`, `n`.
    #[default]
    Nanosecond,
    /// `us`, `u`.
    Microsecond,
    /// `ms`.
    Millisecond,
    /// `s`.
    Second,
    /// `m`.
    Minute,
    /// `h`.
    Hour,
    /// By the magnitude of each timestamp, as version 3 does by default: below 5e9 seconds, below 5e12 milliseconds,
    /// below 5e15 microseconds, else nanoseconds.
    Auto,
}

impl Precision {
    /// Nanoseconds in one unit; `Auto` counts as nanoseconds.
    fn unit(self) -> i64 {
        match self {
            Self::Nanosecond | Self::Auto => 1,
            Self::Microsecond => 1_000,
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Hour => 3_600_000_000_000,
        }
    }

    fn of(timestamp: i64) -> Self {
        match timestamp.unsigned_abs() / 1_000_000_000 {
            ..5 => Self::Second,
            5..5_000 => Self::Millisecond,
            5_000..5_000_000 => Self::Microsecond,
            _ => Self::Nanosecond,
        }
    }

    /// A timestamp of this unit in nanoseconds.
    pub(super) fn nanoseconds(self, timestamp: i64) -> Result<i64, LineError> {
        let precision = if self == Self::Auto { Self::of(timestamp) } else { self };
        match timestamp.checked_mul(precision.unit()) {
            Some(time) if (MIN_TIME..=MAX_TIME).contains(&time) => Ok(time),
            _ => Err(LineError::TimeRange),
        }
    }

    /// A time in nanoseconds, cut down to whole units.
    pub(super) fn truncate(self, time: i64) -> i64 {
        let unit = self.unit();
        time.div_euclid(unit).saturating_mul(unit).clamp(MIN_TIME, MAX_TIME)
    }
}

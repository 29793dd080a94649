//! Points in time and their spans.

use std::time::{Duration, SystemTime};

use ochre_types::size::format_duration;
use prost_types::Timestamp;

use crate::Invalid;

/// The instant that the field at `path` holds.
pub fn instant(path: &str, timestamp: Option<Timestamp>) -> Result<SystemTime, Invalid> {
    let timestamp = timestamp.ok_or_else(|| Invalid::new(path, "is missing: give a time"))?;
    if !(0..1_000_000_000).contains(&timestamp.nanos) {
        return Err(Invalid::new(path, format!("{} nanoseconds: 0 to 999999999 are allowed", timestamp.nanos)));
    }
    let seconds = timestamp.seconds;
    SystemTime::try_from(timestamp)
        .map_err(|_| Invalid::new(path, format!("{seconds} seconds since 1970 are beyond what a time can be")))
}

/// A span as a message; what a message can't hold becomes the longest that it can.
pub(crate) fn span(duration: Duration) -> prost_types::Duration {
    let nanos = i32::try_from(duration.subsec_nanos()).expect("less than a second of nanoseconds fits");
    prost_types::Duration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos }
}

/// A span as a document has it. One that is negative or not normal becomes a text that no reader takes, and that shows
/// what came.
pub(crate) fn span_text(span: prost_types::Duration) -> String {
    let parts = (u64::try_from(span.seconds), u32::try_from(span.nanos));
    match parts {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => format_duration(Duration::new(seconds, nanos)),
        _ => format!("{} seconds and {} nanoseconds", span.seconds, span.nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        assert_eq!(instant("created", Some(time.into())), Ok(time));
        assert_eq!(instant("created", None).unwrap_err().to_string(), "created: is missing: give a time");
        let error = instant("created", Some(Timestamp { seconds: 0, nanos: -1 })).unwrap_err();
        assert_eq!(error.to_string(), "created: -1 nanoseconds: 0 to 999999999 are allowed");
    }

    #[test]
    fn spans_read_back_or_say_what_came() {
        assert_eq!(span_text(span(Duration::from_millis(90_250))), "1m30s250ms");
        assert_eq!(span_text(span(Duration::ZERO)), "0s");
        let odd = |seconds, nanos| span_text(prost_types::Duration { seconds, nanos });
        assert_eq!(odd(-1, 0), "-1 seconds and 0 nanoseconds");
        assert_eq!(odd(1, -5), "1 seconds and -5 nanoseconds");
        assert_eq!(odd(1, 1_000_000_000), "1 seconds and 1000000000 nanoseconds");
    }
}

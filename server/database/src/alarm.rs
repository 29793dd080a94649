//! The alarm against one file a row: partition rules under which rows hardly ever lie together.

use std::time::Duration;

use ochre_store::buffer::PartitionLoad;
use ochre_types::DatabaseName;
use parking_lot::Mutex;

/// How long a wide write is remembered.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// How often the partitions in memory are looked at while there are writes.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often the alarm is logged at most.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Fewer partitions in memory than these are no reason for an alarm.
const MANY_PARTITIONS: u64 = 1_000;
/// Rows that a partition in memory should have on average.
const ROWS_PER_PARTITION: u64 = 100;

/// Whether so many partitions with so many rows in all are a file a row, nearly.
pub(crate) fn is_thin(partitions: u64, rows: u64) -> bool {
    partitions >= MANY_PARTITIONS && rows < partitions.saturating_mul(ROWS_PER_PARTITION)
}

/// Watches how the rows of one database spread over partitions. Times are monotonic.
#[derive(Debug, Default)]
pub struct PartitionAlarm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wide_write: Option<(Duration, String)>,
    thin: Option<String>,
    looked: Option<Duration>,
    warned: Option<Duration>,
}

impl PartitionAlarm {
    /// Notes a write that touched so many partitions of the `limit` that the rules allow; `load` is asked now and then.
    pub fn note_write(
        &self,
        database: &DatabaseName,
        partitions: usize,
        limit: usize,
        now: Duration,
        load: impl FnOnce() -> PartitionLoad,
    ) {
        let mut state = self.state.lock();
        if partitions > limit / 2 && partitions > 1 {
            let text = format!(
                "a write touched {partitions} partitions, and limits.partitions_per_write is {limit}: choose fewer or \
                 coarser parts in partition, or send rows of one time together"
            );
            state.wide_write = Some((now, text));
        }
        if state.looked.is_none_or(|last| now.saturating_sub(last) >= LOOK_EVERY) {
            state.look(load(), now);
        }
        if state.warned.is_none_or(|last| now.saturating_sub(last) >= WARN_EVERY)
            && let Some(alarm) = state.text(now)
        {
            state.warned = Some(now);
            tracing::warn!(%database, alarm, "rows spread over too many partitions");
        }
    }

    /// Why the rules should be looked at, if they should.
    pub fn raised(&self, now: Duration, load: PartitionLoad) -> Option<String> {
        let mut state = self.state.lock();
        state.look(load, now);
        state.text(now)
    }
}

impl State {
    fn look(&mut self, load: PartitionLoad, now: Duration) {
        self.looked = Some(now);
        let PartitionLoad { partitions, rows } = load;
        self.thin = is_thin(partitions, rows).then(|| {
            format!(
                "{partitions} partitions in memory hold {} rows on average, and each becomes a file of its own: choose \
                 fewer or coarser parts in partition, or a longer buffer.freeze_after",
                rows / partitions
            )
        });
    }

    fn text(&self, now: Duration) -> Option<String> {
        let wide = self.wide_write.as_ref().filter(|(at, _)| now.saturating_sub(*at) < REMEMBERED);
        wide.map(|(_, text)| text.clone()).or_else(|| self.thin.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_wide_write_is_remembered_for_a_while() {
        let (alarm, database) = (PartitionAlarm::default(), DatabaseName::new("d").unwrap());
        alarm.note_write(&database, 50, 100, at(1), PartitionLoad::default);
        assert_eq!(alarm.raised(at(1), PartitionLoad::default()), None);
        alarm.note_write(&database, 51, 100, at(2), || panic!("it was asked a moment ago"));
        let text = alarm.raised(at(301), PartitionLoad::default()).unwrap();
        assert!(text.starts_with("a write touched 51 partitions, and limits.partitions_per_write is 100: "), "{text}");
        assert_eq!(alarm.raised(at(302), PartitionLoad::default()), None);
    }

    #[test]
    fn many_partitions_with_few_rows_raise_it_until_they_are_gone() {
        let (alarm, database) = (PartitionAlarm::default(), DatabaseName::new("d").unwrap());
        let load = |partitions, rows| PartitionLoad { partitions, rows };
        for (partitions, rows, raised) in [(999, 999, false), (1_000, 99_999, true), (1_000, 100_000, false)] {
            assert_eq!(alarm.raised(at(1), load(partitions, rows)).is_some(), raised, "{partitions} {rows}");
        }
        alarm.note_write(&database, 1, 100, at(20), || load(2_000, 5_000));
        assert!(alarm.state.lock().thin.as_ref().unwrap().starts_with("2000 partitions in memory hold 2 rows"));
    }
}

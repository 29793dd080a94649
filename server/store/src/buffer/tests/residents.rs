//! Copies of persisted chunks go in the order in which nobody has read them.

use std::cell::Cell as Count;

use super::*;
use crate::selection::Selection;

/// The days of the chunks that have a copy in memory.
fn in_memory(buffer: &Buffer) -> Vec<i64> {
    let chunks = buffer.snapshot("cpu").unwrap().chunks;
    chunks.iter().filter(|chunk| chunk.in_memory()).map(|chunk| chunk.time_range.0 / DAY).collect()
}

#[test]
fn copies_that_were_not_read_for_longest_go_first() {
    let buffer = buffer();
    apply(&buffer, 1, &[0, DAY, 2 * DAY, 3 * DAY]);
    freeze_all(&buffer);
    (0..4).for_each(|_| drop(persist_next(&buffer)));
    assert_eq!(in_memory(&buffer), [0, 1, 2, 3]);
    // A query reads two of them; that they were seen in snapshots counts for nothing.
    let snapshot = buffer.snapshot("cpu").unwrap();
    snapshot.chunks[2].read.touch();
    snapshot.chunks[0].read.touch();
    let evict = |count: usize| {
        let left = Count::new(count);
        buffer.evict_resident(|| left.replace(left.get().saturating_sub(1)) == 0)
    };
    assert_eq!(evict(1), 1);
    assert_eq!(in_memory(&buffer), [0, 2, 3]);
    assert_eq!(evict(1), 1);
    assert_eq!(in_memory(&buffer), [0, 2]);
    assert_eq!(evict(1), 1);
    assert_eq!(in_memory(&buffer), [0]);
    assert_eq!(evict(5), 1);
    assert_eq!(in_memory(&buffer), Vec::<i64>::new());
}

#[test]
fn partitions_are_listed_and_closed_by_selection() {
    let buffer = buffer();
    apply(&buffer, 1, &[0, DAY, DAY + 1]);
    let all = buffer.partitions(&Selection::default());
    let seen: Vec<_> = all.iter().map(|it| (it.name.key.as_str(), it.chunks.len(), it.chunks[0].rows)).collect();
    assert_eq!(seen, [("1970-01-01", 1, 1), ("1970-01-02", 1, 2)]);
    let second = Selection { tables: Some("c*".parse().unwrap()), key: Some(all[1].name.key.clone()) };
    assert_eq!(buffer.close_selected(&second), [all[1].chunks[0].id].into());
    let stage = |selection: &Selection| buffer.partitions(selection)[0].chunks[0].stage;
    freeze_all_closed(&buffer);
    assert_eq!((stage(&Selection::default()), stage(&second)), (Stage::Open, Stage::Frozen));
    let other = Selection { tables: Some("disk".parse().unwrap()), key: None };
    assert_eq!((buffer.partitions(&other), buffer.close_selected(&other)), (Vec::new(), [].into()));
}

fn freeze_all_closed(buffer: &Buffer) {
    while let Some(job) = buffer.next_to_freeze(&SortRule::Auto) {
        let frozen = job.chunk.freeze(&job.order, &buffer.memory).unwrap();
        buffer.install_frozen(&job.table, &job.partition, frozen);
    }
}

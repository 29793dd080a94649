//! Deletions among batches: what they hide, and that no mark passes one that the catalog lacks.

use ochre_types::matching::RowMatch;
use ochre_types::tombstone::{Erasure, Tombstone};

use super::*;

fn placed(sequence: u64) -> Placed {
    let stamp = Stamp { hlc: Hlc(1_000 + sequence), incarnation: ORIGIN };
    Placed { sequence: Sequence(sequence), stamp, origin: ORIGIN, origin_sequence: sequence }
}

fn erase(buffer: &Buffer, sequence: u64, erasure: Erasure) -> Arc<Tombstone> {
    let tombstone = Arc::new(Tombstone::new(placed(sequence).stamp, erasure));
    buffer.apply_tombstone(placed(sequence), &tombstone);
    tombstone
}

fn all_rows(time: (i64, i64)) -> Erasure {
    Erasure::Rows { rows: RowMatch { tables: Vec::new(), predicate: None }, time }
}

fn drop_cpu() -> Erasure {
    Erasure::Table { table: TableName::new("cpu").unwrap(), undrop_until: Hlc(1 << 60) }
}

fn names(buffer: &Buffer) -> Vec<String> {
    buffer.columns("cpu").unwrap_or_default().iter().map(|column| column.id.name.to_string()).collect()
}

#[test]
fn a_mark_takes_along_every_deletion_that_the_catalog_may_lack() {
    let buffer = buffer();
    apply(&buffer, 1, &[0]);
    let first = erase(&buffer, 2, all_rows((5, 9)));
    apply(&buffer, 3, &[DAY]);
    let mark = buffer.low_water_without(None);
    assert_eq!((mark.sequence, &*mark.tombstones), (Sequence(0), &[(Sequence(2), first.clone())][..]));
    freeze_all(&buffer);
    let mark = persist_next(&buffer);
    assert_eq!((mark.sequence, &*mark.tombstones), (Sequence(2), &[(Sequence(2), first)][..]));
    assert!(!buffer.has_pending_tombstones(), "the commit had it");
    assert_eq!(
        mark.batches[&ORIGIN].iter().collect::<Vec<_>>(),
        [(1, 2)],
        "its frame has been received like a batch's"
    );
    let second = erase(&buffer, 4, all_rows((5, 9)));
    let mark = persist_next(&buffer);
    assert_eq!((mark.sequence, &*mark.tombstones), (Sequence(4), &[(Sequence(4), second)][..]));
    assert!(!buffer.has_pending_tombstones());
    assert_eq!(buffer.tombstones().len(), 2);
}

#[test]
fn a_snapshot_says_what_acts_on_which_chunk_and_leaves_out_what_is_hidden_wholly() {
    let buffer = buffer();
    apply(&buffer, 1, &[0, 5]);
    apply(&buffer, 2, &[DAY]);
    erase(&buffer, 3, all_rows((5, 9)));
    apply(&buffer, 4, &[2 * DAY]);
    let acting = |buffer: &Buffer| -> Vec<usize> {
        buffer.snapshot("cpu").unwrap().chunks.iter().map(|chunk| chunk.erased.len()).collect()
    };
    assert_eq!(acting(&buffer), [1, 0, 0]);
    erase(&buffer, 5, all_rows((DAY, DAY)));
    assert_eq!(acting(&buffer), [1, 0]);
    freeze_all(&buffer);
    assert_eq!(acting(&buffer), [1, 0]);
    while buffer.unpersisted() != Unpersisted::default() {
        persist_next(&buffer);
    }
    assert_eq!(acting(&buffer), [1, 0]);
}

#[test]
fn a_dropped_table_has_no_columns_until_it_gets_rows_and_old_ones_when_it_is_brought_back() {
    let buffer = buffer();
    apply_rows(&buffer, 1, &rows_with_tag("host", &[0]));
    let drop = erase(&buffer, 2, drop_cpu());
    assert_eq!((buffer.tables(), buffer.columns("cpu"), buffer.snapshot("cpu").is_none()), (vec![], None, true));
    apply_rows(&buffer, 3, &rows_with_tag("rack", &[0]));
    assert_eq!(names(&buffer), ["rack", "usage", "time"]);
    assert_eq!(buffer.snapshot("cpu").unwrap().chunks.len(), 1, "the chunks before and after are two");
    // What was there before is written with the columns that it had.
    freeze_all(&buffer);
    let job = buffer.next_to_persist(|_| true, &[]).unwrap();
    let described: Vec<_> = job.columns.iter().map(|column| column.id.name.as_str()).collect();
    assert_eq!(described, ["host", "usage", "time"]);

    let undrop = Tombstone { reverted: Some(placed(4).stamp), ..(*drop).clone() };
    buffer.apply_tombstone(placed(4), &Arc::new(undrop));
    assert_eq!(names(&buffer), ["host", "rack", "usage", "time"]);
    assert_eq!(buffer.columns("cpu").unwrap()[2].first_seen, placed(1).stamp);
    assert_eq!(buffer.snapshot("cpu").unwrap().chunks.len(), 2);
    // The frame of the drop comes again, as in a replay.
    buffer.apply_tombstone(placed(4), &drop);
    assert_eq!(buffer.snapshot("cpu").unwrap().chunks.len(), 2, "what was taken back stays so");
}

#[test]
fn rows_from_before_a_drop_come_late_and_stay_hidden() {
    let buffer = buffer();
    erase(&buffer, 2, Erasure::Database { undrop_until: Hlc(1 << 60) });
    // As in a replay, where the catalog knows the drop already.
    apply_rows(&buffer, 1, &rows_with_tag("host", &[0]));
    assert_eq!((buffer.tables(), names(&buffer)), (vec![], vec![]));
    apply_rows(&buffer, 3, &rows_with_tag("rack", &[0]));
    assert_eq!(names(&buffer), ["rack", "usage", "time"]);
    let snapshot = buffer.snapshot("cpu").unwrap();
    assert_eq!((snapshot.chunks.len(), snapshot.chunks[0].erased.len()), (1, 1));
}

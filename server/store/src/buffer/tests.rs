//! Chunks through their stages, and the low-water mark on the way.

mod model;
mod residents;
mod templates;
mod tombstones;

use std::sync::Arc;
use std::time::Duration;

use ochre_batch::testing::{Cell, PlainRow, column, rows_of};
use ochre_types::partition::Template;
use ochre_types::rules::BufferRules;
use ochre_types::{ByteSize, ColumnKind, FieldType, Hlc};

use super::*;
use crate::catalog::CatalogId;
use crate::snapshot::Stage;

const DAY: i64 = 86_400_000_000_000;
const ORIGIN: Incarnation = Incarnation(9);

fn buffer() -> Buffer {
    let database = DatabaseName::new("metrics").unwrap();
    let state = CatalogState::new(database, CatalogId(1), Stamp::default());
    let layout = Layout::new(&Path::default(), &"a".parse().unwrap());
    Buffer::restore(&state, &layout, LogId(1), ORIGIN, BufferMemory::new(ByteSize::mib(64)))
}

fn rows(times: &[i64]) -> Rows {
    rows_with_tag("host", times)
}

fn rows_with_tag(tag: &str, times: &[i64]) -> Rows {
    let columns = [column(tag, ColumnKind::Tag), column("usage", ColumnKind::Field(FieldType::Float))];
    let row = |time: &i64| -> PlainRow {
        let cells = [Cell::Tag("a".to_owned()), Cell::Float(1.5f64.to_bits())];
        columns.iter().cloned().zip(cells).chain([(column("time", ColumnKind::Time), Cell::Time(*time))]).collect()
    };
    rows_of(&columns, &times.iter().map(row).collect::<Vec<_>>())
}

fn apply(buffer: &Buffer, sequence: u64, times: &[i64]) {
    apply_rows(buffer, sequence, &rows(times));
}

fn apply_rows(buffer: &Buffer, sequence: u64, rows: &Rows) {
    apply_part(buffer, "cpu", sequence, rows, &Arc::new(Template::default()));
}

fn apply_to(buffer: &Buffer, table: &str, sequence: u64, template: &Arc<Template>) {
    apply_part(buffer, table, sequence, &rows(&[0]), template);
}

fn apply_part(buffer: &Buffer, table: &str, sequence: u64, rows: &Rows, template: &Arc<Template>) {
    let table = TableName::new(table).unwrap();
    let parts = ochre_batch::split::split(&table, rows, template);
    let part = TablePart { table, columns: rows.columns().clone(), template: template.clone(), parts };
    let stamp = Stamp { hlc: Hlc(1_000 + sequence), incarnation: ORIGIN };
    let placed = Placed { sequence: Sequence(sequence), stamp, origin: ORIGIN, origin_sequence: sequence };
    buffer.apply(placed, &[part], Duration::ZERO).unwrap();
}

fn freeze_all(buffer: &Buffer) {
    buffer.close_due(&BufferRules::default(), Duration::ZERO, Some(FreezeReason::Asked));
    while let Some(job) = buffer.next_to_freeze(&SortRule::Auto) {
        let frozen = job.chunk.freeze(&job.order, &buffer.memory).unwrap();
        buffer.install_frozen(&job.table, &job.partition, frozen);
    }
}

/// Persists the oldest frozen chunk without an object store; returns the mark that goes into the catalog.
fn persist_next(buffer: &Buffer) -> LowWater {
    let job = buffer.next_to_persist(|_| true, &[]).unwrap();
    let mark = buffer.low_water_without(Some(job.chunk.id));
    let (first, last) = job.chunk.coverage.log.unwrap();
    let meta = ChunkMeta {
        id: job.chunk.id,
        table: job.table.clone(),
        partition_key: job.partition.1.clone(),
        template: crate::catalog::TemplateId(job.partition.0),
        object: "data/x".into(),
        size_bytes: 1,
        rows: job.chunk.sorted.rows.len() as u64,
        time: job.chunk.time_range,
        stamps: job.chunk.sorted.stamp_range().unwrap(),
        unique_keys: job.chunk.unique_keys,
        level: 0,
        sorted_by: crate::catalog::SortedBy { version: 1, columns: Arc::from([]) },
        log: crate::catalog::LogRange { log: LogId(1), first, last },
        stats: Vec::new(),
        intervals: job.chunk.coverage.batches.clone(),
        settled: None,
        applied: Arc::default(),
        checksums: Arc::default(),
    };
    buffer.install_persisted(&job.table, &job.partition, Arc::new(meta), Path::from("x"), &mark);
    mark
}

fn stages(buffer: &Buffer) -> Vec<(Stage, u64)> {
    buffer.snapshot("cpu").unwrap().chunks.iter().map(|chunk| (chunk.stage, chunk.rows)).collect()
}

#[test]
fn the_mark_stays_below_the_oldest_row_that_is_not_persisted() {
    let buffer = buffer();
    apply(&buffer, 1, &[0]);
    apply(&buffer, 2, &[0, DAY]);
    apply(&buffer, 3, &[DAY]);
    assert_eq!(stages(&buffer), [(Stage::Open, 2), (Stage::Open, 2)]);
    freeze_all(&buffer);
    assert_eq!(stages(&buffer), [(Stage::Frozen, 1), (Stage::Frozen, 1)]);
    apply(&buffer, 4, &[0]);

    // The first day's chunk covers 1 and 2; 2 also has a row of the second day, which is not persisted.
    let mark = persist_next(&buffer);
    assert_eq!(mark.sequence, Sequence(1));
    assert_eq!(mark.batches[&ORIGIN].iter().collect::<Vec<_>>(), [(1, 1)]);
    // The second day's covers 2 and 3; 4 is open.
    let mark = persist_next(&buffer);
    assert_eq!(mark.sequence, Sequence(3));
    assert_eq!(mark.batches[&ORIGIN].iter().collect::<Vec<_>>(), [(2, 3)], "only what the catalog does not have yet");
    freeze_all(&buffer);
    assert_eq!(persist_next(&buffer).sequence, Sequence(4));
    assert_eq!(buffer.unpersisted(), Unpersisted::default());
}

#[test]
fn replay_passes_over_what_a_partition_has_persisted() {
    let buffer = buffer();
    apply(&buffer, 1, &[0, DAY]);
    freeze_all(&buffer);
    persist_next(&buffer);
    // As after a restart: the frame comes again, one of its partitions is persisted.
    apply(&buffer, 1, &[0, DAY]);
    let chunks = buffer.snapshot("cpu").unwrap().chunks;
    let first_day: Vec<_> = chunks.iter().filter(|chunk| chunk.time_range.0 < DAY).map(|chunk| chunk.stage).collect();
    assert_eq!(first_day, [Stage::Persisted], "the first day's rows are not taken again");
}

#[test]
fn memory_is_given_back_when_copies_are_evicted() {
    let buffer = buffer();
    apply(&buffer, 1, &[0, 1, 2]);
    freeze_all(&buffer);
    persist_next(&buffer);
    assert!(buffer.memory.held() > 0, "the copy in memory stays");
    assert!(buffer.snapshot("cpu").unwrap().chunks[0].in_memory());
    assert_eq!(buffer.evict_resident(|| false), 1);
    assert!(!buffer.snapshot("cpu").unwrap().chunks[0].in_memory());
    assert_eq!(buffer.memory.held(), 0);
}

#[test]
fn every_try_to_persist_a_chunk_describes_the_table_alike() {
    let buffer = buffer();
    apply(&buffer, 1, &[0]);
    freeze_all(&buffer);
    let first = buffer.next_to_persist(|_| true, &[]).unwrap();
    assert_eq!((first.order.tags().len(), first.order_version, first.columns.len()), (1, 1, 3));

    // Its answer is lost. Meanwhile the table learns of another tag.
    apply_rows(&buffer, 2, &rows_with_tag("rack", &[DAY]));
    let again = buffer.next_to_persist(|_| true, &[]).unwrap();
    assert_eq!(again.chunk.id, first.chunk.id);
    assert_eq!((again.order, again.order_version, again.columns), (first.order, 1, first.columns));

    freeze_all(&buffer);
    persist_next(&buffer);
    let next = buffer.next_to_persist(|_| true, &[]).unwrap();
    assert_eq!((next.order.tags().len(), next.order_version, next.columns.len()), (2, 2, 4));
}

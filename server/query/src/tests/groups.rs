//! Groups of chunks against their definition.

use std::sync::Arc;

use ochre_batch::{Rows, StampedRows, Stamps};
use ochre_store::snapshot::{ChunkBody, ChunkSnapshot, Stage};
use ochre_types::partition::{PartitionKey, Template};
use ochre_types::{ColumnId, ColumnKind, ColumnName};
use proptest::prelude::*;

use crate::overlap::groups;

fn chunk(template: u64, key: u8, first: i64, length: i64) -> ChunkSnapshot {
    let time = ColumnId { name: ColumnName::new("time").unwrap(), kind: ColumnKind::Time };
    let times = arrow_array::TimestampNanosecondArray::from(Vec::<i64>::new());
    let rows = Rows::new(vec![time], vec![Arc::new(times)]).unwrap();
    ChunkSnapshot {
        id: Arc::from("c"),
        key: PartitionKey::new(&format!("k{key}")).unwrap(),
        template: (template != 0).then(|| Arc::new(Template::default())),
        template_id: template,
        stage: Stage::Frozen,
        rows: 1,
        time_range: (first, first.saturating_add(length)),
        stamps: (super::double::stamp(1), super::double::stamp(1)),
        level: 0,
        settled: None,
        applied: Arc::default(),
        erased: Arc::default(),
        unique_keys: true,
        in_order: true,
        tag_ranges: Vec::new(),
        bytes: 0,
        read: Default::default(),
        object: None,
        body: ChunkBody::Sorted(StampedRows { rows, stamps: Stamps::One(super::double::stamp(1)) }),
    }
}

fn may_share_keys(a: &ChunkSnapshot, b: &ChunkSnapshot) -> bool {
    let apart = a.template.is_some() && b.template.is_some() && a.template_id == b.template_id && a.key != b.key;
    !apart && a.time_range.0 <= b.time_range.1 && b.time_range.0 <= a.time_range.1
}

/// Grows groups until nothing changes.
fn by_definition(chunks: &[ChunkSnapshot]) -> Vec<Vec<usize>> {
    let mut group: Vec<usize> = (0..chunks.len()).collect();
    loop {
        let before = group.clone();
        for a in 0..chunks.len() {
            for b in 0..chunks.len() {
                if may_share_keys(&chunks[a], &chunks[b]) {
                    let lowest = group[a].min(group[b]);
                    (group[a], group[b]) = (lowest, lowest);
                }
            }
        }
        if group == before {
            break;
        }
    }
    let members = |of: usize| (0..chunks.len()).filter(|index| group[*index] == of).collect::<Vec<_>>();
    (0..chunks.len()).map(members).filter(|members| !members.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn groups_are_connected_chunks(
        shapes in prop::collection::vec((0u64..3, 0u8..3, 0i64..30, 0i64..8), 0..14),
    ) {
        let chunks: Vec<ChunkSnapshot> = shapes.into_iter().map(|(t, k, f, l)| chunk(t, k, f, l)).collect();
        prop_assert_eq!(groups(&chunks, (i64::MIN, i64::MAX)), by_definition(&chunks));
    }
}

#[test]
fn times_outside_the_window_join_nothing() {
    let chunks = [chunk(1, 0, 0, 10), chunk(1, 0, 8, 10), chunk(1, 0, 12, 10)];
    assert_eq!(groups(&chunks, (i64::MIN, i64::MAX)), [[0, 1, 2]]);
    assert_eq!(groups(&chunks, (11, 20)), [vec![0], vec![1, 2]]);
}

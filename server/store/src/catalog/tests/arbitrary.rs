//! Any edits that fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_types::matching::RowMatch;
use ochre_types::partition::PartitionKey;
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{ColumnId, ColumnKind, ColumnName, Hlc, Incarnation, IntervalSet, LogId, Sequence, TableName};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::stamp;
use crate::catalog::*;

const TABLES: [&str; 3] = ["cpu", "mémoire / %", "disk"];
const COLUMNS: [&str; 4] = ["host", "region|x", "usage", "time"];
const TEMPLATES: [&str; 2] = ["[[\"time\",\"%Y\"]]", "[]"];

fn table() -> impl Strategy<Value = TableName> {
    prop::sample::select(TABLES.to_vec()).prop_map(|name| TableName::new(name).unwrap())
}

fn column() -> impl Strategy<Value = ColumnName> {
    prop::sample::select(COLUMNS.to_vec()).prop_map(|name| ColumnName::new(name).unwrap())
}

fn intervals() -> impl Strategy<Value = IntervalSet> {
    vec((prop_oneof![0..50u64, Just(u64::MAX - 3)], 0..4u64), 0..4)
        .prop_map(|list| list.into_iter().map(|(first, length)| (first, first.saturating_add(length))).collect())
}

fn stats() -> impl Strategy<Value = ColumnStats> {
    (column(), any::<Option<(String, String)>>(), any::<u64>()).prop_map(|(column, range, nulls)| {
        let range = range.map(|(min, max)| (Arc::from(min), Arc::from(max)));
        ColumnStats { column, range, nulls }
    })
}

prop_compose! {
    fn chunk()(
        ids in (any::<u64>(), any::<u64>(), 0..TEMPLATES.len(), any::<u64>()),
        table in table(),
        key in prop::sample::select(vec!["2026-11-22", "!", "a|b%7C", "^"]),
        numbers in any::<(u64, u64, i64, i64, u64, u64, bool, u32, u32)>(),
        columns in vec(column(), 0..3),
        stats in vec(stats(), 0..3),
        intervals in btree_map(any::<u64>().prop_map(Incarnation), intervals(), 0..3),
        settled in any::<Option<std::num::NonZeroU64>>(),
        applied in vec(any::<(u64, u64)>(), 0..3),
        checksums in vec(any::<u32>(), 0..3),
    ) -> ChunkMeta {
        let (incarnation, counter, template, log) = ids;
        let (size_bytes, rows, min, max, low, high, unique_keys, level, version) = numbers;
        let id = ChunkId { incarnation: Incarnation(incarnation), counter };
        ChunkMeta {
            id,
            object: Layout::chunk(&table, key, &id.to_string()).into(),
            table,
            partition_key: PartitionKey::new(key).unwrap(),
            template: TemplateId(template as u64),
            size_bytes,
            rows,
            time: (min, max),
            stamps: (stamp(low, incarnation), stamp(high, low)),
            unique_keys,
            level,
            sorted_by: SortedBy { version, columns: columns.into() },
            log: LogRange { log: LogId(log), first: Sequence(low), last: Sequence(high) },
            stats,
            intervals,
            settled: settled.map(|boundary| Hlc(boundary.get())),
            applied: applied.into_iter().map(|(hlc, incarnation)| stamp(hlc, incarnation)).collect(),
            checksums: checksums.into(),
        }
    }
}

fn ids() -> impl Strategy<Value = Vec<ChunkId>> {
    vec((any::<u64>(), any::<u64>()), 0..4).prop_map(|list| {
        let read = |(incarnation, counter)| ChunkId { incarnation: Incarnation(incarnation), counter };
        list.into_iter().map(read).collect()
    })
}

fn tombstone() -> impl Strategy<Value = Arc<Tombstone>> {
    let rows = (vec(table(), 0..3), any::<bool>(), any::<(i64, i64)>()).prop_map(|(tables, some, time)| {
        let tables = tables.iter().map(|table| format!("{table}*").parse().unwrap()).collect();
        let predicate = some.then(|| "host = 'a' AND time >= 5".parse().unwrap());
        Erasure::Rows { rows: RowMatch { tables, predicate }, time }
    });
    let erasure = prop_oneof![
        rows,
        (table(), any::<u64>()).prop_map(|(table, until)| Erasure::Table { table, undrop_until: Hlc(until) }),
        any::<u64>().prop_map(|until| Erasure::Database { undrop_until: Hlc(until) }),
    ];
    // A stamp stands for one deletion, so few stamps would meet others.
    (any::<(u64, u64)>(), erasure, any::<Option<(u64, u64)>>()).prop_map(|((hlc, incarnation), erasure, reverted)| {
        let reverted = reverted.map(|(hlc, incarnation)| stamp(hlc, incarnation));
        Arc::new(Tombstone { stamp: stamp(hlc, incarnation), erasure, reverted })
    })
}

fn partition() -> impl Strategy<Value = PartitionName> {
    (table(), 0..2u64, prop::sample::select(vec!["2026", "!"])).prop_map(|(table, template, key)| PartitionName {
        table,
        template: TemplateId(template),
        key: PartitionKey::new(key).unwrap(),
    })
}

fn removal_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (ids(), any::<u64>(), 0..4usize).prop_map(|(chunks, at, reason)| Edit::RemoveChunks {
            chunks,
            at: Hlc(at),
            reason: Removal::ALL[reason],
        }),
        ids().prop_map(|chunks| Edit::ForgetRemoved { chunks }),
        ids().prop_map(|chunks| Edit::ReturnChunks { chunks }),
        vec(tombstone(), 0..3).prop_map(|tombstones| Edit::AddTombstones { tombstones }),
        vec(any::<(u64, u64)>(), 0..3).prop_map(|stamps| Edit::ForgetTombstones {
            stamps: stamps.into_iter().map(|(hlc, incarnation)| stamp(hlc, incarnation)).collect(),
        }),
        (vec(partition(), 1..3), any::<bool>())
            .prop_map(|(partitions, read_only)| Edit::SetReadOnly { partitions, read_only }),
    ]
}

/// An edit that fits once [`first`] has been committed.
pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let kind = (0..7u8).prop_map(|code| ColumnKind::from_code(code).unwrap());
    let columns = vec(((column(), kind), any::<(u64, u64)>()), 0..4).prop_map(|list| {
        let read = |((name, kind), (hlc, incarnation))| (ColumnId { name, kind }, stamp(hlc, incarnation));
        list.into_iter().map(read).collect::<Vec<_>>()
    });
    let received = btree_map((any::<u64>().prop_map(Incarnation), (0..2u64).prop_map(SliceId)), intervals(), 0..3);
    prop_oneof![
        table().prop_map(|table| Edit::CreateTable { table }),
        (table(), columns).prop_map(|(table, columns)| Edit::AddColumns { table, columns }),
        // A version always has the same columns.
        (table(), 0..4u32).prop_map(|(table, version)| Edit::AddSortOrder {
            table,
            version,
            columns: COLUMNS[..version as usize].iter().map(|name| ColumnName::new(name).unwrap()).collect(),
        }),
        vec(chunk(), 0..4).prop_map(|list| Edit::AddChunks { chunks: list.into_iter().map(Arc::new).collect() }),
        (0..3u64, any::<u64>()).prop_map(|(log, sequence)| {
            Edit::SetLowWater(LowWater { log: LogId(log), sequence: Sequence(sequence) })
        }),
        received.prop_map(|received| Edit::AddReceived { received }),
        any::<u64>().prop_map(|hlc| Edit::RaiseCeiling(Hlc(hlc))),
        vec(any::<(u64, u64)>(), 0..3).prop_map(|list| {
            let read =
                |(incarnation, last_sequence)| Predecessor { incarnation: Incarnation(incarnation), last_sequence };
            Edit::AddPredecessors(list.into_iter().map(read).collect())
        }),
        Just(Edit::MeetPeer),
        removal_edit(),
    ]
}

/// What the edits above refer to.
pub(super) fn first() -> Vec<Edit> {
    let tables = TABLES.map(|name| Edit::CreateTable { table: TableName::new(name).unwrap() });
    let templates = TEMPLATES.iter().enumerate();
    let templates = templates.map(|(id, text)| Edit::AddTemplate { id: TemplateId(id as u64), text: (*text).into() });
    tables.into_iter().chain(templates).collect()
}

/// Some chunk of table `cpu`.
pub(super) fn some_chunk(counter: u64) -> Arc<ChunkMeta> {
    let table = TableName::new("cpu").unwrap();
    let id = ChunkId { incarnation: Incarnation(7), counter };
    Arc::new(ChunkMeta {
        id,
        object: Layout::chunk(&table, "2026-11-22", &id.to_string()).into(),
        table,
        partition_key: PartitionKey::new("2026-11-22").unwrap(),
        template: TemplateId(0),
        size_bytes: 4_096,
        rows: 10,
        time: (-5, 5),
        stamps: (stamp(1, 7), stamp(2, 7)),
        unique_keys: true,
        level: 0,
        sorted_by: SortedBy { version: 1, columns: [ColumnName::new("host").unwrap()].into() },
        log: LogRange { log: LogId(3), first: Sequence(counter), last: Sequence(counter) },
        stats: vec![ColumnStats {
            column: ColumnName::new("host").unwrap(),
            range: Some(("a".into(), "b".into())),
            nulls: 1,
        }],
        intervals: BTreeMap::from([(Incarnation(7), IntervalSet::from_iter([(counter, counter)]))]),
        settled: None,
        applied: Arc::default(),
        checksums: Arc::default(),
    })
}

//! Planning comes to an end, and every job makes its partition smaller.

use std::collections::BTreeSet;
use std::time::Duration;

use ochre_types::matching::RowMatch;
use ochre_types::tombstone::Erasure;
use ochre_types::{ByteSize, Incarnation};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::catalog::LogRange;

const LOG: LogId = LogId(1);
const MARK: Sequence = Sequence(1_000);

fn table() -> TableName {
    TableName::new("cpu").unwrap()
}

fn stamp(hlc: u64) -> Stamp {
    Stamp { hlc: Hlc(hlc), incarnation: Incarnation(9) }
}

/// A chunk of the one partition, as frozen.
fn chunk(counter: u64, time: (i64, i64), stamps: (u64, u64), size_bytes: u64) -> ChunkMeta {
    ChunkMeta {
        id: ChunkId { incarnation: Incarnation(9), counter },
        table: table(),
        partition_key: PartitionKey::new("a").unwrap(),
        template: TemplateId(1),
        object: format!("data/{counter}").into(),
        size_bytes,
        rows: size_bytes,
        time,
        stamps: (stamp(stamps.0), stamp(stamps.1)),
        unique_keys: true,
        level: 0,
        sorted_by: SortedBy { version: 2, columns: Arc::from([]) },
        log: LogRange { log: LOG, first: Sequence(stamps.0), last: Sequence(stamps.1) },
        stats: Vec::new(),
        intervals: BTreeMap::new(),
        settled: None,
        applied: Arc::default(),
        checksums: Arc::default(),
    }
}

fn rules(max_file_size: u64, max_files: usize) -> CompactRules {
    let quiet_after = Duration::from_secs(60);
    CompactRules { enabled: true, max_file_size: ByteSize(max_file_size), max_files, quiet_after }
}

fn policy(rules: CompactRules) -> Policy {
    Policy {
        rules,
        now: Hlc::from_millis(120_000),
        log: (LOG, MARK),
        visible_from: None,
        settle_at: None,
        everything: false,
        open_bytes: 1 << 30,
    }
}

type Chunks = BTreeMap<ChunkId, Arc<ChunkMeta>>;

fn of(chunks: impl IntoIterator<Item = ChunkMeta>) -> Chunks {
    chunks.into_iter().map(|chunk| (chunk.id, Arc::new(chunk))).collect()
}

fn jobs(chunks: &Chunks, tombstones: &[Arc<Tombstone>], policy: &Policy) -> Vec<Job> {
    let view = TableView {
        table: &table(),
        chunks,
        tombstones,
        keeps_order: &|version| version >= 2,
        in_memory: &[],
        skip: &|_| false,
    };
    plan(&view, policy)
}

fn counters(job: &Job) -> Vec<u64> {
    job.inputs.iter().map(|chunk| chunk.id.counter).collect()
}

/// What the job would do: rows spread evenly, nothing folded.
fn carry_out(chunks: &mut Chunks, job: &Job, policy: &Policy, tombstones: &[Arc<Tombstone>], next: &mut u64) {
    let low = job.inputs.iter().map(|chunk| chunk.time.0).min().unwrap().max(policy.visible_from.unwrap_or(i64::MIN));
    let high = job.inputs.iter().map(|chunk| chunk.time.1).max().unwrap();
    let bytes: u64 = job.inputs.iter().map(|chunk| chunk.size_bytes).sum();
    let lows = job.inputs.iter().map(|chunk| chunk.stamps.0).min().unwrap();
    let highs = job.inputs.iter().map(|chunk| chunk.stamps.1).max().unwrap();
    for input in &job.inputs {
        assert!(chunks.remove(&input.id).is_some(), "an input is there, once");
    }
    let starts: Vec<i64> = [low].into_iter().chain(job.cuts.iter().copied()).collect();
    assert!(starts.windows(2).all(|pair| pair[0] < pair[1]) && starts.last().is_none_or(|last| *last <= high));
    for (index, start) in starts.iter().enumerate() {
        *next += 1;
        let end = starts.get(index + 1).map_or(high, |next| next - 1);
        let mut output = chunk(*next, (*start, end), (0, 0), bytes / starts.len() as u64);
        output.level = 1;
        output.rows = job.inputs.iter().map(|chunk| chunk.rows).sum::<u64>() / starts.len() as u64;
        output.log = job.inputs[0].log;
        output.stamps = (lows, highs);
        output.settled = job.settle;
        if let Some(boundary) = job.settle {
            output.stamps = (settle::settled_stamp(boundary), settle::settled_stamp(boundary));
        }
        output.sorted_by.version = job.order.as_ref().map_or(2, |kept| kept.version);
        output.applied = tombstones.iter().map(|tombstone| tombstone.stamp).collect();
        chunks.insert(output.id, Arc::new(output));
    }
}

/// See the doc of [`super`].
fn measure(chunks: &Chunks, tombstones: &[Arc<Tombstone>], policy: &Policy) -> [usize; 5] {
    let ready: Vec<_> = chunks.values().filter(|chunk| is_ready(chunk, tombstones, policy)).collect();
    let due = |chunk: &&&Arc<ChunkMeta>| {
        !acting(tombstones, &facts(chunk)).is_empty()
            || policy.visible_from.is_some_and(|from| is_mostly_expired(chunk, from))
    };
    let large = |chunk: &ChunkMeta| (chunk.sorted_by.version < 2 && chunk.rows > RESORT_ROWS).then_some(1);
    let age = |chunk: &ChunkMeta| match policy.settle_at {
        None => 0,
        Some(at) if chunk.settled.is_some_and(|boundary| boundary > at) => 1,
        Some(at) if chunk.settled.is_some() || chunk.stamps.1.hlc < at => 2,
        Some(_) => 3,
    };
    let overlap = |a: &ChunkMeta, b: &ChunkMeta| {
        a.time.0 <= b.time.1 && b.time.0 <= a.time.1 && (age(a), large(a)) == (age(b), large(b))
    };
    let pairs = ready.iter().enumerate().map(|(at, a)| ready[..at].iter().filter(|b| overlap(a, b)).count()).sum();
    let unsettled = ready.iter().filter(|chunk| chunk.settled.is_none()).count();
    let old = ready.iter().filter(|chunk| large(chunk).is_some()).count();
    [ready.iter().filter(due).count(), ready.len(), old, pairs, unsettled]
}

#[test]
fn chunks_are_joined_when_there_are_many_or_when_they_overlap_and_are_quiet() {
    let busy = policy(rules(1_000, 3));
    let late = 119_000 << 16;
    let chunks = of((1..=2).map(|n| chunk(n, (0, 10), (n, n), 10)).chain([chunk(3, (20, 30), (900, late), 10)]));
    let all = Policy { log: (LOG, Sequence(late)), ..busy };
    // The third is above the mark, and the partition is not quiet.
    assert_eq!(jobs(&chunks, &[], &busy), []);
    let found = jobs(&chunks, &[], &all);
    assert_eq!((found.len(), counters(&found[0]), found[0].cause), (1, vec![1, 2, 3], Cause::Files));
    assert_eq!((found[0].settle, found[0].cuts.len()), (Some(Hlc(late + 1)), 0));
    let few = Policy { rules: rules(1_000, 4), ..all };
    assert_eq!(jobs(&chunks, &[], &few), []);
    let quiet = Policy { now: Hlc::from_millis(179_000), ..few };
    let found = jobs(&chunks, &[], &quiet);
    assert_eq!((counters(&found[0]), found[0].cause), (vec![1, 2], Cause::Overlap));
    let off = Policy { rules: CompactRules { enabled: false, ..quiet.rules }, ..quiet };
    assert_eq!(jobs(&chunks, &[], &off), []);
}

#[test]
fn what_was_deleted_is_carried_out_whatever_the_rules_say() {
    let mut off = policy(rules(1_000, 8));
    off.rules.enabled = false;
    let rows = RowMatch { tables: Vec::new(), predicate: None };
    let tombstone = Arc::new(Tombstone::new(stamp(5), Erasure::Rows { rows, time: (0, 15) }));
    let chunks = of([chunk(1, (20, 30), (1, 4), 10), chunk(2, (10, 12), (6, 9), 10), chunk(3, (0, 9), (2, 7), 10)]);
    let found = jobs(&chunks, std::slice::from_ref(&tombstone), &off);
    assert_eq!((found.len(), counters(&found[0]), found[0].cause), (1, vec![3], Cause::Deleted));
    let dropped = Erasure::Table { table: table(), undrop_until: Hlc::from_millis(130_000) };
    let dropped = Arc::new(Tombstone::new(stamp(6), dropped));
    assert_eq!(jobs(&chunks, &[tombstone.clone(), dropped.clone()], &off), [], "it can be taken back");
    let later = Policy { now: Hlc::from_millis(130_001), ..off };
    assert_eq!(counters(&jobs(&chunks, &[tombstone, dropped], &later)[0]), [3]);
}

#[test]
fn versions_that_may_be_told_apart_later_stay_apart() {
    let everything = Policy { everything: true, ..policy(rules(1_000, 8)) };
    // One of another template overlaps: its stamps lie between those of the two.
    let other = ChunkMeta { template: TemplateId(2), ..chunk(3, (5, 6), (4, 5), 10) };
    let chunks = of([chunk(1, (0, 10), (1, 3), 10), chunk(2, (0, 10), (6, 9), 10), other.clone()]);
    let found = jobs(&chunks, &[], &everything);
    assert_eq!((counters(&found[0]), found[0].settle), (vec![1, 2], None));
    // An older one does not matter, nor one that can't share a time.
    for (time, stamps) in [((5, 6), (0, 0)), ((5, 6), (11, 12)), ((11, 12), (4, 5))] {
        let other = ChunkMeta { time, stamps: (stamp(stamps.0), stamp(stamps.1)), ..other.clone() };
        let chunks = of([chunk(1, (0, 10), (1, 3), 10), chunk(2, (0, 10), (6, 9), 10), other]);
        let found = jobs(&chunks, &[], &everything);
        let joined = found.iter().find(|job| job.inputs.len() == 2).unwrap();
        assert_eq!(joined.settle, Some(Hlc(10)), "{time:?} {stamps:?}");
    }
}

#[test]
fn a_database_with_peers_settles_at_whole_hours_only() {
    let window = Duration::from_secs(2 * 3_600);
    let at = settle::common_boundary(Hlc::from_millis(7 * 3_600_000 + 99), window);
    assert_eq!(at, Hlc::from_millis(5 * 3_600_000));
    let peers = Policy {
        now: Hlc::from_millis(7 * 3_600_000 + 99),
        settle_at: Some(at),
        log: (LOG, Sequence(u64::MAX)),
        ..policy(rules(1_000, 8))
    };
    let (old, young) = ((4 * 3_600_000) << 16, (6 * 3_600_000) << 16);
    let chunks =
        of([chunk(1, (0, 10), (1, old), 10), chunk(2, (0, 10), (old, young), 10), chunk(3, (0, 9), (2, old), 10)]);
    let found = jobs(&chunks, &[], &peers);
    assert_eq!((found.len(), counters(&found[0])), (1, vec![3, 1]));
    assert_eq!(found[0].settle, None, "a chunk with versions on both sides overlaps");
    let apart =
        of([chunk(1, (0, 10), (1, old), 10), chunk(2, (11, 20), (old, young), 10), chunk(3, (0, 9), (2, old), 10)]);
    assert_eq!(jobs(&apart, &[], &peers)[0].settle, Some(at));
    let in_memory = [InMemory {
        template: TemplateId(1),
        key: PartitionKey::new("a").unwrap(),
        time: (3, 3),
        stamps: (stamp(old), stamp(old)),
    }];
    let view = TableView {
        table: &table(),
        chunks: &apart,
        tombstones: &[],
        keeps_order: &|_| true,
        in_memory: &in_memory,
        skip: &|_| false,
    };
    assert_eq!(plan(&view, &peers)[0].settle, None, "an old version is in memory");
}

#[test]
fn ten_thousand_chunks_are_planned_quickly() {
    let chunks = of((0..10_000u64).map(|n| chunk(n, (n as i64 * 10, n as i64 * 10 + 12), (n, n), 1 << 20)));
    let policy = Policy { log: (LOG, Sequence(u64::MAX)), everything: true, ..policy(rules(512 << 20, 8)) };
    #[allow(clippy::disallowed_methods, reason = "the time that it takes is what is tested")]
    let begun = std::time::Instant::now();
    assert_eq!(jobs(&chunks, &[], &policy)[0].inputs.len(), MAX_INPUTS);
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 100 });
    assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
}

fn some_chunk() -> impl Strategy<Value = ChunkMeta> {
    let time = (0..200i64, 0..60i64).prop_map(|(start, length)| (start, start + length));
    let stamps = (1..900u64, 0..50u64).prop_map(|(first, length)| (first, first + length));
    let size = prop_oneof![1..50u64, 50..3_000u64];
    (time, stamps, size, 1..3u32, any::<bool>(), 0..3u64).prop_map(|(time, stamps, size, version, unique, kind)| {
        let mut chunk = chunk(0, time, stamps, size);
        chunk.sorted_by.version = version;
        chunk.unique_keys = unique;
        // Large ones of an earlier order are not sorted anew.
        chunk.rows = if kind == 0 { 2 * RESORT_ROWS } else { size };
        if kind == 1 {
            let at = settle::settled_stamp(Hlc(stamps.1));
            (chunk.settled, chunk.stamps, chunk.level) = (Some(at.hlc), (at, at), 1);
        }
        chunk
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn planning_ends(
        given in vec(some_chunk(), 0..40),
        (max_file_size, max_files) in (20..2_000u64, 2..9usize),
        deleted in option::of((0..200i64, 0..100i64, 1..1_000u64)),
        visible_from in option::of(0..150i64),
        (everything, peers, open_bytes) in (any::<bool>(), option::of(1..900u64), 100..9_000u64),
    ) {
        let chunks = given.into_iter().enumerate().map(|(at, chunk)| {
            let id = ChunkId { incarnation: Incarnation(9), counter: at as u64 };
            ChunkMeta { id, ..chunk }
        });
        let mut chunks = of(chunks);
        let rows = RowMatch { tables: Vec::new(), predicate: None };
        let tombstones: Vec<_> = deleted
            .map(|(start, length, at)| (stamp(at), Erasure::Rows { rows, time: (start, start + length) }))
            .map(|(at, erasure)| Arc::new(Tombstone::new(at, erasure)))
            .into_iter()
            .collect();
        let now = Hlc::from_millis(600_000);
        let base = policy(rules(max_file_size, max_files));
        let policy = Policy { now, visible_from, everything, settle_at: peers.map(Hlc), open_bytes, ..base };
        let mut next = 1_000;
        loop {
            let found = jobs(&chunks, &tombstones, &policy);
            let Some(job) = found.first() else { break };
            prop_assert_eq!(found.len(), 1, "one a partition");
            prop_assert!(job.inputs.len() <= MAX_INPUTS && job.cuts.len() < MAX_OUTPUTS);
            let ids: BTreeSet<_> = job.inputs.iter().map(|chunk| chunk.id).collect();
            prop_assert_eq!(ids.len(), job.inputs.len());
            let before = measure(&chunks, &tombstones, &policy);
            carry_out(&mut chunks, job, &policy, &tombstones, &mut next);
            let after = measure(&chunks, &tombstones, &policy);
            prop_assert!(after < before, "{:?} made {:?} of {:?}", job, after, before);
        }
    }
}

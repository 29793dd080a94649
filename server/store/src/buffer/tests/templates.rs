//! Templates and orders that change while rows come, and replays under any of them.

use ochre_types::ColumnName;
use ochre_types::rules::{LifecycleRules, SortRule};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;
use super::model::{Bench, DAY, Running, Written, template};
use crate::lifecycle::Demand;
use crate::object::paused::block_on;
use crate::snapshot::Stage;

const TEMPLATES: [&str; 5] = [
    r#"[{"time":"%Y-%m-%d"}]"#,
    r#"[{"tag":"host"}]"#,
    r#"[{"bucket":{"tag":"host","count":2}},{"time":"%Y"}]"#,
    r#"[{"regex":{"tag":"rack","pattern":"^([a-z])"}}]"#,
    "[]",
];

fn row(host: &'static str, time: i64) -> Written {
    Written { host, rack: "", time, usage: true, hits: false }
}

fn ranges(running: &Running) -> Vec<(String, u64, u64)> {
    let state = running.catalog.state();
    let chunks = state.chunks().map(|chunk| (chunk.partition_key.to_string(), chunk.log.first.0, chunk.log.last.0));
    chunks.collect()
}

#[tokio::test(start_paused = true)]
async fn rows_between_two_chunks_of_a_partition_are_not_passed_over() {
    let (day, host) = (template(TEMPLATES[0]), template(TEMPLATES[1]));
    let mut bench = Bench::new();
    let running = bench.start(&day).await;
    for (frames, template) in [(10, &day), (9, &host), (6, &day)] {
        for frame in 0..frames {
            bench.write(&running, template, &[row("a", frame * 100 + frames)]);
        }
    }
    running.step(Demand::FreezeAll).await;
    // Both chunks of the day are persisted; the rows between them, of the other template, are only in the log.
    for _ in 0..2 {
        bench.persist_one(&running, |chunk| chunk.coverage.log != Some((Sequence(11), Sequence(19)))).await;
    }
    let day_key = "1970-01-01".to_owned();
    assert_eq!(ranges(&running), [(day_key.clone(), 1, 10), (day_key.clone(), 20, 25)]);
    assert_eq!(running.catalog.state().low_water.map(|mark| mark.sequence), Some(Sequence(10)));
    bench.check(&running).await;

    let running = bench.start(&day).await;
    bench.check(&running).await;
    assert_eq!(running.buffer.unpersisted(), Unpersisted { chunks: 1, rows: 9 }, "20 to 25 are not taken again");
    running.step(Demand::PersistAll).await;
    assert_eq!(ranges(&running)[2], (day_key, 11, 19));
    assert_eq!(running.catalog.state().low_water.map(|mark| mark.sequence), Some(Sequence(25)));
    bench.check(&running).await;
    let running = bench.start(&host).await;
    bench.check(&running).await;
}

#[tokio::test(start_paused = true)]
async fn another_template_closes_the_open_chunks_of_its_table_only() {
    let (day, host) = (template(TEMPLATES[0]), template(TEMPLATES[1]));
    let mut bench = Bench::new();
    let running = bench.start(&day).await;
    bench.write(&running, &day, &[row("a", 0), row("b", DAY)]);
    super::apply_to(&running.buffer, "disk", 2, &day);
    bench.write(&running, &host, &[row("a", 0)]);
    let reasons = |buffer: &Buffer| {
        let mut state = buffer.state.lock();
        let partitions = state.tables.iter_mut().flat_map(|(name, table)| {
            table.partitions.values().map(|partition| (name.to_string(), partition.first_closed().map(|c| c.reason)))
        });
        partitions.collect::<Vec<_>>()
    };
    let closed = ("cpu".to_owned(), Some(FreezeReason::Template));
    let open = |table: &str| (table.to_owned(), None);
    let mut found = reasons(&running.buffer);
    found.sort_by_key(|(table, reason)| (table.clone(), reason.is_none()));
    assert_eq!(found, [closed.clone(), closed, open("cpu"), open("disk")]);
    assert_eq!(running.buffer.partition_load(), PartitionLoad { partitions: 4, rows: 4 });
}

#[tokio::test(start_paused = true)]
async fn a_sort_rule_holds_from_the_next_freeze_on_and_older_chunks_stay_readable() {
    let day = template(TEMPLATES[0]);
    let names = |text: &str| text.split(' ').map(|name| ColumnName::new(name).unwrap()).collect::<Vec<_>>();
    let rows = |time: i64| {
        let row = |(host, rack)| Written { rack, ..row(host, time) };
        [("a", "y"), ("b", "x"), ("c", "x")].map(row)
    };
    let mut bench = Bench::new();
    let running = bench.start(&day).await;
    bench.write(&running, &day, &rows(0));
    running.step(Demand::FreezeAll).await;
    bench.write(&running, &day, &rows(1));
    running.sort_by(SortRule::Tags(names("nothing host")));
    running.step(Demand::PersistAll).await;
    let orders = |running: &Running| {
        let state = running.catalog.state();
        state.chunks().map(|chunk| (chunk.sorted_by.version, chunk.sorted_by.columns.to_vec())).collect::<Vec<_>>()
    };
    let (automatic, by_rule) = ((1, names("rack host")), (2, names("host rack")));
    assert_eq!(orders(&running), [automatic.clone(), by_rule.clone()]);
    let versions = running.catalog.state().tables["cpu"].sort_orders.clone();
    assert_eq!(
        versions.into_iter().map(|(v, tags)| (v, tags.to_vec())).collect::<Vec<_>>(),
        [automatic, by_rule.clone()]
    );

    let in_order = |running: &Running| {
        let snapshot = running.buffer.snapshot("cpu").unwrap();
        assert_eq!(snapshot.order.tags(), by_rule.1);
        snapshot.chunks.iter().map(|chunk| (chunk.stage, chunk.in_order, chunk.in_memory())).collect::<Vec<_>>()
    };
    assert_eq!(in_order(&running), [(Stage::Persisted, false, true), (Stage::Persisted, true, true)]);
    bench.check(&running).await;
    running.sort_by(SortRule::Auto);
    bench.write(&running, &day, &rows(2));
    running.step(Demand::PersistAll).await;
    assert_eq!(orders(&running)[2], by_rule, "by itself, the order stays");

    let running = bench.start(&day).await;
    let stored = |in_order| (Stage::Persisted, in_order, false);
    assert_eq!(in_order(&running), [stored(false), stored(true), stored(true)]);
    bench.check(&running).await;
}

#[tokio::test(start_paused = true)]
async fn new_rules_are_followed_at_once() {
    let day = template(TEMPLATES[0]);
    let mut bench = Bench::new();
    let running = bench.start(&day).await;
    bench.write(&running, &day, &[row("a", 0)]);
    let now = bench.env.clock.monotonic();
    let stage = || running.buffer.snapshot("cpu").unwrap().chunks[0].stage;
    let change = async {
        tokio::task::yield_now().await;
        assert_eq!(stage(), Stage::Open);
        let rules = BufferRules { freeze_after: Duration::ZERO, ..BufferRules::default() };
        running.lifecycle.set_rules(rules, LifecycleRules::default());
        tokio::task::yield_now().await;
    };
    tokio::select! {
        biased;
        () = running.lifecycle.clone().run() => panic!("it runs for ever"),
        () = change => {}
    }
    assert_eq!((stage(), bench.env.clock.monotonic()), (Stage::Frozen, now));
}

#[derive(Debug, Clone)]
enum Act {
    /// Maybe another template from now on, and rows.
    Write(Option<usize>, Vec<Written>),
    Sort(usize),
    Freeze,
    /// Freezes, and persists the oldest chunk with an even or odd number.
    PersistOne(u64),
    PersistAll,
    Evict,
    /// A crash, and a start under a template.
    Crash(usize),
}

fn written() -> impl Strategy<Value = Written> {
    let times = prop_oneof![4 => 0..8i64, 1 => select(vec![DAY, DAY + 1, 400 * DAY])];
    let tags = (select(vec!["", "a", "b", "c"]), select(vec!["", "x1", "x2", "y"]));
    (tags, times, 0..3u8).prop_map(|((host, rack), time, fields)| Written {
        host,
        rack,
        time,
        usage: fields != 0,
        hits: fields != 1,
    })
}

/// Mostly two that make few partitions, so that one has chunks from before and after the other was in force.
fn any_template() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 3 => Just(TEMPLATES.len() - 1), 1 => 0..TEMPLATES.len()]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (option::weighted(0.6, any_template()), vec(written(), 1..3)).prop_map(|(t, rows)| Act::Write(t, rows)),
        1 => (0..4usize).prop_map(Act::Sort),
        1 => Just(Act::Freeze),
        6 => (0..2u64).prop_map(Act::PersistOne),
        1 => Just(Act::PersistAll),
        1 => Just(Act::Evict),
        3 => any_template().prop_map(Act::Crash),
    ]
}

fn sort_rule(index: usize) -> SortRule {
    let lists: [&[&str]; 4] = [&[], &["host"], &["rack", "host"], &["nothing", "rack"]];
    match lists[index] {
        [] => SortRule::Auto,
        tags => SortRule::Tags(tags.iter().map(|tag| ColumnName::new(*tag).unwrap()).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_row_is_there_once_whatever_templates_and_orders_come_and_go(acts in vec(act(), 1..50)) {
        block_on(async {
            let mut bench = Bench::new();
            let (mut chosen, mut sort) = (template(TEMPLATES[0]), SortRule::Auto);
            let mut running = bench.start(&chosen).await;
            for act in acts {
                match act {
                    Act::Write(change, rows) => {
                        chosen = change.map_or(chosen, |index| template(TEMPLATES[index]));
                        bench.write(&running, &chosen, &rows);
                    }
                    Act::Sort(index) => {
                        sort = sort_rule(index);
                        running.sort_by(sort.clone());
                    }
                    Act::Freeze => running.step(Demand::FreezeAll).await,
                    Act::PersistOne(number) => {
                        running.step(Demand::FreezeAll).await;
                        bench.persist_one(&running, |chunk| chunk.id.counter % 2 == number).await;
                    }
                    Act::PersistAll => running.step(Demand::PersistAll).await,
                    Act::Evict => drop(running.buffer.evict_resident(|| false)),
                    Act::Crash(index) => {
                        bench.check(&running).await;
                        chosen = template(TEMPLATES[index]);
                        running = bench.start(&chosen).await;
                        running.sort_by(sort.clone());
                        bench.check(&running).await;
                    }
                }
            }
            running.step(Demand::PersistAll).await;
            bench.check(&running).await;
            assert_eq!(running.buffer.partition_load(), PartitionLoad::default());
            assert_eq!(running.buffer.low_water_without(None).sequence, running.buffer.applied_through());
            running.buffer.evict_resident(|| false);
            bench.check(&running).await;
        });
    }
}

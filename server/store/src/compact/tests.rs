//! Jobs change no answer, whatever fails on the way.

mod bench;
mod faults;

use ochre_types::rules::{RetainRule, RetainRules, SortRule};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use self::bench::{Bench, DAY, START, Written};
use crate::lifecycle::Demand;
use crate::object::paused::block_on;

const TEMPLATES: [&str; 3] =
    [r#"[{"time":"%Y-%m-%d"}]"#, r#"[{"bucket":{"tag":"host","count":2}},{"time":"%Y"}]"#, "[]"];

const HOUR: i64 = DAY / 24;

fn row(host: &'static str, at: i64, fields: &[&'static str]) -> Written {
    Written { host, rack: "", time: START + at, fields: fields.to_vec() }
}

/// What happens to a table.
#[derive(Debug, Clone)]
enum Action {
    Write(Vec<Written>),
    Delete {
        host: Option<&'static str>,
        time: (i64, i64),
    },
    Freeze,
    Persist,
    /// Joins everything that can be joined.
    Compact,
    /// Does what is due.
    Upkeep,
    Template(usize),
    SortByRack(bool),
    /// Keeps so many days.
    Retain(u64),
    Restart,
}

#[tokio::test(start_paused = true)]
async fn versions_become_one_row_and_lose_their_stamps() {
    let mut bench = Bench::new();
    let running = bench.start(TEMPLATES[0]).await;
    for (host, fields) in [("b", ["usage"]), ("a", ["usage"]), ("b", ["hits"]), ("a", ["usage"])] {
        bench.write(&running, &[row(host, 0, &fields), row("c", 7, &fields)]);
        running.lifecycle.step(Demand::PersistAll).await.unwrap();
    }
    assert_eq!(bench.chunks(&running), [2, 2, 2, 2]);
    bench.check(&running).await;
    let report = bench.compact(&running).await;
    assert_eq!((report.joined.chunks_in, report.joined.chunks_out, report.waiting), (4, 1, 0));
    assert_eq!((report.joined.rows_in, report.joined.rows_out), (8, 3));
    bench.check(&running).await;
    let state = running.catalog.state();
    let chunk = state.chunks().next().unwrap();
    let boundary = Some(ochre_types::Hlc(1_005));
    assert_eq!((chunk.rows, chunk.level, chunk.unique_keys, chunk.settled), (3, 1, true, boundary));
    assert_eq!((chunk.log.first.0, chunk.log.last.0), (1, 4));
    assert_eq!(chunk.stats[0].range, Some(("a".into(), "c".into())));
    assert_eq!(state.removed.len(), 4);
    let verified = bench.columns_of(&chunk.object).await;
    assert_eq!(verified, ["host", "hits", "usage", "time"]);
    // A later version is folded with it, and settled again.
    bench.write(&running, &[row("b", 0, &["usage"])]);
    bench.check(&running).await;
    running.lifecycle.step(Demand::PersistAll).await.unwrap();
    bench.check(&running).await;
    bench.compact(&running).await;
    bench.check(&running).await;
    let running = bench.start(TEMPLATES[0]).await;
    bench.check(&running).await;
    assert_eq!(bench.chunks(&running), [3]);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_is_gone_and_what_was_written_anew_stays() {
    let mut bench = Bench::new();
    let running = bench.start(TEMPLATES[2]).await;
    bench.write(&running, &[row("a", 0, &["usage", "hits"]), row("b", 0, &["usage"])]);
    running.lifecycle.step(Demand::PersistAll).await.unwrap();
    bench.delete(&running, Some("a"), (0, DAY));
    bench.write(&running, &[row("a", 0, &["hits"]), row("b", 5, &["usage"])]);
    bench.check(&running).await;
    running.lifecycle.step(Demand::PersistAll).await.unwrap();
    bench.check(&running).await;
    bench.compact(&running).await;
    bench.check(&running).await;
    let state = running.catalog.state();
    let chunk = state.chunks().next().unwrap();
    assert_eq!((state.chunks().count(), chunk.rows, chunk.applied.len()), (1, 3, 1));
    // The catalog's deletion never acts on it again, though it is older than the boundary.
    let running = bench.start(TEMPLATES[2]).await;
    bench.check(&running).await;
    bench.delete(&running, None, (-DAY, DAY));
    running.lifecycle.step(Demand::PersistAll).await.unwrap();
    bench.check(&running).await;
    running.lifecycle.upkeep_step().await;
    assert_eq!(running.catalog.state().chunks().count(), 0, "a deletion is carried out without being asked for");
    bench.check(&running).await;
}

#[tokio::test(start_paused = true)]
async fn old_rows_go_and_objects_follow_after_the_grace() {
    let mut bench = Bench::new();
    let running = bench.start(TEMPLATES[0]).await;
    for day in 0..3 {
        let at = (day - 3) * DAY;
        bench.write(&running, &[row("a", at, &["usage"]), row("b", at + HOUR, &["usage"])]);
        running.lifecycle.step(Demand::PersistAll).await.unwrap();
    }
    assert_eq!(bench.objects().await, 3);
    bench.retain(&running, RetainRules { rules: vec![rule(2 * DAY - HOUR / 3 * 2)] });
    bench.check(&running).await;
    running.lifecycle.upkeep_step().await;
    // The first day is gone as a whole, and of the second the first hour.
    assert_eq!(bench.chunks(&running), [1, 2]);
    bench.check(&running).await;
    assert_eq!(bench.objects().await, 4, "objects stay for the grace");
    bench.env.clock.sleep(std::time::Duration::from_secs(3_601)).await;
    running.lifecycle.upkeep_step().await;
    // An hour later the rest of the second day is too old as well; its object stays for now.
    assert_eq!((bench.objects().await, running.catalog.state().removed.len()), (2, 1));
    assert_eq!(bench.chunks(&running), [2]);
    bench.check(&running).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_after_joining_under_other_templates_brings_nothing_twice() {
    let mut bench = Bench::new();
    let running = bench.start(TEMPLATES[0]).await;
    for turn in 0..6 {
        running.partition_by(&mut bench, TEMPLATES[turn % 3]);
        bench.write(&running, &[row("a", 0, &["usage"]), row("b", DAY, &["hits"])]);
        running.lifecycle.step(Demand::PersistAll).await.unwrap();
    }
    bench.compact(&running).await;
    bench.check(&running).await;
    // Frames above the mark, under each template.
    for template in TEMPLATES {
        running.partition_by(&mut bench, template);
        bench.write(&running, &[row("a", 0, &["hits"]), row("c", DAY, &["hits"])]);
        running.lifecycle.step(Demand::FreezeAll).await.unwrap();
    }
    bench.persist_one(&running).await;
    for template in TEMPLATES {
        let running = bench.start(template).await;
        bench.check(&running).await;
        bench.compact(&running).await;
        bench.check(&running).await;
    }
}

fn rule(nanos: i64) -> RetainRule {
    RetainRule { tables: "*".parse().unwrap(), after: Some(std::time::Duration::from_nanos(nanos as u64)) }
}

fn written() -> impl Strategy<Value = Written> {
    let fields = select(vec![vec!["usage"], vec!["hits"], vec!["usage", "hits"], vec![]]);
    let time = (-3..1i64, 0..3i64).prop_map(|(day, offset)| START + day * DAY + offset * DAY / 3);
    (select(vec!["", "a", "b", "c"]), select(vec!["", "r", "s"]), time, fields)
        .prop_map(|(host, rack, time, fields)| Written { host, rack, time, fields })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => vec(written(), 1..6).prop_map(Action::Write),
        2 => (select(vec![None, Some("a"), Some("b")]), -3..1i64, 0..2i64).prop_map(|(host, day, days)| {
            Action::Delete { host, time: (day * DAY, (day + days) * DAY + DAY / 2) }
        }),
        1 => Just(Action::Freeze),
        5 => Just(Action::Persist),
        3 => Just(Action::Compact),
        2 => Just(Action::Upkeep),
        1 => (0..3usize).prop_map(Action::Template),
        1 => any::<bool>().prop_map(Action::SortByRack),
        1 => (1..5u64).prop_map(Action::Retain),
        1 => Just(Action::Restart),
    ]
}

async fn answers_stay(actions: Vec<Action>) {
    let mut bench = Bench::new();
    let mut running = bench.start(TEMPLATES[0]).await;
    for action in actions {
        match action {
            Action::Write(rows) => bench.write(&running, &rows),
            Action::Delete { host, time } => bench.delete(&running, host, time),
            Action::Freeze => running.lifecycle.step(Demand::FreezeAll).await.unwrap(),
            Action::Persist => running.lifecycle.step(Demand::PersistAll).await.unwrap(),
            Action::Compact => drop(bench.compact(&running).await),
            Action::Upkeep => running.lifecycle.upkeep_step().await,
            Action::Template(which) => running.partition_by(&mut bench, TEMPLATES[which]),
            Action::SortByRack(first) => {
                let rack = ochre_types::ColumnName::new("rack").unwrap();
                bench.sort(&running, if first { SortRule::Tags(vec![rack]) } else { SortRule::Auto });
            }
            Action::Retain(days) => bench.retain_days(&running, days),
            Action::Restart => running = bench.start(TEMPLATES[0]).await,
        }
        bench.check(&running).await;
    }
    running.lifecycle.step(Demand::PersistAll).await.unwrap();
    bench.compact(&running).await;
    bench.check(&running).await;
    let running = bench.start(TEMPLATES[0]).await;
    bench.check(&running).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_done_to_chunks_changes_an_answer(actions in vec(action(), 1..24)) {
        block_on(answers_stay(actions));
    }
}

//! Any sequence of writes, deletes, drops, undrops, changes of rules, freezes, persists, evictions and restarts answers like a plain ordered map.
//!
//! The batches are those of `ochre_batch::testing`: duplicate keys, partial rows, times out of order and extreme, every
//! type with its odd values. Of each batch only the columns of one type a name are taken. Lines beside them show which
//! rows the rules keep. Partition rules have every kind of part and several table patterns; they change at any moment.
//!
//! Environment: `OCHRE_TEST_TIER` decides over the number of cases: `quick` 16, `ci` 64, `full` 2,000; and of changes of
//! templates between writes: `quick` 25, `ci` 100, `full` 1,000.

mod deletes;
mod map;
mod node;
mod questions;
mod rules;

use deletes::Delete;
use map::Map;
use node::Machine;
use ochre_batch::testing::{batches, column, plain_rows, rows_of};
use ochre_batch::{Batch, TableRows};
use ochre_database::WriteError;
use ochre_ingest::line_protocol::{Flavour, Options};
use ochre_types::{ColumnKind, FieldType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use questions::check_table;
use rules::{Keep, Line, Ruled, lines, rules};

/// Changes of templates between two checks of everything.
const CHANGES_BETWEEN_CHECKS: usize = 12;

/// One thing that happens to a node.
#[derive(Debug, Clone)]
enum Step {
    Write(Batch),
    Lines(Vec<Line>),
    Rule(Box<Ruled>),
    Delete(Delete),
    Freeze,
    Persist,
    Evict,
    Crash,
    Restart,
    /// Everything is asked.
    Check,
}

fn write() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => batches(8).prop_map(|batch| Step::Write(one_type_a_name(&batch))),
        1 => lines().prop_map(Step::Lines),
    ]
}

fn move_on() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Freeze),
        2 => Just(Step::Persist),
        1 => Just(Step::Evict),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = rules().prop_map(|ruled| Step::Rule(Box::new(ruled)));
    let delete = deletes::deletes().prop_map(Step::Delete);
    vec(prop_oneof![9 => write(), 3 => change, 4 => delete, 7 => move_on()], 1..16)
}

/// Each time other rules, a write or two, and often something that moves chunks on.
fn many_changes(changes: usize) -> impl Strategy<Value = Vec<Step>> {
    let change = rules().prop_map(|mut ruled| {
        // What refuses whole writes leaves nothing to see.
        ruled.rules.lifecycle.mutable = true;
        Step::Rule(Box::new(ruled))
    });
    let one = (change, vec(write(), 1..3), proptest::option::weighted(0.7, move_on()));
    vec(one, changes).prop_map(|changes| {
        let mut steps = Vec::new();
        for (number, (change, writes, then)) in changes.into_iter().enumerate() {
            steps.push(change);
            steps.extend(writes);
            steps.extend(then);
            if (number + 1) % CHANGES_BETWEEN_CHECKS == 0 {
                steps.push(Step::Check);
            }
        }
        steps
    })
}

/// Without the integers of the column that has floats as well: a second type of a name is refused by the schema.
fn one_type_a_name(batch: &Batch) -> Batch {
    let second = column("usage", ColumnKind::Field(FieldType::Integer));
    let tables = batch.tables().iter().map(|part| {
        if part.rows.array(&second).is_none() {
            return part.clone();
        }
        let mut plain = plain_rows(&part.rows);
        plain.iter_mut().for_each(|row| drop(row.remove(&second)));
        let columns: Vec<_> = part.rows.columns().iter().filter(|column| **column != second).cloned().collect();
        TableRows { table: part.table.clone(), rows: rows_of(&columns, &plain) }
    });
    Batch::new(tables.collect())
}

/// One of three numbers, by the tier.
fn by_tier<T>(quick: T, ci: T, full: T) -> T {
    match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("quick") => quick,
        Ok("full") => full,
        _ => ci,
    }
}

fn must_hold(cases: u32, max_shrink_iters: u32, steps: impl Strategy<Value = Vec<Step>>) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let result = TestRunner::new(config).run(&steps, |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime in this thread can be made").block_on(check(steps))
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn any_sequence_answers_like_a_map() {
    must_hold(by_tier(16, 64, 2_000), 300, steps());
}

#[test]
fn many_changes_of_templates_between_writes_answer_like_a_map() {
    let (databases, changes) = by_tier((1, 25), (4, 25), (20, 50));
    must_hold(databases, 100, many_changes(changes));
}

async fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut story = Story { machine: Machine::start().await, map: Map::default(), ruled: Ruled::default() };
    for step in steps {
        story.tell(step).await?;
    }
    story.check().await
}

/// A machine, and what is expected of it.
struct Story {
    machine: Machine,
    map: Map,
    ruled: Ruled,
}

impl Story {
    async fn tell(&mut self, step: Step) -> Result<(), TestCaseError> {
        let database = self.machine.database();
        match step {
            Step::Write(batch) if batch.is_empty() => {}
            Step::Write(batch) => {
                let written = database.write(batch.clone()).await;
                if self.is_taken(&written)? {
                    self.map.write(&batch);
                }
            }
            Step::Lines(lines) => self.write_lines(&lines).await?,
            Step::Rule(ruled) => self.rule(*ruled).await?,
            Step::Delete(delete) => self.delete(&delete).await?,
            Step::Freeze => database.freeze_all().await.expect("nothing is in the way"),
            Step::Persist => database.persist_all().await.expect("nothing is in the way"),
            Step::Evict => database.evict(),
            Step::Crash => self.machine.crash().await,
            Step::Restart => self.machine.restart().await,
            Step::Check => self.check().await?,
        }
        prop_assert_eq!(&*self.machine.database().rules(), &self.ruled.rules);
        Ok(())
    }

    /// Whether the rules take writes at all; what became of one must agree.
    fn is_taken<T>(&self, written: &Result<T, WriteError>) -> Result<bool, TestCaseError> {
        let refused_by_rules = matches!(written, Err(WriteError::ReadOnly(_) | WriteError::NotStored(_)));
        let takes_any = self.ruled.rules.lifecycle.mutable && self.ruled.keep != Keep::None;
        prop_assert_eq!(refused_by_rules, !takes_any);
        if let Err(error) = written
            && takes_any
        {
            return Err(TestCaseError::fail(error.to_string()));
        }
        Ok(takes_any)
    }

    async fn write_lines(&mut self, lines: &[Line]) -> Result<(), TestCaseError> {
        let body: Vec<String> = lines.iter().map(Line::text).collect();
        let options = Options { flavour: Flavour::V3, ..Options::default() };
        let written = self.machine.database().write_lines(body.join("\n").into(), &options).await;
        if !self.is_taken(&written)? {
            return Ok(());
        }
        let kept: Vec<&Line> = lines.iter().filter(|line| self.ruled.keep.keeps(line)).collect();
        let counts = written.map(|written| (written.lines, written.rejected_total)).unwrap_or_default();
        prop_assert_eq!(counts, (kept.len(), lines.len() - kept.len()), "{:?} of {:?}", self.ruled.keep, lines);
        kept.into_iter().for_each(|line| line.put(&mut self.map));
        Ok(())
    }

    async fn rule(&mut self, ruled: Ruled) -> Result<(), TestCaseError> {
        let before = self.machine.database().status().rules_generation;
        let applied = self.machine.apply(&ruled.rules).await;
        let applied = applied.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let differs = ruled.rules != self.ruled.rules;
        prop_assert_eq!((applied.generation, applied.changes.is_empty()), (before + u64::from(differs), !differs));
        self.ruled = ruled;
        Ok(())
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        for (name, table) in &self.map.tables {
            check_table(&self.machine, name, table).await?;
        }
        self.check_dropped().await
    }
}

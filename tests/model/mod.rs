//! Any sequence of writes, freezes, persists, evictions and restarts answers like a plain ordered map.
//!
//! The batches are those of `ochre_batch::testing`: duplicate keys, partial rows, times out of order and extreme, every
//! type with its odd values. Of each batch only the columns of one type a name are taken.
//!
//! Environment: `OCHRE_TEST_TIER` decides over the number of cases: `quick` 16, `ci` 64, `full` 2,000.

mod map;
mod node;

use map::{Map, Table};
use node::{Machine, database_name};
use ochre_batch::testing::{batches, column, plain_rows, rows_of};
use ochre_batch::{Batch, TableRows};
use ochre_types::{ColumnKind, FieldType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::sim::answers::{Cell, Row, ask, ask_number};

/// One thing that happens to a node.
#[derive(Debug, Clone)]
enum Step {
    Write(Batch),
    Freeze,
    Persist,
    Evict,
    Crash,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => batches(8).prop_map(|batch| Step::Write(one_type_a_name(&batch))),
        2 => Just(Step::Freeze),
        2 => Just(Step::Persist),
        1 => Just(Step::Evict),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..14)
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

#[test]
fn any_sequence_answers_like_a_map() {
    let cases = match std::env::var("OCHRE_TEST_TIER").as_deref() {
        Ok("quick") => 16,
        Ok("full") => 2_000,
        _ => 64,
    };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let result = TestRunner::new(config).run(&steps(), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime in this thread can be made").block_on(check(steps))
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

async fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut machine = Machine::start().await;
    let mut map = Map::default();
    for step in steps {
        let database = machine.database();
        match step {
            Step::Write(batch) if batch.is_empty() => {}
            Step::Write(batch) => {
                database.write(batch.clone()).await.map_err(|error| TestCaseError::fail(error.to_string()))?;
                map.write(&batch);
            }
            Step::Freeze => database.freeze_all().await.expect("nothing is in the way"),
            Step::Persist => database.persist_all().await.expect("nothing is in the way"),
            Step::Evict => database.evict(),
            Step::Crash => machine.crash().await,
            Step::Restart => machine.restart().await,
        }
    }
    for (name, table) in &map.tables {
        check_table(&machine, name, table).await?;
    }
    Ok(())
}

async fn check_table(machine: &Machine, name: &str, table: &Table) -> Result<(), TestCaseError> {
    let order: String = table.tags.iter().map(|tag| format!(", \"{tag}\" ASC NULLS LAST")).collect();
    let all = table.select(|_| true);
    same(machine, &format!("SELECT * FROM \"{name}\" ORDER BY time{order}"), &all).await?;
    let count = number(machine, &format!("SELECT count(*) FROM \"{name}\"")).await;
    prop_assert_eq!(count, all.len() as i64, "count(*) of {}", name);
    for field in &table.fields {
        let with = table.select(|row| row.contains_key(field));
        let count = number(machine, &format!("SELECT count(\"{field}\") FROM \"{name}\"")).await;
        prop_assert_eq!(count, with.len() as i64, "count of {} in {}", field, name);
        let latest = with.iter().filter_map(|row| row.get("time")).max();
        let last: Vec<Row> =
            with.iter().find(|row| row.get("time") == latest).map(|row| only(row, field)).into_iter().collect();
        let sql = format!(
            "SELECT \"{field}\" FROM \"{name}\" WHERE \"{field}\" IS NOT NULL ORDER BY time DESC{order} LIMIT 1"
        );
        same(machine, &sql, &last).await?;
    }
    check_filters(machine, name, table, &order).await
}

async fn check_filters(machine: &Machine, name: &str, table: &Table, order: &str) -> Result<(), TestCaseError> {
    let day = 1_700_086_400_000_000_000;
    let later = table.select(|row| row.get("time") >= Some(&Cell::Time(day)));
    let literal = format!("arrow_cast({day}, 'Timestamp(Nanosecond, None)')");
    same(machine, &format!("SELECT * FROM \"{name}\" WHERE time >= {literal} ORDER BY time{order}"), &later).await?;
    if table.tags.contains("host") {
        let on_a = table.select(|row| row.get("host") == Some(&Cell::Text("a".to_owned())));
        same(machine, &format!("SELECT * FROM \"{name}\" WHERE host = 'a' ORDER BY time{order}"), &on_a).await?;
        let nowhere = table.select(|row| !row.contains_key("host"));
        let sql = format!("SELECT * FROM \"{name}\" WHERE host IS NULL ORDER BY time{order}");
        same(machine, &sql, &nowhere).await?;
    }
    if table.fields.contains("count") {
        let positive = table.select(|row| matches!(row.get("count"), Some(Cell::Integer(count)) if *count > 0));
        let sql = format!("SELECT * FROM \"{name}\" WHERE \"count\" > 0 ORDER BY time{order}");
        same(machine, &sql, &positive).await?;
    }
    Ok(())
}

fn only(row: &Row, column: &str) -> Row {
    row.iter().filter(|(name, _)| *name == column).map(|(name, cell)| (name.clone(), cell.clone())).collect()
}

async fn same(machine: &Machine, sql: &str, expected: &[Row]) -> Result<(), TestCaseError> {
    let answer = ask(machine.node(), &database_name(), sql).await;
    let answer = answer.map_err(|error| TestCaseError::fail(format!("{sql}: {error}")))?;
    prop_assert_eq!(&answer, expected, "{}", sql);
    Ok(())
}

async fn number(machine: &Machine, sql: &str) -> i64 {
    ask_number(machine.node(), &database_name(), sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

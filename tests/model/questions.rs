//! Questions about a table whose answers a plain map knows: everything; by time; by tags, where chunks are left out by
//! their keys.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::map::Table;
use super::node::{Machine, database_name};
use crate::sim::answers::{Cell, Row, ask, ask_number};

/// Asks everything of one table.
pub async fn check_table(machine: &Machine, name: &str, table: &Table) -> Result<(), TestCaseError> {
    let asked = Asked::new(machine, name, table);
    let all = table.select(|_| true);
    asked.same("TRUE", |_| true).await?;
    let count = asked.number("count(*)").await;
    prop_assert_eq!(count, all.len() as i64, "count(*) of {}", name);
    for field in &table.fields {
        let with = table.select(|row| row.contains_key(field));
        let count = asked.number(&format!("count(\"{field}\")")).await;
        prop_assert_eq!(count, with.len() as i64, "count of {} in {}", field, name);
        asked.last(field, &with).await?;
    }
    if table.fields.contains("count") {
        asked.same("\"count\" > 0", |row| matches!(row.get("count"), Some(Cell::Integer(count)) if *count > 0)).await?;
    }
    asked.by_time().await?;
    for (index, tag) in table.tags.iter().enumerate() {
        asked.by_tag(tag, index + all.len()).await?;
    }
    Ok(())
}

struct Asked<'a> {
    machine: &'a Machine,
    name: &'a str,
    table: &'a Table,
    /// Time, and every tag.
    order: String,
}

impl<'a> Asked<'a> {
    fn new(machine: &'a Machine, name: &'a str, table: &'a Table) -> Self {
        let tags: String = table.tags.iter().map(|tag| format!(", \"{tag}\" ASC NULLS LAST")).collect();
        Self { machine, name, table, order: format!("time{tags}") }
    }

    async fn rows(&self, sql: &str, expected: &[Row]) -> Result<(), TestCaseError> {
        let answer = ask(self.machine.node(), &database_name(), sql).await;
        let answer = answer.map_err(|error| TestCaseError::fail(format!("{sql}: {error}")))?;
        prop_assert_eq!(&answer, expected, "{}", sql);
        Ok(())
    }

    async fn same(&self, filter: &str, passes: impl Fn(&Row) -> bool) -> Result<(), TestCaseError> {
        let sql = format!("SELECT * FROM \"{}\" WHERE {filter} ORDER BY {}", self.name, self.order);
        self.rows(&sql, &self.table.select(passes)).await
    }

    async fn number(&self, what: &str) -> i64 {
        let sql = format!("SELECT {what} FROM \"{}\"", self.name);
        ask_number(self.machine.node(), &database_name(), &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The latest value of a field; `with` are the rows that have one.
    async fn last(&self, field: &str, with: &[Row]) -> Result<(), TestCaseError> {
        let latest = with.iter().filter_map(|row| row.get("time")).max();
        let last = with.iter().find(|row| row.get("time") == latest);
        let last: Vec<Row> = last.map(|row| only(row, field)).into_iter().collect();
        let order = self.order.replacen("time", "time DESC", 1);
        let name = self.name;
        let sql = format!("SELECT \"{field}\" FROM \"{name}\" WHERE \"{field}\" IS NOT NULL ORDER BY {order} LIMIT 1");
        self.rows(&sql, &last).await
    }

    async fn by_time(&self) -> Result<(), TestCaseError> {
        let times = self.table.times();
        let (Some(first), Some(middle)) = (times.first(), times.get(times.len() / 2)) else { return Ok(()) };
        let sql = |time: i64| format!("arrow_cast({time}, 'Timestamp(Nanosecond, None)')");
        let is = |row: &Row, within: &dyn Fn(i64) -> bool| matches!(row["time"], Cell::Time(time) if within(time));
        self.same(&format!("time >= {}", sql(*middle)), |row| is(row, &|time| time >= *middle)).await?;
        self.same(&format!("time < {}", sql(*middle)), |row| is(row, &|time| time < *middle)).await?;
        let between = format!("time BETWEEN {} AND {}", sql(*first), sql(*middle));
        self.same(&between, |row| is(row, &|time| (*first..=*middle).contains(&time))).await
    }

    /// One of the ways in which a filter may speak of a tag; which, `turn` says.
    async fn by_tag(&self, tag: &str, turn: usize) -> Result<(), TestCaseError> {
        let values = self.table.tag_values(tag);
        let pick = |nth: usize| values.get((turn / 7 + nth) % values.len().max(1)).copied().unwrap_or("nobody");
        let (one, other) = (pick(0), pick(1));
        let (sql_one, sql_other, column) = (quoted(one), quoted(other), format!("\"{tag}\""));
        let has = |row: &Row, value: &str| row.get(tag) == Some(&Cell::Text(value.to_owned()));
        match turn % 7 {
            0 => self.same(&format!("{column} = {sql_one}"), |row| has(row, one)).await,
            1 => {
                let filter = format!("{column} IN ({sql_one}, {sql_other}, 'nobody')");
                self.same(&filter, |row| has(row, one) || has(row, other)).await
            }
            2 => self.same(&format!("{column} IS NULL"), |row| !row.contains_key(tag)).await,
            3 => {
                let filter = format!("{column} IS NULL OR {column} = {sql_one}");
                self.same(&filter, |row| !row.contains_key(tag) || has(row, one)).await
            }
            4 => {
                let filter = format!("{column} <> {sql_one}");
                self.same(&filter, |row| row.contains_key(tag) && !has(row, one)).await
            }
            5 => {
                let times = self.table.times();
                let time = times[times.len() / 2];
                let filter =
                    format!("{column} = {sql_one} AND time <= arrow_cast({time}, 'Timestamp(Nanosecond, None)')");
                self.same(&filter, |row| has(row, one) && row["time"] <= Cell::Time(time)).await
            }
            // Longer than every value that begins so, and as long as a part of a key may be.
            _ => {
                let longer = one.to_owned() + &"r".repeat(200);
                let filter = format!("{column} = {}", quoted(&longer));
                self.same(&filter, |row| has(row, &longer)).await
            }
        }
    }
}

fn only(row: &Row, column: &str) -> Row {
    row.iter().filter(|(name, _)| *name == column).map(|(name, cell)| (name.clone(), cell.clone())).collect()
}

/// A text as SQL writes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

//! Who deletes rows, and drops tables and brings them back.

use std::time::Duration;

use ochre_database::DeleteError;
use ochre_types::TableName;
use ochre_types::matching::RowMatch;
use rand::Rng;

use super::client::{Client, refused_or_unknown};
use super::deletions::Scope;
use super::journal::Outcome;
use super::server::World;

const DAY: i64 = 86_400_000_000_000;
/// The first day that rows have.
const FIRST_DAY: i64 = 19_675;

impl Client {
    /// Deletes until it is stopped.
    pub async fn delete_on(mut self) {
        loop {
            self.pause().await;
            self.pause().await;
            let table = self.rng.random_range(0..self.plan.tables);
            let database = self.rng.random_range(0..self.plan.databases);
            match self.rng.random_range(0..10) {
                0 if self.plan.drops => self.delete(self.drop_of(database, table)).await,
                1..3 if self.plan.drops => self.undrop(database, table).await,
                _ => {
                    let scope = self.scope(database, table);
                    self.delete(scope).await;
                }
            }
        }
    }

    fn drop_of(&self, database: usize, table: usize) -> Scope {
        Scope { database, table, days: None, host: None, is_drop: true }
    }

    fn scope(&mut self, database: usize, table: usize) -> Scope {
        let rng = &mut self.rng;
        let days = rng.random_bool(0.6).then(|| {
            let first = rng.random_range(0..self.plan.days);
            (FIRST_DAY + first, FIRST_DAY + rng.random_range(first..self.plan.days))
        });
        let host = rng.random_bool(0.6).then(|| rng.random_range(0..self.plan.hosts) + 1);
        Scope { database, table, days, host, is_drop: false }
    }

    /// One deletion.
    async fn delete(&mut self, scope: Scope) {
        let Some(database) = self.node.database(&World::database(scope.database)) else { return };
        let table = TableName::new(World::table(scope.table)).expect("this name is legal");
        let id = self.journal.lock().begin_deletion(self.home, self.claim, scope.clone());
        let patience = self.patience();
        let asked = async {
            if scope.is_drop {
                return database.drop_table(&table).await;
            }
            let predicate = scope.host.map(|host| format!("host = 'h{}'", host - 1));
            let rows = RowMatch {
                tables: vec![table.as_str().parse().expect("a name is a pattern")],
                predicate: predicate.map(|text| text.parse().expect("this predicate is legal")),
            };
            let time = scope.days.map_or((i64::MIN, i64::MAX), |(first, last)| (first * DAY, (last + 1) * DAY - 1));
            database.delete_rows(rows, time).await
        };
        let answer = tokio::select! {
            biased;
            answer = asked => Some(answer),
            () = self.clock.sleep(patience) => None,
        };
        let outcome = match &answer {
            None => Outcome::Unknown,
            Some(Ok(_)) => Outcome::Acked,
            Some(Err(DeleteError::Write(error))) => refused_or_unknown(error),
            Some(Err(_)) => Outcome::Refused,
        };
        self.trace.note(format_args!("delete {id} {scope:?} on {}: {outcome:?}", self.home));
        self.journal.lock().end_deletion(id, outcome);
    }

    /// Takes the last drop of a table back.
    async fn undrop(&mut self, database: usize, table: usize) {
        let Some(served) = self.node.database(&World::database(database)) else { return };
        let name = TableName::new(World::table(table)).expect("this name is legal");
        let (ids, begun) = self.journal.lock().begin_undrop(database, table);
        let patience = self.patience();
        let answer = tokio::select! {
            biased;
            answer = served.undrop_table(&name) => Some(answer.is_ok()),
            () = self.clock.sleep(patience) => None,
        };
        self.trace.note(format_args!("undrop {database}.{table} on {}: {answer:?}", self.home));
        if answer == Some(true) {
            self.journal.lock().end_undrop(&ids, self.home, database, begun);
        }
    }

    fn patience(&mut self) -> Duration {
        let gives_up = self.rng.random_ratio(self.plan.given_up, 100);
        Duration::from_millis(if gives_up { self.rng.random_range(0..50) } else { 3_600_000 })
    }
}

//! Reading a table, and checking all that can be said of the answer.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ochre_database::Node;
use ochre_query::{QueryError, QueryErrorKind};
use ochre_types::DatabaseName;
use parking_lot::Mutex;

use super::answers::{Cell, Row, ask, ask_number};
use super::journal::{Journal, Violation};
use super::server::World;
use super::trace::Trace;

/// Reads a table and checks the answer. Unless `strict`, a query may fail. Returns the rows.
pub async fn check_table(
    node: &Arc<Node>,
    journal: &Mutex<Journal>,
    trace: &Trace,
    home: usize,
    database: usize,
    table: usize,
    strict: bool,
) -> Result<BTreeSet<Row>, Violation> {
    let name = World::database(database);
    let claim = node.status().epoch.0;
    let (read, deleting) = {
        let journal = journal.lock();
        (journal.begin_read(home, claim, database, table), journal.deleting())
    };
    let answer = all_rows(node, &name, World::table(table)).await;
    let (rows, told) = match answer {
        Ok((rows, counted)) => {
            // What is deleted meanwhile is in one count and not in another.
            let quiet = !deleting.1 && journal.lock().deleting() == deleting;
            if quiet && !(counted.0..=counted.1).contains(&(rows.len() as i64)) {
                let what = format!("{database}.{table}: {} rows, and count(*) was {counted:?} around", rows.len());
                return Err(Violation::new("count", what));
            }
            journal.lock().check(&read, &rows)?;
            let mut hasher = DefaultHasher::new();
            let rows: BTreeSet<Row> = rows.into_iter().collect();
            rows.hash(&mut hasher);
            (rows, format!("{:x}", hasher.finish()))
        }
        Err(failure) if strict || failure.checker != "query" => return Err(failure),
        Err(_) => (BTreeSet::new(), "failed".to_owned()),
    };
    trace.note(format_args!("answer of {home} for {database}.{table}: {} rows {told}", rows.len()));
    Ok(rows)
}

/// The rows, and how many there were just before and just after.
async fn all_rows(node: &Arc<Node>, database: &DatabaseName, table: &str) -> Result<(Vec<Row>, (i64, i64)), Violation> {
    let count = format!("SELECT count(*) FROM \"{table}\"");
    let before = or_none(ask_number(node, database, &count).await)?.unwrap_or(0);
    let rows = or_none(ask(node, database, &format!("SELECT * FROM \"{table}\"")).await)?.unwrap_or_default();
    let after = or_none(ask_number(node, database, &count).await)?.unwrap_or(0);
    let chunks = format!("SELECT * FROM system.chunks WHERE \"table\" = '{table}'");
    check_chunks(&or_none(ask(node, database, &chunks).await)?.unwrap_or_default(), rows.len())?;
    Ok((rows, (before, after)))
}

/// What is not there yet has no rows.
fn or_none<T>(answer: Result<T, QueryError>) -> Result<Option<T>, Violation> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), QueryErrorKind::UnknownDatabase | QueryErrorKind::UnknownTable) => {
            Ok(None)
        }
        Err(error) => Err(Violation::new("query", error.to_string())),
    }
}

fn check_chunks(chunks: &[Row], rows: usize) -> Result<(), Violation> {
    let mut stages: BTreeMap<&Cell, &Cell> = BTreeMap::new();
    let mut sum = 0;
    for chunk in chunks {
        let (Some(id), Some(stage), Some(Cell::UInteger(rows))) =
            (chunk.get("id"), chunk.get("stage"), chunk.get("rows"))
        else {
            return Err(Violation::new("chunks", format!("a chunk lacks columns: {chunk:?}")));
        };
        if let Some(other) = stages.insert(id, stage) {
            return Err(Violation::new(
                "chunks",
                format!("chunk {id:?} is there twice: as {other:?} and as {stage:?}"),
            ));
        }
        let is_persisted = *stage == Cell::Text("persisted".to_owned());
        if is_persisted != chunk.contains_key("object") || (!is_persisted && chunk["in_memory"] != Cell::Boolean(true))
        {
            return Err(Violation::new("chunks", format!("this stage and this place don't fit: {chunk:?}")));
        }
        sum += rows;
    }
    if sum < rows as u64 {
        return Err(Violation::new("chunks", format!("the chunks have {sum} rows, and the table {rows}")));
    }
    Ok(())
}

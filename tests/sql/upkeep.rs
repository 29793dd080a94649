//! What compaction and retention do to the golden data: nothing that anybody could see.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ochre_database::operations::OperationState;
use ochre_database::partitions::PartitionWork;
use ochre_database::rules::{Source, Terms};
use ochre_database::{Database, Node};
use ochre_store::selection::Selection;
use ochre_types::DatabaseName;
use ochre_types::rules::Target;

/// The tables that get older rows: all but the one whose times go to both ends.
const TABLES: &str = "/cpu|meter|event|plant|flow|machine|sensor/";
/// The lowest time of those tables, in seconds.
const FIRST: u64 = 1_740_787_200;
/// Rows are kept from so many seconds before on.
const KEPT: u64 = 1_800;
/// Older rows are so many seconds before.
const OLDER: u64 = 3_600;

/// Joins and settles everything.
pub async fn compact(node: &Node, database: &Arc<Database>) {
    let (all, by) = (Selection::default(), "a test".to_owned());
    let begun = node.work_on_partitions(database.clone(), all, PartitionWork::Compact, by).unwrap();
    let ended = node.operations().wait(&begun.id, Duration::from_secs(60)).await.unwrap();
    assert_eq!(ended.state, OperationState::Done, "{}", ended.message);
    assert!(!ended.message.contains("wait"), "{}", ended.message);
}

/// The same lines at a time before all of them; none of tables that keep everything.
pub fn older(lines: &str) -> String {
    let named = |line: &&str| TABLES.trim_matches('/').split('|').any(|table| line.starts_with(table));
    let older = lines.lines().filter(named).enumerate().map(|(number, line)| {
        let (row, _) = line.rsplit_once(' ').unwrap();
        format!("{row} {}", (FIRST - OLDER) * 1_000_000_000 + number as u64)
    });
    older.collect::<Vec<_>>().join("\n")
}

/// One partition a table, and only rows of the golden data to be seen: older ones are too old by now.
pub async fn retain(node: &Node, database: &DatabaseName, expire: bool) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let after = now - (FIRST - KEPT);
    let lifecycle = if expire {
        format!("lifecycle: {{retain: [{{tables: {TABLES:?}, after: {after}s}}]}}\n")
    } else {
        String::new()
    };
    let document = format!("database: {database}\npartition: [{{tables: \"*\", by: []}}]\n{lifecycle}");
    let target = Target::Database(database.clone());
    node.apply_rules(&target, Source::Text(document), Terms::default()).await.unwrap();
}

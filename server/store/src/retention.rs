//! What is too old to be kept.

use ochre_types::rules::RetainRules;
use ochre_types::{Hlc, LogId, Sequence, TableName};

use crate::catalog::{ChunkId, ChunkMeta, PartitionName, TableState};

/// Chunks that one commit takes out at most, over all tables.
pub const MAX_EXPIRED: usize = 10_000;

/// The lowest time that rows of a table may have, in nanoseconds since 1970-01-01 UTC; `None` where they are kept for
/// ever. `now` is the wall clock's.
pub fn visible_from(rules: &RetainRules, table: &TableName, now: Hlc) -> Option<i64> {
    let after = i128::try_from(rules.of(table)?.as_nanos()).unwrap_or(i128::MAX);
    let now = i128::from(now.millis()) * 1_000_000;
    Some(i64::try_from(now.saturating_sub(after)).unwrap_or(i64::MIN))
}

/// The chunks of which every row is older than `from`, by partition. Only chunks that no replay asks for any more: those
/// of other logs, and those whose frames are all at or below the mark.
pub fn expired(table: &TableState, from: i64, (log, mark): (LogId, Sequence)) -> Vec<(PartitionName, ChunkId)> {
    let is_expired = |chunk: &&ChunkMeta| chunk.time.1 < from && (chunk.log.log != log || chunk.log.last <= mark);
    let chunks = table.chunks.values().map(|chunk| &**chunk).filter(is_expired);
    chunks
        .map(|chunk| {
            let (table, key) = (chunk.table.clone(), chunk.partition_key.clone());
            (PartitionName { table, template: chunk.template, key }, chunk.id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ochre_types::rules::RetainRule;

    use super::*;

    #[test]
    fn rows_are_kept_by_the_first_rule_that_matches() {
        let rule = |tables: &str, seconds: Option<u64>| RetainRule {
            tables: tables.parse().unwrap(),
            after: seconds.map(Duration::from_secs),
        };
        let rules = RetainRules { rules: vec![rule("cpu", None), rule("c*", Some(10)), rule("old", Some(u64::MAX))] };
        let from = |table: &str| visible_from(&rules, &TableName::new(table).unwrap(), Hlc::from_millis(60_000));
        assert_eq!(from("cpu"), None);
        assert_eq!(from("cat"), Some(50_000_000_000));
        assert_eq!(from("disk"), None);
        assert_eq!(from("old"), Some(i64::MIN));
    }
}

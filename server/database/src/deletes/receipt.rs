//! What was deleted, and how far it is gone.

use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{DatabaseName, Hlc, Stamp};

/// The longest description of a deletion, in characters.
const WHAT_CHARS: usize = 500;

/// What was deleted, and when it is gone for good. Times are of the hybrid clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The deletion's identity.
    pub id: Stamp,
    /// Where.
    pub database: DatabaseName,
    /// What was deleted, for people.
    pub what: String,
    /// When it was accepted: no later query sees the rows.
    pub accepted: Hlc,
    /// Objects that may still hold such rows.
    pub objects_left: u64,
    /// Chunks in memory that may.
    pub in_memory: u64,
    /// When this server first found that nothing of the database held such rows any more.
    pub gone: Option<Hlc>,
    /// Until when it can be taken back; `None` if it can't.
    pub undrop_until: Option<Hlc>,
    /// When it was taken back.
    pub reverted: Option<Hlc>,
}

/// What a tombstone takes away, in words; in those of SQL where it is rows.
pub(super) fn what(tombstone: &Tombstone) -> String {
    let whole = match &tombstone.erasure {
        Erasure::Table { table, .. } => format!("table {table}"),
        Erasure::Database { .. } => "the database".to_owned(),
        Erasure::Rows { rows, time } => {
            let tables: Vec<String> = rows.tables.iter().map(ToString::to_string).collect();
            let tables = if tables.is_empty() { "*".to_owned() } else { tables.join(", ") };
            let mut conditions = Vec::new();
            if time.0 > i64::MIN {
                conditions.push(format!("time >= '{}'", instant(time.0)));
            }
            if time.1 < i64::MAX {
                conditions.push(format!("time <= '{}'", instant(time.1)));
            }
            conditions.extend(rows.predicate.as_ref().map(|predicate| match conditions.is_empty() {
                true => predicate.to_string(),
                false => format!("({predicate})"),
            }));
            match conditions.is_empty() {
                true => format!("all rows of {tables}"),
                false => format!("rows of {tables} where {}", conditions.join(" and ")),
            }
        }
    };
    match whole.char_indices().nth(WHAT_CHARS) {
        None => whole,
        Some((end, _)) => format!("{}…", &whole[..end]),
    }
}

fn instant(nanos: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use ochre_types::matching::RowMatch;

    use super::*;

    fn rows(tables: &[&str], predicate: Option<&str>, time: (i64, i64)) -> String {
        let rows = RowMatch {
            tables: tables.iter().map(|table| table.parse().unwrap()).collect(),
            predicate: predicate.map(|text| text.parse().unwrap()),
        };
        what(&Tombstone::new(Stamp::default(), Erasure::Rows { rows, time }))
    }

    #[test]
    fn a_deletion_is_told_in_words() {
        let ever = (i64::MIN, i64::MAX);
        assert_eq!(rows(&["cpu"], None, ever), "all rows of cpu");
        assert_eq!(rows(&[], Some("host = 'a'"), ever), "rows of * where host = 'a'");
        assert_eq!(
            rows(&["cpu", "d*"], Some("host = 'a'"), (0, 999_999_999)),
            "rows of cpu, d* where time >= '1970-01-01T00:00:00Z' and time <= '1970-01-01T00:00:00.999999999Z' and (host = 'a')"
        );
        let long = rows(&["cpu"], Some(&format!("host = '{}'", "ü".repeat(600))), ever);
        assert_eq!(long.chars().count(), WHAT_CHARS + 1);
    }
}

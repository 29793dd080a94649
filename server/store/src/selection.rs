//! Partitions that somebody wants something done with.

use ochre_types::TableName;
use ochre_types::matching::TablePattern;
use ochre_types::partition::PartitionKey;

/// Partitions by table and key, whatever template made the key. The default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The tables; `None` for all.
    pub tables: Option<TablePattern>,
    /// The key; `None` for all.
    pub key: Option<PartitionKey>,
}

impl Selection {
    /// Whether a partition is among them.
    pub fn takes(&self, table: &TableName, key: &PartitionKey) -> bool {
        self.tables.as_ref().is_none_or(|tables| tables.matches(table))
            && self.key.as_ref().is_none_or(|wanted| wanted == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_taken_by_table_and_key() {
        let table = |name: &str| TableName::new(name).unwrap();
        let key = |text: &str| PartitionKey::new(text).unwrap();
        let all = Selection::default();
        assert!(all.takes(&table("cpu"), &key("a")));
        let one = Selection { tables: Some("c*".parse().unwrap()), key: Some(key("a")) };
        assert!(one.takes(&table("cpu"), &key("a")));
        assert!(!one.takes(&table("disk"), &key("a")));
        assert!(!one.takes(&table("cpu"), &key("b")));
    }
}

//! The sort order of one table, by version.
//!
//! A version stands for one list of tags for ever. A new tag is appended, which leaves sorted chunks sorted; a sort
//! rule may begin anew with other tags, after which older chunks are still valid, but have to be sorted again before
//! they are merged with younger ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_batch::SortOrder;
use ochre_types::rules::SortRule;
use ochre_types::{ColumnId, ColumnKind, ColumnName};

/// By what a closed chunk is sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FreezeOrder {
    /// By the table's order.
    Table {
        /// The order.
        order: SortOrder,
        /// Its version.
        version: u32,
    },
    /// The table has none yet: by these tags, then by the chunk's others, those with few values first.
    Choose {
        /// What comes first.
        first: Arc<[ColumnName]>,
    },
}

/// The order that a table's chunks are sorted by from now on, once it has one.
#[derive(Debug, Default)]
pub(crate) struct TableOrder {
    current: SortOrder,
    /// Rises with each change; 0 before there is an order.
    version: u32,
    /// Chunks of this version, and of any later one, are sorted by the current order too.
    kept_since: u32,
}

impl TableOrder {
    /// The order of the highest version, with the tags of `columns` that it lacks.
    pub(crate) fn restore<'a>(
        versions: &BTreeMap<u32, Arc<[ColumnName]>>,
        columns: impl IntoIterator<Item = &'a ColumnId>,
    ) -> Self {
        let Some((version, tags)) = versions.last_key_value() else { return Self::default() };
        let kept = versions.iter().rev().take_while(|(_, older)| keeps(older, tags));
        let kept_since = kept.last().map_or(*version, |(oldest, _)| *oldest);
        let mut order = Self { current: SortOrder::new(tags.clone()), version: *version, kept_since };
        order.extend(columns);
        order
    }

    /// The order; without tags before there is one.
    pub(crate) fn current(&self) -> &SortOrder {
        &self.current
    }

    /// Whether there is an order.
    pub(crate) fn is_chosen(&self) -> bool {
        self.version > 0
    }

    /// Whether a chunk that was sorted by `version` is in the current order.
    pub(crate) fn keeps(&self, version: u32) -> bool {
        version >= self.kept_since
    }

    /// The oldest version whose chunks are in the current order.
    pub(crate) fn kept_since(&self) -> u32 {
        self.kept_since
    }

    /// Appends the tags that are new.
    pub(crate) fn extend<'a>(&mut self, columns: impl IntoIterator<Item = &'a ColumnId>) {
        if self.is_chosen()
            && let Some(longer) = self.current.extended(columns)
        {
            self.current = longer;
            self.version += 1;
        }
    }

    /// What the next chunk of a table with these columns is sorted by; a version of its own where the rule asks for
    /// other leading tags than the order has.
    pub(crate) fn follow<'a>(
        &mut self,
        rule: &SortRule,
        columns: impl IntoIterator<Item = &'a ColumnId>,
    ) -> FreezeOrder {
        let first = leading(rule, columns);
        if !self.is_chosen() {
            return FreezeOrder::Choose { first: first.into() };
        }
        let wanted = led_by(&first, self.current.tags());
        if wanted != self.current {
            self.current = wanted;
            self.version += 1;
            self.kept_since = self.version;
        }
        FreezeOrder::Table { order: self.current.clone(), version: self.version }
    }

    /// Takes the order that a table's first freeze has chosen, with the tags of `columns` that it lacks, and returns
    /// it with its version.
    pub(crate) fn choose<'a>(
        &mut self,
        chosen: SortOrder,
        columns: impl IntoIterator<Item = &'a ColumnId>,
    ) -> (SortOrder, u32) {
        *self = Self { current: chosen.extended(columns).unwrap_or(chosen), version: 1, kept_since: 1 };
        (self.current.clone(), self.version)
    }
}

/// `first`, then those of `rest` that are not among them.
pub(crate) fn led_by(first: &[ColumnName], rest: &[ColumnName]) -> SortOrder {
    let rest = rest.iter().filter(|tag| !first.contains(tag));
    SortOrder::new(first.iter().chain(rest).cloned().collect::<Vec<_>>())
}

/// The tags that a rule puts first, as far as the table has them, each once.
fn leading<'a>(rule: &SortRule, columns: impl IntoIterator<Item = &'a ColumnId>) -> Vec<ColumnName> {
    let SortRule::Tags(wanted) = rule else { return Vec::new() };
    let has: Vec<&ColumnName> =
        columns.into_iter().filter(|column| column.kind == ColumnKind::Tag).map(|column| &column.name).collect();
    let mut first: Vec<ColumnName> = Vec::new();
    for tag in wanted {
        if has.contains(&tag) && !first.contains(tag) {
            first.push(tag.clone());
        }
    }
    first
}

/// Whether rows sorted by `older`, which have no tags but those, are sorted by `newer`: it has the same tags in the
/// same order, and maybe others between, which those rows all lack.
fn keeps(older: &[ColumnName], newer: &[ColumnName]) -> bool {
    let mut newer = newer.iter();
    older.iter().all(|tag| newer.any(|other| other == tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<ColumnName> {
        text.split_whitespace().map(|name| ColumnName::new(name).unwrap()).collect()
    }

    fn tags(text: &str) -> Vec<ColumnId> {
        names(text).into_iter().map(|name| ColumnId { name, kind: ColumnKind::Tag }).collect()
    }

    fn versions(texts: &[(u32, &str)]) -> BTreeMap<u32, Arc<[ColumnName]>> {
        texts.iter().map(|(version, text)| (*version, names(text).into())).collect()
    }

    fn table(text: &str, version: u32) -> FreezeOrder {
        FreezeOrder::Table { order: SortOrder::new(names(text)), version }
    }

    #[test]
    fn a_rule_puts_its_tags_first_and_the_others_follow_as_before() {
        let mut order = TableOrder::restore(&versions(&[(4, "d c b a")]), &tags("a b c d"));
        let rule = SortRule::Tags(names("b nothing a b"));
        assert_eq!(order.follow(&rule, &tags("a b c d")), table("b a d c", 5));
        assert_eq!(order.follow(&rule, &tags("a b c d")), table("b a d c", 5), "one version for one order");
        assert_eq!(order.follow(&SortRule::Auto, &tags("a b c d")), table("b a d c", 5));
        assert!(!order.keeps(4) && order.keeps(5));
        order.extend(&tags("nothing"));
        assert!(order.keeps(5), "a tag at the end leaves sorted chunks sorted");
        assert_eq!(order.follow(&rule, &tags("a b c d nothing")), table("b nothing a d c", 7));
        assert!(!order.keeps(6) && order.keeps(7));
    }

    #[test]
    fn without_an_order_the_first_freeze_chooses_what_the_rule_leaves_open() {
        let mut order = TableOrder::restore(&BTreeMap::new(), &tags("a b"));
        let rule = SortRule::Tags(names("b x"));
        assert_eq!(order.follow(&rule, &tags("a b")), FreezeOrder::Choose { first: names("b").into() });
        assert_eq!(order.choose(SortOrder::new(names("b a")), &tags("a b c")), (SortOrder::new(names("b a c")), 1));
        assert_eq!(order.follow(&rule, &tags("a b c")), table("b a c", 1));
    }

    #[test]
    fn a_start_tells_which_versions_are_sorted_alike() {
        let order = TableOrder::restore(&versions(&[(1, "a b"), (3, "b a"), (4, "b a c"), (7, "x b y a c")]), &[]);
        assert_eq!([1, 3, 4, 7].map(|version| order.keeps(version)), [false, true, true, true]);
        let order = TableOrder::restore(&versions(&[(1, "a"), (2, "a b")]), &tags("a b c"));
        assert_eq!((order.current().tags(), order.version), (names("a b c").as_slice(), 3));
        assert!(order.keeps(1));
    }
}

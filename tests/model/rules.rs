//! Rules as an operator may write them, and lines to see which of them are kept.

use std::sync::Arc;

use ochre_types::matching::RowMatch;
use ochre_types::partition::{Part, TagPattern, Template, TimeFormat};
use ochre_types::rules::{LifecycleRules, PartitionRule, PartitionRules, Rules, SortRule, StoreRule};
use ochre_types::{ColumnName, TableName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::map::Map;
use crate::sim::answers::Cell;

/// The tags of `ochre_batch::testing`, those of many and of odd values among them.
const TAGS: [&str; 4] = ["host", "region", "trace id", "ünï|côde"];
/// Patterns of its tables: some match several, some none.
const PATTERNS: [&str; 7] = ["cpu", "c*", "?em", "/(?i)cpu/", "disk io", "*|*", "nothing"];
/// The tables that lines are written to.
const LINE_TABLES: [&str; 3] = ["cpu", "mem", "CPU"];
/// The first of the days that lines are in.
const START: i64 = 1_700_000_000_000_000_000;
const DAY: i64 = 86_400_000_000_000;

/// Which lines are kept: as the rules say it, and as plain code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    All,
    Tables,
    OnA,
    NotOnA,
    NoRegion,
    Later,
    None,
}

/// What a change of rules says, with what it should come to.
#[derive(Debug, Clone)]
pub struct Ruled {
    pub rules: Rules,
    pub keep: Keep,
}

impl Default for Ruled {
    fn default() -> Self {
        Self { rules: Rules::default(), keep: Keep::All }
    }
}

/// A line of line protocol.
#[derive(Debug, Clone)]
pub struct Line {
    table: &'static str,
    host: Option<&'static str>,
    region: Option<String>,
    time: i64,
    usage: f64,
}

fn column(name: &str) -> ColumnName {
    ColumnName::new(name).expect("the names here are legal")
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let bucket = |tag: &str, count| Part::Bucket { tag: column(tag), count };
    let regex = |tag: &str, pattern: &str| Part::Regex {
        tag: column(tag),
        pattern: TagPattern::new(pattern).expect("the patterns here are legal"),
    };
    let time = |format: &str| Part::Time(TimeFormat::new(format).expect("the formats here are legal"));
    let tags = TAGS.iter().map(|tag| Part::Tag(column(tag)));
    let others = [
        Part::Table,
        bucket("host", 2),
        bucket("trace id", 3),
        bucket("ünï|côde", 100_000),
        regex("host", "^(web)?"),
        regex("region", "^([a-z])"),
        regex("ünï|côde", "^(.)"),
        time("%Y"),
        time("%F"),
        time("%Y-%jT%H:%M"),
    ];
    subsequence(tags.chain(others).collect::<Vec<_>>(), 0..=4).prop_shuffle()
}

fn template() -> impl Strategy<Value = Arc<Template>> {
    parts().prop_map(|parts| Arc::new(Template::new(parts).expect("few, different parts")))
}

fn partition() -> impl Strategy<Value = PartitionRules> {
    let patterns = subsequence(PATTERNS.to_vec(), 0..=3).prop_shuffle();
    (patterns, any::<bool>(), vec(template(), 4)).prop_map(|(mut patterns, has_rest, templates)| {
        if has_rest {
            patterns.push("*");
        }
        let rule = |(pattern, template): (&str, Arc<Template>)| PartitionRule {
            tables: pattern.parse().expect("the patterns here are legal"),
            template,
        };
        PartitionRules { rules: patterns.into_iter().zip(templates).map(rule).collect(), ..PartitionRules::default() }
    })
}

fn sort() -> impl Strategy<Value = SortRule> {
    let named = subsequence(TAGS.to_vec(), 1..=TAGS.len()).prop_shuffle();
    prop_oneof![Just(SortRule::Auto), named.prop_map(|tags| SortRule::Tags(tags.into_iter().map(column).collect()))]
}

/// Any rules that concern rows.
pub fn rules() -> impl Strategy<Value = Ruled> {
    use Keep::{All, Later, NoRegion, NotOnA, OnA, Tables};
    let keep = prop_oneof![6 => Just(All), 4 => select(vec![Tables, OnA, NotOnA, NoRegion, Later, Keep::None])];
    (partition(), sort(), keep, proptest::bool::weighted(0.95)).prop_map(|(partition, sort, keep, mutable)| {
        let lifecycle = LifecycleRules { sort, mutable, ..LifecycleRules::default() };
        Ruled { rules: Rules { partition, lifecycle, store: keep.rule(), ..Rules::default() }, keep }
    })
}

impl Keep {
    fn rule(self) -> StoreRule {
        let matching = |tables: &[&str], predicate: Option<&str>| {
            StoreRule::Match(RowMatch {
                tables: tables.iter().map(|pattern| pattern.parse().expect("the patterns here are legal")).collect(),
                predicate: predicate.map(|text| text.parse().expect("the predicates here are legal")),
            })
        };
        match self {
            Self::All => StoreRule::All,
            Self::Tables => matching(&["c*"], None),
            Self::OnA => matching(&[], Some("host = 'a'")),
            Self::NotOnA => matching(&[], Some("host <> 'a'")),
            Self::NoRegion => matching(&["*"], Some("region IS NULL")),
            Self::Later => matching(&[], Some("time >= '2023-11-16T00:00:00Z'")),
            Self::None => StoreRule::None,
        }
    }

    /// Whether a line is kept. As in SQL, a row without a host is neither on `a` nor not on `a`.
    pub fn keeps(self, line: &Line) -> bool {
        match self {
            Self::All => true,
            Self::Tables => line.table == "cpu",
            Self::OnA => line.host == Some("a"),
            Self::NotOnA => line.host.is_some_and(|host| host != "a"),
            Self::NoRegion => line.region.is_none(),
            Self::Later => line.time >= 1_700_092_800_000_000_000,
            Self::None => false,
        }
    }
}

impl Line {
    /// The line as it is sent.
    pub fn text(&self) -> String {
        let host = self.host.map(|host| format!(",host={host}")).unwrap_or_default();
        let region = self.region.as_ref().map(|region| format!(",region={region}")).unwrap_or_default();
        format!("{}{host}{region} usage={:?} {}", self.table, self.usage, self.time)
    }

    /// Adds its row to a map.
    pub fn put(&self, map: &mut Map) {
        let table = TableName::new(self.table).expect("the names here are legal");
        let tags = [("host", self.host), ("region", self.region.as_deref())];
        let tags = tags.iter().filter_map(|(name, value)| Some((name.to_string(), value.as_ref()?.to_string())));
        let cell = Cell::Float(self.usage.to_bits());
        map.put(&table, tags.collect(), self.time, ("usage".to_owned(), cell));
    }
}

/// Lines with few values, and with some that are longer than a part of a key and differ only at their end.
pub fn lines() -> impl Strategy<Value = Vec<Line>> {
    let region = prop_oneof![
        3 => Just(None),
        3 => select(vec!["a", "b", "web-1"]).prop_map(|value| Some(value.to_owned())),
        1 => (198..203usize, "[ab]?").prop_map(|(length, end)| Some("r".repeat(length) + &end)),
    ];
    let host = proptest::option::weighted(0.8, select(vec!["a", "b", "web-2"]));
    let time = (0..4i64, 0..3i64).prop_map(|(day, offset)| START + day * DAY + offset);
    let line = (select(LINE_TABLES.to_vec()), host, region, time, 0..9u8);
    let line = line.prop_map(|(table, host, region, time, usage)| Line {
        table,
        host,
        region,
        time,
        usage: f64::from(usage) / 2.0,
    });
    vec(line, 1..6)
}

//! What a filter says about times and tags, and which chunks it leaves out.
//!
//! [`Bounds`] is always an over-estimate: a row that passes the filter lies in it. What isn't understood bounds
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use ochre_store::snapshot::ChunkSnapshot;
use ochre_types::TIME_COLUMN;

use crate::schema::Layout;

/// The values that a tag may have, absence among them; absent where anything goes.
type TagValues = BTreeSet<Option<String>>;

/// Where rows that pass a filter can lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The lowest and the highest time, both included. Empty if the first is above the last.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// By tag name (not visible name), the values that it may have.
    tags: BTreeMap<String, TagValues>,
}

/// Why a chunk was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pruned {
    Time,
    Key,
    Tags,
}

impl Bounds {
    const ALL: Self = Self { first: i64::MIN, last: i64::MAX, tags: BTreeMap::new() };

    /// The bounds of rows that pass all of `filters`.
    pub(crate) fn of(filters: &[Expr], layout: &Layout) -> Self {
        filters.iter().fold(Self::ALL, |bounds, filter| bounds.and(expression(filter, layout)))
    }

    fn times(first: i64, last: i64) -> Self {
        Self { first, last, ..Self::ALL }
    }

    /// No row at all.
    fn nothing() -> Self {
        Self::times(i64::MAX, i64::MIN)
    }

    fn is_nothing(&self) -> bool {
        self.first > self.last
    }

    fn and(mut self, other: Self) -> Self {
        self.first = self.first.max(other.first);
        self.last = self.last.min(other.last);
        for (tag, values) in other.tags {
            match self.tags.get_mut(&tag) {
                Some(mine) => mine.retain(|value| values.contains(value)),
                None => {
                    self.tags.insert(tag, values);
                }
            }
        }
        self
    }

    fn or(mut self, other: Self) -> Self {
        if self.is_nothing() {
            return other;
        }
        if other.is_nothing() {
            return self;
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.tags.retain(|tag, _| other.tags.contains_key(tag));
        for (tag, values) in other.tags {
            if let Some(mine) = self.tags.get_mut(&tag) {
                mine.extend(values);
            }
        }
        self
    }

    /// Whether rows between these times, both included, can pass.
    pub(crate) fn admits_times(&self, (first, last): (i64, i64)) -> bool {
        first <= self.last && last >= self.first
    }

    /// Why no row of `chunk` can pass the filter, if so.
    pub(crate) fn prune(&self, chunk: &ChunkSnapshot) -> Option<Pruned> {
        if !self.admits_times(chunk.time_range) {
            return Some(Pruned::Time);
        }
        if let Some(template) = &chunk.template
            && let Ok(values) = template.parse_key(&chunk.key)
        {
            if !template.time_window(&values).is_none_or(|window| self.admits_times((window.first, window.last))) {
                return Some(Pruned::Key);
            }
            let admits = |(tag, allowed): (&String, &TagValues)| {
                allowed.iter().any(|value| template.may_hold_tag(&values, tag, value.as_deref()))
            };
            if !self.tags.iter().all(admits) {
                return Some(Pruned::Key);
            }
        }
        let outside = chunk.tag_ranges.iter().any(|range| {
            self.tags.get(range.tag.as_str()).is_some_and(|allowed| {
                let within = |value: &str| range.min.as_str() <= value && value <= range.max.as_str();
                !allowed.iter().any(|value| value.as_deref().is_some_and(within))
            })
        });
        outside.then_some(Pruned::Tags)
    }
}

/// Chains of one operator are walked in a loop: they may be long.
fn expression(expr: &Expr, layout: &Layout) -> Bounds {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => chain(expr, *op, layout),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, layout)
            .or_else(|| comparison(right, op.swap()?, left, layout))
            .unwrap_or(Bounds::ALL),
        Expr::Between(between) if !between.negated => {
            let low = comparison(&between.expr, Operator::GtEq, &between.low, layout);
            let high = comparison(&between.expr, Operator::LtEq, &between.high, layout);
            low.unwrap_or(Bounds::ALL).and(high.unwrap_or(Bounds::ALL))
        }
        Expr::InList(list) if !list.negated => list.list.iter().fold(Bounds::nothing(), |bounds, value| {
            bounds.or(comparison(&list.expr, Operator::Eq, value, layout).unwrap_or(Bounds::ALL))
        }),
        Expr::IsNull(inner) => match tag_of(inner, layout) {
            Some(tag) => Bounds { tags: BTreeMap::from([(tag, BTreeSet::from([None]))]), ..Bounds::ALL },
            None => Bounds::ALL,
        },
        Expr::Literal(ScalarValue::Boolean(Some(false) | None), _) => Bounds::nothing(),
        _ => Bounds::ALL,
    }
}

fn chain(expr: &Expr, chained: Operator, layout: &Layout) -> Bounds {
    let mut waiting = vec![expr];
    let mut result: Option<Bounds> = None;
    while let Some(next) = waiting.pop() {
        match next {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == chained => waiting.extend([&**right, &**left]),
            term => {
                let bounds = expression(term, layout);
                result = Some(match (result, chained) {
                    (None, _) => bounds,
                    (Some(before), Operator::And) => before.and(bounds),
                    (Some(before), _) => before.or(bounds),
                });
            }
        }
    }
    result.unwrap_or(Bounds::ALL)
}

/// The bounds of `column op value`, if that is what it is.
fn comparison(column: &Expr, op: Operator, value: &Expr, layout: &Layout) -> Option<Bounds> {
    let Expr::Literal(value, _) = value else { return None };
    if is_time(column) {
        return times(op, value);
    }
    let tag = tag_of(column, layout)?;
    let text = text_of(value)?;
    (op == Operator::Eq).then(|| Bounds { tags: BTreeMap::from([(tag, BTreeSet::from([Some(text)]))]), ..Bounds::ALL })
}

fn times(op: Operator, value: &ScalarValue) -> Option<Bounds> {
    let ScalarValue::TimestampNanosecond(value, zone) = value else { return None };
    if !zone.as_deref().is_none_or(is_utc) {
        return None;
    }
    // A comparison with null is never true.
    let Some(value) = *value else { return Some(Bounds::nothing()) };
    match op {
        Operator::Eq => Some(Bounds::times(value, value)),
        Operator::Lt => Some(value.checked_sub(1).map_or(Bounds::nothing(), |last| Bounds::times(i64::MIN, last))),
        Operator::LtEq => Some(Bounds::times(i64::MIN, value)),
        Operator::Gt => Some(value.checked_add(1).map_or(Bounds::nothing(), |first| Bounds::times(first, i64::MAX))),
        Operator::GtEq => Some(Bounds::times(value, i64::MAX)),
        _ => None,
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "+00" | "Z" | "Etc/UTC")
}

/// The time column, or a cast of it that changes no value.
fn is_time(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == TIME_COLUMN,
        Expr::Cast(cast) => match cast.field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                zone.as_deref().is_none_or(is_utc) && is_time(&cast.expr)
            }
            _ => false,
        },
        _ => false,
    }
}

/// The name of the tag that this expression reads, maybe through a cast to text.
fn tag_of(expr: &Expr, layout: &Layout) -> Option<String> {
    match expr {
        Expr::Column(column) => layout.tag(&column.name).map(|id| id.name.to_string()),
        Expr::Cast(cast) => match cast.field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                tag_of(&cast.expr, layout)
            }
            _ => None,
        },
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => text.clone(),
        ScalarValue::Dictionary(_, inner) => text_of(inner),
        _ => None,
    }
}

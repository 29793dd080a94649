//! From `v1::Rules` to the tree of a document.
//!
//! The way never fails: what makes no sense (an enumerator that nobody knows, a part without a kind) becomes a node that
//! the one reader of documents refuses, with its path, together with all other mistakes.

use ochre_types::rules::document::{Node, Value};

use crate::time::span_text;
use crate::v1;
use crate::v1::partition_part::Part;
use crate::v1::store_rule::Rule;

impl From<v1::Rules> for Node {
    fn from(wire: v1::Rules) -> Self {
        let filled = |text: String| (!text.is_empty()).then(|| Self::text(text));
        let list = |items: Vec<Self>| (!items.is_empty()).then(|| Self::list(items));
        let partition = wire.partition.into_iter().map(partition).collect();
        let columns = wire.columns.into_iter().map(|(name, kind)| (name, column_kind(kind)));
        let columns: Vec<(String, Self)> = columns.collect();
        section([
            ("database", filled(wire.database)),
            ("partition", list(partition)),
            ("columns", (!columns.is_empty()).then(|| Self::map(columns))),
            ("log", wire.log.map(log)),
            ("buffer", wire.buffer.map(buffer)),
            ("lifecycle", wire.lifecycle.map(lifecycle)),
            ("store", wire.store.map(store)),
            ("limits", wire.limits.map(limits)),
        ])
    }
}

/// A map of the fields that are there.
fn section<const N: usize>(fields: [(&str, Option<Node>); N]) -> Node {
    Node::map(fields.into_iter().filter_map(|(name, node)| Some((name, node?))))
}

fn span(span: Option<prost_types::Duration>) -> Option<Node> {
    span.map(|span| Node::text(span_text(span)))
}

fn partition(wire: v1::PartitionRule) -> Node {
    Node::map([("tables", Node::text(wire.tables)), ("by", Node::list(wire.by.into_iter().map(part)))])
}

fn part(wire: v1::PartitionPart) -> Node {
    let (name, value) = match wire.part {
        Some(Part::Table(v1::TablePart {})) => ("table", Node::map::<&str>([])),
        Some(Part::Tag(tag)) => ("tag", Node::text(tag)),
        Some(Part::Bucket(v1::BucketPart { tag, count })) => {
            ("bucket", Node::map([("tag", Node::text(tag)), ("count", Node::int(count))]))
        }
        Some(Part::Regex(v1::RegexPart { tag, pattern })) => {
            ("regex", Node::map([("tag", Node::text(tag)), ("pattern", Node::text(pattern))]))
        }
        Some(Part::Time(format)) => ("time", Node::text(format)),
        None => return Value::Null.into(),
    };
    Node::map([(name, value)])
}

fn column_kind(kind: i32) -> Node {
    match v1::ColumnKind::try_from(kind) {
        Ok(v1::ColumnKind::Tag) => Node::text("tag"),
        Ok(v1::ColumnKind::Float) => Node::text("float"),
        Ok(v1::ColumnKind::Integer) => Node::text("integer"),
        Ok(v1::ColumnKind::Unsigned) => Node::text("unsigned"),
        Ok(v1::ColumnKind::Boolean) => Node::text("boolean"),
        Ok(v1::ColumnKind::String) => Node::text("string"),
        Ok(v1::ColumnKind::Unspecified) | Err(_) => Node::int(kind),
    }
}

fn log(wire: v1::LogRules) -> Node {
    let ack = |ack: i32| match v1::Ack::try_from(ack) {
        Ok(v1::Ack::Accepted) => Node::text("accepted"),
        Ok(v1::Ack::Durable) => Node::text("durable"),
        Ok(v1::Ack::Unspecified) | Err(_) => Node::int(ack),
    };
    section([("ack", wire.ack.map(ack))])
}

fn buffer(wire: v1::BufferRules) -> Node {
    section([
        ("freeze_after", span(wire.freeze_after)),
        ("freeze_rows", wire.freeze_rows.map(Node::int)),
        ("freeze_size", wire.freeze_size.map(Node::int)),
        ("persist_after", span(wire.persist_after)),
    ])
}

fn lifecycle(wire: v1::LifecycleRules) -> Node {
    let texts = |texts: Vec<String>| (!texts.is_empty()).then(|| Node::list(texts.into_iter().map(Node::text)));
    let retain = wire.retain.into_iter().map(retain).collect::<Vec<_>>();
    section([
        ("retain", (!retain.is_empty()).then(|| Node::list(retain))),
        ("settle_window", span(wire.settle_window)),
        ("compact", wire.compact.map(compact)),
        ("sort", texts(wire.sort)),
        ("bloom", texts(wire.bloom)),
        ("mutable", wire.mutable.map(|mutable| Value::Bool(mutable).into())),
        ("grace", span(wire.grace)),
        ("undrop_within", span(wire.undrop_within)),
    ])
}

fn retain(wire: v1::RetainRule) -> Node {
    let after = span(wire.after).unwrap_or_else(|| Node::text("forever"));
    Node::map([("tables", Node::text(wire.tables)), ("after", after)])
}

fn compact(wire: v1::CompactRules) -> Node {
    section([
        ("enabled", wire.enabled.map(|enabled| Value::Bool(enabled).into())),
        ("max_file_size", wire.max_file_size.map(Node::int)),
        ("max_files", wire.max_files.map(Node::int)),
        ("quiet_after", span(wire.quiet_after)),
    ])
}

fn store(wire: v1::StoreRule) -> Node {
    match wire.rule {
        Some(Rule::All(v1::StoreAll {})) => Node::text("all"),
        Some(Rule::None(v1::StoreNone {})) => Node::text("none"),
        Some(Rule::Match(matching)) => Node::map([("match", row_match(matching))]),
        // Perhaps a rule of a later version: it must not be taken for the default.
        None => Value::Null.into(),
    }
}

fn row_match(wire: v1::Match) -> Node {
    let tables = (!wire.tables.is_empty()).then(|| Node::list(wire.tables.into_iter().map(Node::text)));
    section([("tables", tables), ("where", wire.r#where.map(Node::text))])
}

fn limits(wire: v1::LimitRules) -> Node {
    section([
        ("columns", wire.columns.map(Node::int)),
        ("tables", wire.tables.map(Node::int)),
        ("partitions_per_write", wire.partitions_per_write.map(Node::int)),
        ("past", span(wire.past)),
        ("future", span(wire.future)),
        ("line", wire.line.map(Node::int)),
        ("body", wire.body.map(Node::int)),
        ("query_memory", wire.query_memory.map(Node::int)),
        ("query_time", span(wire.query_time)),
        ("concurrent_queries", wire.concurrent_queries.map(Node::int)),
    ])
}

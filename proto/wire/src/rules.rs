//! From rules to `v1::Rules`, with every field.

use ochre_types::matching::RowMatch;
use ochre_types::partition::Part;
use ochre_types::rules::document::Target;
use ochre_types::rules::{
    Ack, BufferRules, CompactRules, LifecycleRules, Limits, LogRules, PartitionRule, RetainRule, Rules, SortRule,
    StoreRule,
};
use ochre_types::{ColumnKind, FieldType};

use crate::time::span;
use crate::v1;
use crate::v1::partition_part::Part as WirePart;
use crate::v1::store_rule::Rule;

#[cfg(test)]
mod tests;

impl From<(&Target, &Rules)> for v1::Rules {
    fn from((target, rules): (&Target, &Rules)) -> Self {
        let columns = rules.columns.iter();
        Self {
            database: target.to_string(),
            partition: rules.partition.rules.iter().map(v1::PartitionRule::from).collect(),
            columns: columns.map(|(name, kind)| (name.to_string(), column_kind(*kind).into())).collect(),
            log: Some(rules.log.into()),
            buffer: Some(rules.buffer.into()),
            lifecycle: Some((&rules.lifecycle).into()),
            store: Some((&rules.store).into()),
            limits: Some(rules.limits.into()),
        }
    }
}

impl From<&PartitionRule> for v1::PartitionRule {
    fn from(rule: &PartitionRule) -> Self {
        let by = rule.template.parts().iter().map(v1::PartitionPart::from).collect();
        Self { tables: rule.tables.as_str().to_owned(), by }
    }
}

impl From<&Part> for v1::PartitionPart {
    fn from(part: &Part) -> Self {
        Self {
            part: Some(match part {
                Part::Table => WirePart::Table(v1::TablePart {}),
                Part::Tag(tag) => WirePart::Tag(tag.to_string()),
                Part::Bucket { tag, count } => WirePart::Bucket(v1::BucketPart { tag: tag.to_string(), count: *count }),
                Part::Regex { tag, pattern } => {
                    WirePart::Regex(v1::RegexPart { tag: tag.to_string(), pattern: pattern.as_str().to_owned() })
                }
                Part::Time(format) => WirePart::Time(format.as_str().to_owned()),
            }),
        }
    }
}

fn column_kind(kind: ColumnKind) -> v1::ColumnKind {
    match kind {
        ColumnKind::Tag => v1::ColumnKind::Tag,
        ColumnKind::Field(FieldType::Float) => v1::ColumnKind::Float,
        ColumnKind::Field(FieldType::Integer) => v1::ColumnKind::Integer,
        ColumnKind::Field(FieldType::UInteger) => v1::ColumnKind::Unsigned,
        ColumnKind::Field(FieldType::Boolean) => v1::ColumnKind::Boolean,
        ColumnKind::Field(FieldType::String) => v1::ColumnKind::String,
        // No document pins a column as the time.
        ColumnKind::Time => v1::ColumnKind::Unspecified,
    }
}

impl From<LogRules> for v1::LogRules {
    fn from(rules: LogRules) -> Self {
        let ack = match rules.ack {
            Ack::Accepted => v1::Ack::Accepted,
            Ack::Durable => v1::Ack::Durable,
        };
        Self { ack: Some(ack.into()) }
    }
}

impl From<BufferRules> for v1::BufferRules {
    fn from(rules: BufferRules) -> Self {
        Self {
            freeze_after: Some(span(rules.freeze_after)),
            freeze_rows: Some(rules.freeze_rows),
            freeze_size: Some(rules.freeze_size.0),
            persist_after: Some(span(rules.persist_after)),
        }
    }
}

impl From<&LifecycleRules> for v1::LifecycleRules {
    fn from(rules: &LifecycleRules) -> Self {
        let sort = match &rules.sort {
            SortRule::Auto => Vec::new(),
            SortRule::Tags(tags) => tags.iter().map(ToString::to_string).collect(),
        };
        Self {
            sort,
            mutable: Some(rules.mutable),
            retain: rules.retain.rules.iter().map(v1::RetainRule::from).collect(),
            settle_window: Some(span(rules.settle_window)),
            compact: Some(rules.compact.into()),
            bloom: rules.bloom.iter().map(ToString::to_string).collect(),
            grace: Some(span(rules.grace)),
            undrop_within: Some(span(rules.undrop_within)),
        }
    }
}

impl From<&RetainRule> for v1::RetainRule {
    fn from(rule: &RetainRule) -> Self {
        Self { tables: rule.tables.as_str().to_owned(), after: rule.after.map(span) }
    }
}

impl From<CompactRules> for v1::CompactRules {
    fn from(rules: CompactRules) -> Self {
        Self {
            enabled: Some(rules.enabled),
            max_file_size: Some(rules.max_file_size.0),
            // No machine counts further than 64 bits.
            max_files: Some(rules.max_files as u64),
            quiet_after: Some(span(rules.quiet_after)),
        }
    }
}

impl From<&StoreRule> for v1::StoreRule {
    fn from(rule: &StoreRule) -> Self {
        Self {
            rule: Some(match rule {
                StoreRule::All => Rule::All(v1::StoreAll {}),
                StoreRule::None => Rule::None(v1::StoreNone {}),
                StoreRule::Match(matching) => Rule::Match(matching.into()),
            }),
        }
    }
}

impl From<&RowMatch> for v1::Match {
    fn from(matching: &RowMatch) -> Self {
        Self {
            tables: matching.tables.iter().map(ToString::to_string).collect(),
            r#where: matching.predicate.as_ref().map(ToString::to_string),
        }
    }
}

impl From<Limits> for v1::LimitRules {
    fn from(limits: Limits) -> Self {
        // No machine counts further than 64 bits.
        let count = |count: usize| Some(count as u64);
        Self {
            columns: count(limits.columns),
            tables: count(limits.tables),
            partitions_per_write: count(limits.partitions_per_write),
            line: Some(limits.line.0),
            body: Some(limits.body.0),
            query_memory: Some(limits.query_memory.0),
            query_time: Some(span(limits.query_time)),
            concurrent_queries: count(limits.concurrent_queries),
            past: limits.past.map(span),
            future: limits.future.map(span),
        }
    }
}

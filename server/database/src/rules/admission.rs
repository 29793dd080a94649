//! Which rows a database takes, asked row by row while a write is read: what the rules keep, how old and how far ahead
//! rows may be, and which partitions are closed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ochre_ingest::RowFilter;
use ochre_store::catalog::{PartitionName, TemplateId};
use ochre_types::TableName;
use ochre_types::rules::{Rules, StoreRule};
use ochre_types::size::format_duration;
use parking_lot::Mutex;

/// Refuses rows, as the rules and the closed partitions were when a write began to be read.
#[derive(Debug)]
pub(super) struct Admission {
    rules: Arc<Rules>,
    closed: Arc<BTreeSet<PartitionName>>,
    /// By the hybrid clock, in nanoseconds since 1970-01-01 UTC.
    now: i64,
    /// How long rows of the table that came last are kept: patterns are not asked again for every row.
    kept: Mutex<Option<(TableName, Option<Duration>)>>,
}

impl Admission {
    /// What refuses rows; `None` if none can be refused.
    pub(super) fn of(
        rules: &Arc<Rules>,
        closed: &Arc<BTreeSet<PartitionName>>,
        now: i64,
    ) -> Option<Arc<dyn RowFilter>> {
        let limits = &rules.limits;
        let takes_all = !matches!(rules.store, StoreRule::Match(_))
            && rules.lifecycle.retain.rules.is_empty()
            && limits.past.is_none()
            && limits.future.is_none()
            && closed.is_empty();
        let admission = || Self { rules: rules.clone(), closed: closed.clone(), now, kept: Mutex::new(None) };
        (!takes_all).then(|| Arc::new(admission()) as Arc<dyn RowFilter>)
    }

    fn kept(&self, table: &TableName) -> Option<Duration> {
        let mut last = self.kept.lock();
        match &*last {
            Some((of, kept)) if of == table => *kept,
            _ => {
                let kept = self.rules.lifecycle.retain.of(table);
                *last = Some((table.clone(), kept));
                kept
            }
        }
    }

    fn refuse_time(&self, table: &TableName, time: i64) -> Option<String> {
        let rules = &*self.rules;
        if let Some(kept) = self.kept(table).filter(|kept| self.age(time) > nanos(*kept)) {
            let (table, kept) = (table.as_str(), format_duration(kept));
            // Telegraf looks for these words, and does not send such a row again.
            return Some(format!(
                "points beyond retention policy: lifecycle.retain keeps rows of {table:?} for {kept}"
            ));
        }
        if let Some(past) = rules.limits.past.filter(|past| self.age(time) > nanos(*past)) {
            let past = format_duration(past);
            return Some(format!("the time is further back than limits.past allows in the database's rules: {past}"));
        }
        let future = rules.limits.future.filter(|future| -self.age(time) > nanos(*future))?;
        let future = format_duration(future);
        Some(format!("the time is further ahead than limits.future allows in the database's rules: {future}"))
    }

    /// How far back a time is; negative if it is ahead.
    fn age(&self, time: i64) -> i128 {
        i128::from(self.now) - i128::from(time)
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

impl RowFilter for Admission {
    fn refuse<'a>(&self, table: &TableName, tag: &dyn Fn(&str) -> Option<&'a str>, time: i64) -> Option<String> {
        if let StoreRule::Match(kept) = &self.rules.store
            && !kept.admits(table, tag, time)
        {
            return Some("the row does not match store.match in the database's rules, and is not kept".to_owned());
        }
        if let Some(reason) = self.refuse_time(table, time) {
            return Some(reason);
        }
        if self.closed.is_empty() {
            return None;
        }
        let (template, _) = self.rules.partition.template(table);
        let key = template.key(table, tag, time);
        let name = PartitionName { table: table.clone(), template: TemplateId(template.id()), key };
        self.closed.contains(&name).then(|| {
            format!(
                "the partition {:?} of table {:?} is read-only and takes no rows",
                name.key.as_str(),
                table.as_str()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use ochre_types::rules::Document;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;
    const NOW: i64 = 500_000 * HOUR;

    fn filter(text: &str, closed: &[(&str, &str)]) -> Option<Arc<dyn RowFilter>> {
        let rules = Arc::new(Document::parse(text, &Rules::default()).unwrap().rules);
        let name = |(table, key): &(&str, &str)| {
            let table = TableName::new(table).unwrap();
            let template = TemplateId(rules.partition.template(&table).0.id());
            PartitionName { table, template, key: ochre_types::partition::PartitionKey::new(key).unwrap() }
        };
        Admission::of(&rules, &Arc::new(closed.iter().map(name).collect()), NOW)
    }

    fn refused(filter: &Arc<dyn RowFilter>, table: &str, time: i64) -> String {
        filter.refuse(&TableName::new(table).unwrap(), &|_| None, time).unwrap_or_default()
    }

    #[test]
    fn nothing_is_asked_where_everything_is_taken() {
        assert!(filter("database: d", &[]).is_none());
        assert!(filter("{database: d, store: none}", &[]).is_none());
    }

    #[test]
    fn rows_that_are_too_old_or_too_far_ahead_are_refused() {
        let text = "{database: d, limits: {past: 3h, future: 1h}, \
                    lifecycle: {retain: [{tables: short, after: 2h}, {tables: long, after: forever}]}}";
        let filter = filter(text, &[]).unwrap();
        let old = "points beyond retention policy: lifecycle.retain keeps rows of \"short\" for 2h";
        let past = "the time is further back than limits.past allows in the database's rules: 3h";
        let future = "the time is further ahead than limits.future allows in the database's rules: 1h";
        for (table, time, expected) in [
            ("short", NOW - 2 * HOUR, ""),
            ("short", NOW - 2 * HOUR - 1, old),
            ("long", NOW - 3 * HOUR, ""),
            ("long", NOW - 3 * HOUR - 1, past),
            ("other", i64::MIN, past),
            ("other", NOW + HOUR, ""),
            ("short", NOW + HOUR + 1, future),
            ("other", i64::MAX, future),
        ] {
            assert_eq!(refused(&filter, table, time), expected, "{table} {time}");
        }
    }

    #[test]
    fn rows_of_closed_partitions_are_refused() {
        let filter = filter("{database: d, partition: [{tables: \"*\", by: [{table: }]}]}", &[("a", "a")]).unwrap();
        assert_eq!(refused(&filter, "a", 1), "the partition \"a\" of table \"a\" is read-only and takes no rows");
        assert_eq!(refused(&filter, "b", 1), "");
    }
}

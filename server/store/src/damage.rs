//! What was found damaged, of all databases of a node: each thing once, in one log line, one count and one entry, for
//! as long as the process runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use ochre_env::Clock;
use ochre_types::{DatabaseName, TableName};
use parking_lot::Mutex;

/// The most entries that are kept; what is found beyond them is counted only, and may be counted again.
const MAX_ENTRIES: usize = 10_000;

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DamageKind {
    /// The log.
    Log,
    /// A revision of a catalog.
    Catalog,
    /// An object that holds rows.
    Object,
}

impl DamageKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Log, Self::Catalog, Self::Object];

    /// The name in `system.damage` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Catalog => "catalog",
            Self::Object => "object",
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that can't be read as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is damaged.
    pub kind: DamageKind,
    /// The database; `None` if it is not known, or concerns all.
    pub database: Option<DatabaseName>,
    /// The table, where it is known.
    pub table: Option<TableName>,
    /// The file or object, and the place within it.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What is missing by it: sequences, rows, times.
    pub missing: String,
    /// What to do.
    pub advice: String,
}

/// Damage, and when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When, in milliseconds since 1970-01-01 UTC, by the wall clock.
    pub at_millis: u64,
    /// What.
    pub damage: Damage,
}

/// What was found damaged since the process was started.
#[derive(Debug)]
pub struct DamageRegistry {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By kind and place.
    entries: BTreeMap<(DamageKind, String), Found>,
    totals: BTreeMap<DamageKind, u64>,
}

impl DamageRegistry {
    /// Nothing is damaged.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Notes damage: logs and counts it unless it is known. False if it is.
    pub fn report(&self, damage: Damage) -> bool {
        let is_new = self.note(damage.clone());
        if is_new {
            let Damage { kind, database, table, place, what, missing, advice } = damage;
            let (database, table) = (database.map(|name| name.to_string()), table.map(|name| name.to_string()));
            tracing::error!(%kind, database, table, place, what, missing, advice, "damage was found; the rest is served");
        }
        is_new
    }

    /// Notes and counts damage that whoever found it has logged. False if it is known.
    pub fn note(&self, damage: Damage) -> bool {
        let key = (damage.kind, damage.place.clone());
        let at_millis = self.clock.wall_millis();
        {
            let mut state = self.state.lock();
            if state.entries.contains_key(&key) {
                return false;
            }
            *state.totals.entry(damage.kind).or_default() += 1;
            if state.entries.len() >= MAX_ENTRIES {
                return true;
            }
            state.entries.insert(key, Found { at_millis, damage });
        }
        true
    }

    /// Forgets what lies at `place`: it was repaired, or is said elsewhere.
    pub fn resolve(&self, kind: DamageKind, place: &str) {
        self.state.lock().entries.remove(&(kind, place.to_owned()));
    }

    /// Forgets everything at places that begin with `place`.
    pub fn resolve_below(&self, kind: DamageKind, place: &str) {
        self.state.lock().entries.retain(|(of, at), _| *of != kind || !at.starts_with(place));
    }

    /// What is damaged, by kind and place.
    pub fn list(&self) -> Vec<Found> {
        self.state.lock().entries.values().cloned().collect()
    }

    /// How often damage was found, by kind.
    pub fn totals(&self) -> BTreeMap<DamageKind, u64> {
        let state = self.state.lock();
        DamageKind::ALL.into_iter().map(|kind| (kind, state.totals.get(&kind).copied().unwrap_or_default())).collect()
    }
}

/// A span of row times, for people.
pub fn span_text((first, last): (i64, i64)) -> String {
    let text = |nanos: i64| DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::AutoSi, true);
    format!("{} to {}", text(first), text(last))
}

#[cfg(test)]
mod tests {
    use ochre_env::SystemClock;

    use super::*;

    fn damage(place: &str) -> Damage {
        Damage {
            kind: DamageKind::Object,
            database: None,
            table: None,
            place: place.to_owned(),
            what: "it is missing".to_owned(),
            missing: "3 rows".to_owned(),
            advice: "restore it".to_owned(),
        }
    }

    #[test]
    fn damage_is_noted_once_until_it_is_resolved() {
        let registry = DamageRegistry::new(Arc::new(SystemClock::new()));
        assert!(registry.report(damage("a/1")));
        assert!(!registry.report(damage("a/1")));
        assert!(registry.report(damage("a/2")));
        assert!(registry.report(damage("b")));
        assert_eq!(registry.totals()[&DamageKind::Object], 3);
        assert_eq!(registry.totals()[&DamageKind::Log], 0);
        registry.resolve_below(DamageKind::Object, "a/");
        let left: Vec<_> = registry.list().into_iter().map(|found| found.damage.place).collect();
        assert_eq!(left, ["b"]);
        registry.resolve(DamageKind::Object, "b");
        assert!(registry.report(damage("b")), "it is back");
        assert_eq!(registry.totals()[&DamageKind::Object], 4);
    }

    #[test]
    fn entries_are_bounded_and_counts_are_not() {
        let registry = DamageRegistry::new(Arc::new(SystemClock::new()));
        for number in 0..MAX_ENTRIES + 5 {
            registry.report(damage(&number.to_string()));
        }
        assert_eq!(registry.list().len(), MAX_ENTRIES);
        assert_eq!(registry.totals()[&DamageKind::Object], MAX_ENTRIES as u64 + 5);
    }
}

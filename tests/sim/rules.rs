//! Rules that change while a server works: what was applied, what may be in force, and what the catalog may hold.
//!
//! Nobody knows what became of a change whose answer was lost, until it shows: at the next start, by its generation.
//! Until then both may be in force. What is in force is a server's affair, as an older server on the prefix goes on with
//! what it had; what the catalog holds is everybody's.

use std::collections::BTreeMap;

use ochre_database::Node;
use ochre_database::rules::{Applied, RulesError};
use ochre_types::rules::{Document, Rules, Target};

use super::journal::Violation;
use super::server::World;

/// What a row's partition depends on is its table, its day and its host, whatever template is chosen.
pub const TEMPLATES: [&str; 8] = [
    "[{time: \"%Y-%m-%d\"}]",
    "[]",
    "[{tag: host}]",
    "[{bucket: {tag: host, count: 2}}, {time: \"%Y\"}]",
    "[{regex: {tag: host, pattern: \"^([a-z])\"}}, {table: {}}]",
    "[{time: \"%Y-%m-%dT%H\"}, {tag: host}]",
    "[{table: {}}, {time: \"%Y\"}]",
    "[{bucket: {tag: host, count: 3}}]",
];
/// Orders of rows.
pub const SORTS: [&str; 4] = ["auto", "[host]", "[zone, host]", "[rack, nothing, zone]"];
/// The host whose rows a database does not keep while its rules have a match.
pub const UNKEPT_HOST: &str = "x";
/// The generations that a catalog keeps, the one in force among them.
const KEPT: usize = 32;

/// The rules that a change asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ruled {
    /// Index into [`TEMPLATES`].
    pub template: usize,
    /// Index into [`SORTS`].
    pub sort: usize,
    /// Whether writes are acknowledged before they are durable.
    pub accepted: bool,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether rows of [`UNKEPT_HOST`] are refused.
    pub filtered: bool,
}

impl Ruled {
    /// The document for a database.
    pub fn document(&self, database: usize) -> String {
        let store = match self.filtered {
            true => format!("{{match: {{where: \"host <> '{UNKEPT_HOST}'\"}}}}"),
            false => "all".to_owned(),
        };
        format!(
            "database: {:?}\npartition: [{{tables: \"*\", by: {}}}]\nlog: {{ack: {}}}\nlifecycle: {{sort: {}, mutable: \
             {}}}\nstore: {store}\n",
            World::database(database).as_str(),
            TEMPLATES[self.template],
            if self.accepted { "accepted" } else { "durable" },
            SORTS[self.sort],
            !self.read_only,
        )
    }

    /// What the document comes to, as `defaults` fill it in.
    pub fn rules(&self, defaults: &Rules) -> Rules {
        Document::parse(&self.document(0), defaults).expect("the documents of a simulation are right").rules
    }
}

/// What may be in force on one home's server for one database, from a tick of the journal on.
type InForce = Vec<(u64, Vec<Option<Ruled>>)>;

/// What is known of one database's rules in the catalog.
#[derive(Debug, Default)]
struct Kept {
    /// The highest generation that somebody saw; 0 before the first.
    generation: u64,
    /// What each generation said, as far as somebody saw it.
    documents: BTreeMap<u64, Ruled>,
    /// Changes that may have got in since.
    undecided: Vec<Undecided>,
}

/// A change of which nobody knows what became.
#[derive(Debug)]
struct Undecided {
    home: usize,
    ruled: Ruled,
    /// Whether an answer may come yet. A home has one such at most.
    waits: bool,
}

/// See the module's doc. Without a document (`None`), a database has the server's defaults.
#[derive(Debug)]
pub struct RulesJournal {
    defaults: Rules,
    databases: Vec<Kept>,
    in_force: Vec<Vec<InForce>>,
    /// The highest fence that is known to be kept, and the highest that may be.
    fence: (u64, u64),
}

impl RulesJournal {
    pub fn new(homes: usize, databases: usize, defaults: Rules) -> Self {
        Self {
            defaults,
            databases: (0..databases).map(|_| Kept::default()).collect(),
            in_force: vec![vec![vec![(0, vec![None])]; databases]; homes],
            fence: (0, 0),
        }
    }

    /// All that may have been in force between two ticks, both included.
    pub fn between(&self, home: usize, database: usize, first: u64, last: u64) -> Vec<Option<Ruled>> {
        let history = &self.in_force[home][database];
        let until = history.partition_point(|(tick, _)| *tick <= last);
        let from = history.partition_point(|(tick, _)| *tick <= first).saturating_sub(1);
        history[from..until].iter().flat_map(|(_, possible)| possible.iter().copied()).collect()
    }

    fn now_in_force(&self, home: usize, database: usize) -> &[Option<Ruled>] {
        self.in_force[home][database].last().map_or(&[], |(_, possible)| possible)
    }

    /// The fence that is known to be kept.
    pub fn fence(&self) -> u64 {
        self.fence.0
    }

    /// How many generations there are of all databases.
    pub fn generations(&self) -> u64 {
        self.databases.iter().map(|kept| kept.generation).sum()
    }

    /// Whether a fence that may be kept is higher.
    pub fn may_be_fenced(&self, fence: u64) -> bool {
        fence < self.fence.1
    }

    /// A fence is on its way.
    pub fn begin_fence(&mut self, fence: u64) {
        self.fence.1 = self.fence.1.max(fence);
    }

    /// A fence is kept.
    pub fn end_fence(&mut self, fence: u64) {
        self.fence.0 = self.fence.0.max(fence);
    }

    /// The generation in force, if that is known for sure.
    pub fn generation(&self, database: usize) -> Option<u64> {
        let kept = &self.databases[database];
        kept.undecided.is_empty().then_some(kept.generation)
    }

    /// An earlier generation whose document is known, and that is surely still kept.
    pub fn earlier(&self, database: usize, nth: usize) -> Option<(u64, Ruled)> {
        let documents = &self.databases[database].documents;
        let known: Vec<_> = documents.iter().rev().take(KEPT / 2).collect();
        let (generation, ruled) = known.get(nth % known.len().max(1))?;
        Some((**generation, **ruled))
    }

    /// A change is sent.
    pub fn begin(&mut self, home: usize, database: usize, ruled: Ruled, now: u64) {
        self.databases[database].undecided.push(Undecided { home, ruled, waits: true });
        let mut possible = self.now_in_force(home, database).to_vec();
        possible.push(Some(ruled));
        self.in_force[home][database].push((now, possible));
    }

    /// The change that was begun last was refused: it made nothing.
    pub fn refused(&mut self, home: usize, database: usize, now: u64) {
        self.databases[database].undecided.retain(|change| change.home != home || !change.waits);
        let mut possible = self.now_in_force(home, database).to_vec();
        possible.pop();
        self.in_force[home][database].push((now, possible));
    }

    /// Nobody will hear what became of the change that was begun last.
    pub fn unknown(&mut self, home: usize, database: usize) {
        let changes = self.databases[database].undecided.iter_mut();
        changes.filter(|change| change.home == home).for_each(|change| change.waits = false);
    }

    /// The change that was begun last was taken: it made this generation, or found it in force. Only a change that made
    /// one comes after all that nobody has heard of; else those may still get in, and so come later.
    pub fn taken(
        &mut self,
        home: usize,
        database: usize,
        ruled: Ruled,
        applied: &Applied,
        now: u64,
    ) -> Result<(), Violation> {
        let (generation, is_new) = (applied.generation, !applied.changes.is_empty());
        let comes_to = ruled.rules(&self.defaults);
        let defaults = self.defaults.clone();
        let kept = &mut self.databases[database];
        let before = kept.documents.get(&kept.generation).map_or(defaults, |before| before.rules(&self.defaults));
        // Others that nobody has heard of may have got in before it.
        let most = kept.generation + kept.undecided.len() as u64;
        let least = kept.generation + u64::from(kept.undecided.len() == 1 && before != comes_to);
        let is_late = kept.documents.get(&generation) == Some(&ruled);
        if !is_late && !(least..=most).contains(&generation) {
            let what =
                format!("{ruled:?} became generation {generation} of {database}, not {least} to {most}: {kept:?}");
            return Err(Violation::new("rules", what));
        }
        let is_own = |change: &Undecided| change.home == home && change.waits;
        kept.undecided.retain(|change| !is_own(change) && (change.waits || !is_new));
        let later = kept.undecided.iter().filter(|change| change.home == home).map(|change| Some(change.ruled));
        self.in_force[home][database].push((now, [Some(ruled)].into_iter().chain(later).collect()));
        if generation >= kept.generation {
            kept.generation = generation;
            kept.see(generation, ruled, &self.defaults)?;
        }
        Ok(())
    }

    /// Checks what a server found in the catalog, and takes it as known from now on.
    pub fn opened(&mut self, home: usize, node: &Node, now: u64) -> Result<(), Violation> {
        if !(self.fence.0..=self.fence.1).contains(&node.fence()) {
            let what = format!("the fence is {}, not from {} to {}", node.fence(), self.fence.0, self.fence.1);
            return Err(Violation::new("rules", what));
        }
        self.fence = (node.fence(), node.fence());
        for database in 0..self.databases.len() {
            let found = self.check_kept(home, node, database)?;
            self.in_force[home][database] = vec![(now, vec![found])];
        }
        Ok(())
    }

    fn check_kept(&mut self, home: usize, node: &Node, database: usize) -> Result<Option<Ruled>, Violation> {
        let defaults = &self.defaults;
        let kept = &mut self.databases[database];
        let name = World::database(database);
        let target = Target::Database(name.clone());
        let wrong = |what: String| Err(Violation::new("rules", format!("{name}: {what}")));
        let shown = match node.rules(&target) {
            Ok(shown) => shown,
            Err(RulesError::UnknownDatabase(_)) if kept.generation == 0 => return Ok(None),
            Err(error) => return wrong(error.to_string()),
        };
        if let Some(running) = node.database(&name)
            && *running.rules() != *shown.rules
        {
            return wrong(format!("{:?} are in force, and the catalog has {shown:?}", running.rules()));
        }
        let most = kept.generation + kept.undecided.len() as u64;
        if !(kept.generation..=most).contains(&shown.generation) {
            return wrong(format!("generation {} was found, and {kept:?} were applied", shown.generation));
        }
        let known = kept.documents.get(&shown.generation);
        let undecided = kept.undecided.iter().filter(|_| known.is_none());
        let candidates = known.into_iter().chain(undecided.map(|change| &change.ruled));
        let found = candidates.copied().find(|ruled| ruled.rules(defaults) == *shown.rules);
        match found {
            Some(found) => kept.documents.insert(shown.generation, found),
            None if shown.generation == 0 && *shown.rules == *defaults => None,
            None => return wrong(format!("{shown:?} was found, and {kept:?} were applied")),
        };
        kept.generation = shown.generation;
        kept.undecided.retain(|change| change.home != home && change.waits);
        let history = node.rules_history(&target).map_err(|error| Violation::new("rules", error.to_string()))?;
        for generation in &history {
            let document = Document::parse(&generation.document, defaults).map(|document| document.rules);
            let applied = kept.documents.get(&generation.generation).map(|ruled| ruled.rules(defaults));
            if applied.is_some_and(|applied| document != Ok(applied)) {
                return wrong(format!("the history has {generation:?}, and {kept:?} were applied"));
            }
        }
        let expected = (kept.generation as usize).min(KEPT);
        if history.len() < expected || history.first().map_or(0, |newest| newest.generation) != kept.generation {
            return wrong(format!("{} generations of {} are kept", history.len(), kept.generation));
        }
        Ok(found)
    }
}

impl Kept {
    fn see(&mut self, generation: u64, ruled: Ruled, defaults: &Rules) -> Result<(), Violation> {
        match self.documents.insert(generation, ruled) {
            Some(other) if other.rules(defaults) != ruled.rules(defaults) => {
                let what = format!("generation {generation} was {other:?}, and is {ruled:?} now");
                Err(Violation::new("rules", what))
            }
            _ => Ok(()),
        }
    }
}

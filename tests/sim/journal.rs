//! What was written and what became of it, kept outside of the server, and the checks of answers against it.
//!
//! ```text
//!   batch: one write of lines --> parts: its rows of one table, day and host --> rows, each with a number of its own,
//!          InFlight -> Acked | Refused | Unknown                                 which every field of it carries
//!   home: a disk with a log. What was acknowledged is required of its home; what was seen in the catalog, of all.
//! ```
//!
//! The checks (see [`Journal::check`]): a required part is there (else lost), no row is there twice, nothing that was
//! refused or never sent is there (phantom), a batch is there whole or not at all (torn; of a batch that another home
//! took, only what reached the catalog is there, by parts), what was once seen stays, and of two values of one cell the
//! older one never wins (stale). A part is never in two partitions, whatever template is in force.
//!
//! Nothing that was deleted comes back (undead); what may have been deleted may be there or not: see
//! [`super::deletions`].
//!
//! What was, or may have been, acknowledged before it was durable is required of the process that took it and of no
//! later one: after a crash any of its parts may be there. Rows that the rules may refuse are parts by themselves, which
//! are optional until the answer tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::answers::{Cell, Row};
use super::deletions::{Deletions, Scope, When};
use super::rules::{RulesJournal, UNKEPT_HOST};
use ochre_types::rules::Rules;

const DAY: i64 = 86_400_000_000_000;

/// Where a row is: its database, table, tags and time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub database: usize,
    pub table: usize,
    pub tags: Vec<Option<String>>,
    pub time: i64,
}

/// The tags that rows may have.
pub const TAGS: [&str; 3] = ["host", "zone", "rack"];
/// The fields that rows may have.
pub const FIELDS: [&str; 4] = ["f", "i", "u", "s"];

/// A row as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub key: Key,
    /// Indices into [`FIELDS`].
    pub fields: BTreeSet<usize>,
    /// Whether it is legal line protocol.
    pub good: bool,
}

type RowId = u64;
type BatchId = usize;
/// A batch's rows of one table, day and host (0 if that is [`UNKEPT_HOST`]).
pub type Part = (BatchId, usize, i64, u32);
type CellKey = (Key, usize);

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    InFlight,
    Acked,
    Refused,
    Unknown,
}

#[derive(Debug)]
struct Batch {
    home: usize,
    claim: u64,
    begun: u64,
    ended: Option<u64>,
    outcome: Outcome,
    /// Whether it may have been acknowledged before it was durable.
    is_loose: bool,
    rows: Vec<RowId>,
    /// What is there if any of it is.
    parts: BTreeSet<Part>,
    /// What the rules may have refused.
    optional: BTreeSet<Part>,
}

#[derive(Debug)]
struct Version {
    batch: BatchId,
    sent: Sent,
}

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which checker says so.
    pub checker: &'static str,
    /// What it saw.
    pub what: String,
}

impl Violation {
    pub fn new(checker: &'static str, what: impl Into<String>) -> Self {
        Self { checker, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

/// A read that has begun: of which home's server, of which table, and what must be seen.
#[derive(Debug, Clone)]
pub struct Read {
    pub home: usize,
    /// The number of the server's claim.
    pub claim: u64,
    pub database: usize,
    pub table: usize,
    required: BTreeSet<Part>,
    /// The deletions that the server certainly has.
    deletions: Vec<usize>,
}

/// What a home's server certainly has at a moment.
#[derive(Debug, Clone)]
pub struct Known {
    parts: BTreeSet<Part>,
    deletions: BTreeSet<usize>,
}

/// See the module's doc.
#[derive(Debug)]
pub struct Journal {
    /// What is known of the rules.
    pub rules: RulesJournal,
    now: u64,
    rows: BTreeMap<RowId, Version>,
    batches: Vec<Batch>,
    /// By home.
    required: Vec<BTreeSet<Part>>,
    /// By home: what is required until the process there ends.
    volatile: Vec<BTreeSet<Part>>,
    /// The values of a cell that may be seen: of each batch the last.
    cells: BTreeMap<Part, BTreeMap<CellKey, RowId>>,
    deletions: Deletions,
    /// Whether what is durable is durable for every home.
    is_shared: bool,
}

impl Journal {
    /// A journal; `is_shared` if the homes share what is durable.
    pub fn new(homes: usize, databases: usize, defaults: Rules, is_shared: bool) -> Self {
        Self {
            rules: RulesJournal::new(homes, databases, defaults),
            now: 0,
            rows: BTreeMap::new(),
            batches: Vec::new(),
            required: vec![BTreeSet::new(); homes],
            volatile: vec![BTreeSet::new(); homes],
            cells: BTreeMap::new(),
            deletions: Deletions::default(),
            is_shared,
        }
    }

    /// The next moment.
    pub fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// The number that the next row gets.
    pub fn next_row(&self) -> RowId {
        self.rows.len() as u64 + 1
    }

    /// Notes a batch that is about to be sent; its rows are numbered from [`Journal::next_row`].
    pub fn begin(&mut self, home: usize, claim: u64, sent: Vec<Sent>) -> BatchId {
        let (id, begun) = (self.batches.len(), self.tick());
        let mut batch = Batch {
            home,
            claim,
            begun,
            ended: None,
            outcome: Outcome::InFlight,
            is_loose: false,
            rows: Vec::new(),
            parts: BTreeSet::new(),
            optional: BTreeSet::new(),
        };
        for sent in sent {
            let row = self.next_row();
            batch.rows.push(row);
            if sent.good {
                let part = part_of(id, &sent.key);
                if sent.key.is_kept_always() {
                    batch.parts.insert(part)
                } else {
                    batch.optional.insert(part)
                };
                let cells = self.cells.entry(part).or_default();
                cells.extend(sent.fields.iter().map(|field| ((sent.key.clone(), *field), row)));
            }
            self.rows.insert(row, Version { batch: id, sent });
        }
        self.batches.push(batch);
        id
    }

    /// Notes that the rules kept a batch's optional parts, or refused them.
    pub fn decide(&mut self, id: BatchId, is_kept: bool) {
        let optional = std::mem::take(&mut self.batches[id].optional);
        if is_kept {
            self.batches[id].parts.extend(optional);
        } else {
            optional.iter().for_each(|part| drop(self.cells.remove(part)));
        }
    }

    /// When a batch was sent.
    pub fn begun(&self, id: BatchId) -> u64 {
        self.batches[id].begun
    }

    /// Notes what became of a batch.
    pub fn end(&mut self, id: BatchId, outcome: Outcome) {
        let now = self.tick();
        let is_loose = self.is_loose(id);
        let batch = &mut self.batches[id];
        batch.outcome = outcome;
        batch.ended = Some(now);
        batch.is_loose = is_loose;
        if outcome == Outcome::Acked {
            let (home, parts) = (batch.home, batch.parts.clone());
            let required = if is_loose { &mut self.volatile } else { &mut self.required };
            required[home].extend(parts);
        }
    }

    /// Whether a batch was, is, or may be acknowledged before it is durable.
    fn is_loose(&self, id: BatchId) -> bool {
        let batch = &self.batches[id];
        if batch.ended.is_some() {
            return batch.is_loose;
        }
        let Some(database) = self.database_of_batch(id) else { return false };
        self.may_accept_early(batch.home, database, batch.begun)
    }

    /// Whether something that was sent then may be acknowledged before it is durable.
    fn may_accept_early(&self, home: usize, database: usize, begun: u64) -> bool {
        let possible = self.rules.between(home, database, begun, self.now);
        possible.into_iter().flatten().any(|ruled| ruled.accepted)
    }

    /// The process of a home's server is gone: nobody will ever hear what became of its writes.
    pub fn lose_in_flight(&mut self, home: usize) {
        let open: Vec<BatchId> = (0..self.batches.len())
            .filter(|id| self.batches[*id].home == home && self.batches[*id].outcome == Outcome::InFlight)
            .collect();
        open.into_iter().for_each(|id| self.end(id, Outcome::Unknown));
        self.volatile[home].clear();
        let now = self.tick();
        self.deletions.lose_in_flight(home, now);
    }

    /// A server has opened: if the homes share what is durable, it has all of it.
    pub fn opened(&mut self) {
        if !self.is_shared {
            return;
        }
        let all: BTreeSet<Part> = self.required.iter().flatten().copied().collect();
        self.spread(&all);
        for home in 0..self.required.len() {
            let known = self.deletions.known_to(home);
            self.deletions.make_global(&known, None);
        }
    }

    /// Notes a deletion that is about to be sent.
    pub fn begin_deletion(&mut self, home: usize, claim: u64, scope: Scope) -> usize {
        let now = self.tick();
        self.deletions.begin(home, claim, scope, now)
    }

    /// Notes what became of a deletion.
    pub fn end_deletion(&mut self, id: usize, outcome: Outcome) {
        let now = self.tick();
        let (database, home, begun) = self.deletions.facts(id);
        let is_loose = self.may_accept_early(home, database, begun);
        self.deletions.end(id, outcome, is_loose, now);
    }

    /// Notes a request to take a drop back; which drops it may mean, and when it was sent.
    pub fn begin_undrop(&mut self, database: usize, table: usize) -> (Vec<usize>, u64) {
        (self.deletions.begin_undrop(database, table), self.tick())
    }

    /// Notes that it was acknowledged.
    pub fn end_undrop(&mut self, ids: &[usize], home: usize, database: usize, begun: u64) {
        self.tick();
        let is_loose = self.may_accept_early(home, database, begun);
        self.deletions.undropped(ids, home, is_loose);
    }

    /// A number that changes whenever a deletion begins or ends, and whether one is under way.
    pub fn deleting(&self) -> (u64, bool) {
        self.deletions.moment()
    }

    /// What a home certainly has now: to be handed to [`Journal::make_global`] once it is known to be persisted.
    pub fn known_to(&self, home: usize) -> Known {
        Known { parts: self.required_of(home), deletions: self.deletions.known_to(home) }
    }

    fn required_of(&self, home: usize) -> BTreeSet<Part> {
        self.required[home].union(&self.volatile[home]).copied().collect()
    }

    /// All of this is in the catalog: whoever opens it has it.
    pub fn make_global(&mut self, known: &Known) {
        self.spread(&known.parts);
        self.deletions.make_global(&known.deletions, None);
    }

    /// What of this is of one database is in the catalog.
    pub fn make_global_of(&mut self, known: &Known, database: usize) {
        let here: BTreeSet<Part> =
            known.parts.iter().filter(|part| self.database_of(part) == Some(database)).copied().collect();
        self.spread(&here);
        self.deletions.make_global(&known.deletions, Some(database));
    }

    fn spread(&mut self, parts: &BTreeSet<Part>) {
        self.required.iter_mut().for_each(|required| required.extend(parts));
    }

    /// How many rows were acknowledged.
    pub fn acked_rows(&self) -> usize {
        self.batches.iter().filter(|batch| batch.outcome == Outcome::Acked).map(|batch| batch.rows.len()).sum()
    }

    /// How many batches ended like this.
    pub fn batches(&self, outcome: Outcome) -> usize {
        self.batches.iter().filter(|batch| batch.outcome == outcome).count()
    }

    /// Begins a read: what is required by now must be in its answer.
    pub fn begin_read(&self, home: usize, claim: u64, database: usize, table: usize) -> Read {
        let here = |part: &Part| part.1 == table && self.database_of(part) == Some(database);
        let required = self.required_of(home).into_iter().filter(here).collect();
        let deletions = self.deletions.certain(home, claim, database, table);
        Read { home, claim, database, table, required, deletions }
    }

    fn database_of(&self, part: &Part) -> Option<usize> {
        self.database_of_batch(part.0)
    }

    fn database_of_batch(&self, id: BatchId) -> Option<usize> {
        self.rows.get(self.batches[id].rows.first()?).map(|version| version.sent.key.database)
    }

    /// Checks the answer of a read of a whole table.
    pub fn check(&mut self, read: &Read, answer: &[Row]) -> Result<(), Violation> {
        let seen = self.identify(read, answer)?;
        let parts: BTreeSet<Part> = seen.values().map(|row| self.part_of_row(*row)).collect();
        let mut present: BTreeSet<Part> = read.required.union(&parts).copied().collect();
        let (mut lasting, mut volatile) = (BTreeSet::new(), BTreeSet::new());
        for part in parts.iter().filter(|part| self.batches[part.0].home == read.home) {
            let whole = self.batches[part.0].parts.iter().copied().chain([*part]);
            match (self.is_loose(part.0), self.batches[part.0].claim == read.claim) {
                (false, _) => lasting.extend(whole),
                (true, true) => volatile.extend(whole),
                // What a crash has left of it stays.
                (true, false) => lasting.extend([*part]),
            }
        }
        present.extend(lasting.union(&volatile).filter(|part| part.1 == read.table));
        self.check_present(read, &seen, &present)?;
        self.required[read.home].extend(lasting);
        self.volatile[read.home].extend(volatile);
        let foreign: BTreeSet<Part> =
            present.into_iter().filter(|part| self.batches[part.0].home != read.home).collect();
        self.spread(&foreign);
        Ok(())
    }

    /// Which row each cell of the answer is of.
    fn identify(&self, read: &Read, answer: &[Row]) -> Result<BTreeMap<CellKey, RowId>, Violation> {
        let mut seen = BTreeMap::new();
        let mut keys = BTreeSet::new();
        for row in answer {
            let key = key_of(read, row)?;
            if !keys.insert(key.clone()) {
                return Err(Violation::new("twice", format!("{key:?} is there twice")));
            }
            for (field, name) in FIELDS.iter().enumerate() {
                let Some(cell) = row.get(*name) else { continue };
                let found = row_of(cell).filter(|found| self.may_be_seen(*found, &key, field));
                let Some(found) = found else {
                    return Err(Violation::new("phantom", format!("{key:?} has {name}={cell:?}, {}", self.tell(cell))));
                };
                let part = self.part_of_row(found);
                let of = self.when(part.0);
                if let Some(deletion) = self.deletions.hiding(&read.deletions, read.database, &part, of) {
                    let what = format!("{key:?} has {name}={cell:?} again, {}, after {deletion}", self.tell(cell));
                    return Err(Violation::new("undead", what));
                }
                seen.insert((key.clone(), field), found);
            }
        }
        Ok(seen)
    }

    fn part_of_row(&self, row: RowId) -> Part {
        let version = &self.rows[&row];
        part_of(version.batch, &version.sent.key)
    }

    fn may_be_seen(&self, row: RowId, key: &Key, field: usize) -> bool {
        let Some(version) = self.rows.get(&row) else { return false };
        let cells = self.cells.get(&part_of(version.batch, key));
        self.batches[version.batch].outcome != Outcome::Refused
            && cells.and_then(|cells| cells.get(&(key.clone(), field))) == Some(&row)
    }

    fn tell(&self, cell: &Cell) -> String {
        match row_of(cell).and_then(|row| self.rows.get(&row)) {
            None => "which nobody has sent".to_owned(),
            Some(version) => {
                format!("which was sent as {:?} in a batch that is {:?}", version.sent, self.batches[version.batch])
            }
        }
    }

    fn check_present(
        &self,
        read: &Read,
        seen: &BTreeMap<CellKey, RowId>,
        present: &BTreeSet<Part>,
    ) -> Result<(), Violation> {
        for part in present {
            if self.deletions.may_hide(read.database, part, self.when(part.0), read.home) {
                continue;
            }
            let Some(cells) = self.cells.get(part) else { continue };
            for (cell, row) in cells {
                let checker = match (seen.get(cell), read.required.contains(part)) {
                    (Some(found), _) if !self.is_older(self.rows[found].batch, part.0) => continue,
                    (Some(_), _) => "stale",
                    (None, true) => "lost",
                    (None, false) => "torn",
                };
                let what =
                    format!("{cell:?} of row {row}, read from home {}, of {:?}", read.home, self.batches[part.0]);
                return Err(Violation::new(checker, what));
            }
        }
        Ok(())
    }

    /// Whether every stamp of batch `a` is below that of batch `b`.
    fn is_older(&self, a: BatchId, b: BatchId) -> bool {
        self.when(a).is_before(self.when(b))
    }

    fn when(&self, id: BatchId) -> When {
        let Batch { claim, begun, ended, .. } = self.batches[id];
        When { claim, begun, ended }
    }
}

impl Key {
    /// Whether no rules that a database may have refuse the row.
    pub fn is_kept_always(&self) -> bool {
        self.tags[0].as_deref() != Some(UNKEPT_HOST)
    }
}

fn part_of(batch: BatchId, key: &Key) -> Part {
    let number = key.tags[0].as_deref().and_then(|host| host.strip_prefix('h')?.parse::<u32>().ok());
    (batch, key.table, key.time.div_euclid(DAY), number.map_or(0, |number| number + 1))
}

fn key_of(read: &Read, row: &Row) -> Result<Key, Violation> {
    let tag = |name: &&str| match row.get(*name) {
        Some(Cell::Text(text)) => Some(text.clone()),
        _ => None,
    };
    match row.get("time") {
        Some(Cell::Time(time)) => {
            Ok(Key { database: read.database, table: read.table, tags: TAGS.iter().map(tag).collect(), time: *time })
        }
        other => Err(Violation::new("phantom", format!("a row with time {other:?}"))),
    }
}

/// Every value carries the number of its row.
fn row_of(cell: &Cell) -> Option<RowId> {
    match cell {
        Cell::Float(bits) => Some((f64::from_bits(*bits) * 2.0) as u64),
        Cell::Integer(number) => u64::try_from(-number).ok(),
        Cell::UInteger(number) => Some(*number),
        Cell::Text(text) => text.strip_prefix("row ")?.parse().ok(),
        Cell::Boolean(_) | Cell::Time(_) => None,
    }
}

/// The text of a field's value in line protocol.
pub fn value_text(field: usize, row: RowId) -> String {
    match FIELDS[field] {
        "f" => format!("{}", row as f64 / 2.0),
        "i" => format!("-{row}i"),
        "u" => format!("{row}u"),
        _ => format!("\"row {row}\""),
    }
}

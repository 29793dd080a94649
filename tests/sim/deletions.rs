//! What was deleted, and what of that is certain.
//!
//! Deletions take whole parts of batches (see [`super::journal`]): a table, some days, one host or all. Whether one hides
//! a part is a matter of their order: certain if one had ended before the other began. Until a deletion is in the
//! catalog, it is a matter of who asks, too: another home's server does not have it.

use std::collections::BTreeSet;

use super::journal::{Outcome, Part};

/// What a deletion takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub database: usize,
    pub table: usize,
    /// The first and the last day; `None` is all.
    pub days: Option<(i64, i64)>,
    /// A host as parts number it; `None` is all.
    pub host: Option<u32>,
    /// Whether the whole table was dropped.
    pub is_drop: bool,
}

/// When something was sent, to whom, and when its answer came.
#[derive(Debug, Clone, Copy)]
pub struct When {
    pub claim: u64,
    pub begun: u64,
    pub ended: Option<u64>,
}

impl When {
    /// Whether its stamp is below the other's: it was sent to an earlier owner of the prefix, or had ended before the
    /// other began.
    pub fn is_before(self, other: Self) -> bool {
        self.claim < other.claim || (self.claim == other.claim && self.ended.is_some_and(|ended| ended < other.begun))
    }
}

/// That a drop was, or may have been, taken back.
#[derive(Debug, Clone, Copy, Default)]
struct Undrop {
    /// Whose server certainly knows of it.
    home: Option<usize>,
}

#[derive(Debug)]
struct Deletion {
    home: usize,
    when: When,
    scope: Scope,
    outcome: Outcome,
    /// Whether it may have been acknowledged before it was durable.
    is_loose: bool,
    /// Whether it is in the catalog.
    is_global: bool,
    undrop: Option<Undrop>,
}

/// All deletions of a run, by number.
#[derive(Debug, Default)]
pub struct Deletions {
    all: Vec<Deletion>,
    changes: u64,
}

impl Deletions {
    /// Notes one that is about to be sent.
    pub fn begin(&mut self, home: usize, claim: u64, scope: Scope, now: u64) -> usize {
        self.changes += 1;
        let when = When { claim, begun: now, ended: None };
        let outcome = Outcome::InFlight;
        self.all.push(Deletion { home, when, scope, outcome, is_loose: false, is_global: false, undrop: None });
        self.all.len() - 1
    }

    /// Notes what became of it.
    pub fn end(&mut self, id: usize, outcome: Outcome, is_loose: bool, now: u64) {
        self.changes += 1;
        let deletion = &mut self.all[id];
        deletion.when.ended = Some(now);
        (deletion.outcome, deletion.is_loose) = (outcome, is_loose);
    }

    /// The database, home and beginning of one.
    pub fn facts(&self, id: usize) -> (usize, usize, u64) {
        let deletion = &self.all[id];
        (deletion.scope.database, deletion.home, deletion.when.begun)
    }

    /// The process of a home is gone: nobody will hear what became of what it was asked.
    pub fn lose_in_flight(&mut self, home: usize, now: u64) {
        for id in 0..self.all.len() {
            if self.all[id].home == home && self.all[id].outcome == Outcome::InFlight {
                self.end(id, Outcome::Unknown, true, now);
            }
        }
    }

    /// Drops of a table that a request to undrop it, sent now, may take back: from now on nothing is certain of them.
    pub fn begin_undrop(&mut self, database: usize, table: usize) -> Vec<usize> {
        self.changes += 1;
        let of = |deletion: &Deletion| {
            let Scope { database: d, table: t, is_drop, .. } = deletion.scope;
            is_drop && d == database && t == table && deletion.outcome != Outcome::Refused
        };
        let ids: Vec<usize> = (0..self.all.len()).filter(|id| of(&self.all[*id]) && !self.is_undone(*id)).collect();
        for id in &ids {
            self.all[*id].undrop.get_or_insert_default();
        }
        ids
    }

    /// Whether somebody certainly has it as taken back.
    fn is_undone(&self, id: usize) -> bool {
        self.all[id].undrop.is_some_and(|undrop| undrop.home.is_some())
    }

    /// Notes that a request to undrop was acknowledged. With one drop that it can have meant, that one is undone for this
    /// home, if its own order is clear.
    pub fn undropped(&mut self, ids: &[usize], home: usize, is_loose: bool) {
        self.changes += 1;
        if let [only] = ids
            && self.all[*only].outcome == Outcome::Acked
            && self.all[*only].home == home
            && !is_loose
        {
            self.all[*only].undrop = Some(Undrop { home: Some(home) });
        }
    }

    /// What a home has acknowledged by now for good.
    pub fn known_to(&self, home: usize) -> BTreeSet<usize> {
        let known = |id: &usize| {
            let deletion = &self.all[*id];
            deletion.home == home && deletion.outcome == Outcome::Acked && !deletion.is_loose
        };
        (0..self.all.len()).filter(known).collect()
    }

    /// These deletions are in the catalog now.
    pub fn make_global(&mut self, ids: &BTreeSet<usize>, database: Option<usize>) {
        for id in ids {
            let deletion = &mut self.all[*id];
            if database.is_none_or(|database| database == deletion.scope.database) {
                deletion.is_global = true;
            }
        }
    }

    /// A number that changes whenever a deletion begins or ends, and whether one is under way.
    pub fn moment(&self) -> (u64, bool) {
        (self.changes, self.all.iter().any(|deletion| deletion.outcome == Outcome::InFlight))
    }

    /// Whether a part may be hidden from whoever asks a home's server.
    pub fn may_hide(&self, database: usize, part: &Part, of: When, home: usize) -> bool {
        self.all.iter().any(|deletion| {
            let undone = deletion.undrop.is_some_and(|undrop| undrop.home == Some(home));
            deletion.outcome != Outcome::Refused
                && deletion.takes(database, part)
                && !deletion.when.is_before(of)
                && !undone
        })
    }

    /// Those of a table that were acknowledged by now and that a home's server, under this claim, certainly has.
    pub fn certain(&self, home: usize, claim: u64, database: usize, table: usize) -> Vec<usize> {
        let certain = |id: &usize| {
            let deletion = &self.all[*id];
            let here = deletion.home == home && (!deletion.is_loose || deletion.when.claim == claim);
            deletion.outcome == Outcome::Acked
                && deletion.undrop.is_none()
                && (deletion.scope.database, deletion.scope.table) == (database, table)
                && (here || deletion.is_global)
        };
        (0..self.all.len()).filter(certain).collect()
    }

    /// One of these that certainly hides a part.
    pub fn hiding(&self, ids: &[usize], database: usize, part: &Part, of: When) -> Option<String> {
        let hides = |id: &&usize| {
            let deletion = &self.all[**id];
            // Since the read began, somebody may have begun to take it back.
            deletion.undrop.is_none() && deletion.takes(database, part) && of.is_before(deletion.when)
        };
        ids.iter().find(hides).map(|id| format!("{:?}", self.all[*id]))
    }
}

impl Deletion {
    fn takes(&self, database: usize, part: &Part) -> bool {
        let (_, table, day, host) = *part;
        self.scope.database == database
            && self.scope.table == table
            && self.scope.days.is_none_or(|(first, last)| (first..=last).contains(&day))
            && self.scope.host.is_none_or(|of| of == host)
    }
}

//! The rules of a node's databases at run time.
//!
//! ```text
//!   document -> parse -> compare with those in force -> fence, then rules into the catalog -> in force -> reply
//! ```
//!
//! A database's rules are one value, [`RulesInForce`], exchanged as a whole under the lock that orders the log: what is
//! logged after the reply was prepared under the new rules, or is prepared anew. Nothing is in force that the catalog
//! does not hold. A change whose outcome the object store did not tell is put into force once the catalog has it.
//!
//! `*` stands for the rules that a new database starts with: the text of `*`, with the database's own name in it,
//! becomes generation 1 of the database. Generation 0 is the server's own defaults, by which also everything is filled
//! in that a document does not say.

mod admission;
mod apply;
mod defaults;
mod error;
mod history;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ochre_ingest::RowFilter;
use ochre_store::catalog::{PartitionName, RulesRecord};
use ochre_types::rules::{Document, Problem, Problems, Rules, Target};

use admission::Admission;

pub use apply::{Applied, Source, Terms};
pub use error::RulesError;
pub use history::{RulesGeneration, RulesShown};

pub(crate) use defaults::{DefaultRules, adopted};

/// The rules of one database, as of one moment.
pub struct RulesInForce {
    /// The generation of the document; 0 if none was ever applied.
    pub generation: u64,
    /// The document; `None` if none was ever applied.
    pub document: Option<Arc<Document>>,
    /// What it comes to.
    pub rules: Arc<Rules>,
    /// Partitions that take no writes. They are the catalog's, and in force together with the rules.
    closed: Arc<BTreeSet<PartitionName>>,
}

impl RulesInForce {
    /// The server's own defaults, without a document.
    pub fn defaults(rules: &Rules) -> Self {
        Self::new(0, None, rules.clone())
    }

    /// The rules of a document.
    pub(crate) fn of(generation: u64, document: Document) -> Self {
        let rules = document.rules.clone();
        Self::new(generation, Some(Arc::new(document)), rules)
    }

    /// Reads what a catalog holds, as what `defaults` fill in.
    pub(crate) fn read(record: &RulesRecord, defaults: &Rules) -> Result<Self, Problems> {
        Ok(Self::of(record.generation, parse(record, defaults)?))
    }

    fn new(generation: u64, document: Option<Arc<Document>>, rules: Rules) -> Self {
        Self { generation, document, rules: Arc::new(rules), closed: Arc::default() }
    }

    /// The same with these partitions closed.
    pub(crate) fn closing(&self, closed: &BTreeSet<PartitionName>) -> Self {
        let (document, rules) = (self.document.clone(), self.rules.clone());
        Self { generation: self.generation, document, rules, closed: Arc::new(closed.clone()) }
    }

    /// What refuses rows at `now` (by the hybrid clock, in nanoseconds since 1970-01-01 UTC); `None` if all are taken.
    pub(crate) fn filter(&self, now: i64) -> Option<Arc<dyn RowFilter>> {
        Admission::of(&self.rules, &self.closed, now)
    }

    /// The line of the document that says what is at `path`, from 1; `None` if none does.
    pub fn line_of(&self, path: &str) -> Option<u32> {
        self.document.as_ref()?.line_of(path)
    }
}

impl fmt::Debug for RulesInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RulesInForce").field("generation", &self.generation).field("rules", &self.rules).finish()
    }
}

/// The document that a catalog holds.
pub(crate) fn parse(record: &RulesRecord, defaults: &Rules) -> Result<Document, Problems> {
    match std::str::from_utf8(&record.text) {
        Ok(text) => Document::parse(text, defaults),
        Err(error) => Err(Problems(vec![Problem {
            path: String::new(),
            line: None,
            column: None,
            message: format!("the document is no text: {error}"),
        }])),
    }
}

/// Where rules are for, in messages.
fn of_target(target: &Target) -> String {
    match target {
        Target::Default => "new databases (\"*\")".to_owned(),
        Target::Database(name) => format!("database {name}"),
    }
}

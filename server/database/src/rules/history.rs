//! The generations of rules that catalogs keep.

use std::sync::Arc;

use ochre_store::catalog::RulesRecord;
use ochre_types::rules::{Rules, Target, render};

use super::{RulesError, of_target, parse};
use crate::node::Node;

/// One generation of rules, as it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesGeneration {
    /// Rises by one with every change.
    pub generation: u64,
    /// When it was applied, in milliseconds since 1970-01-01 UTC by the server's clock.
    pub applied_millis: u64,
    /// Who applied it: a token's name; empty if the server asks for none.
    pub applied_by: String,
    /// The fence that it was presented with.
    pub fence: Option<u64>,
    /// The document.
    pub document: String,
}

/// The rules of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesShown {
    /// The generation; 0 for the server's defaults.
    pub generation: u64,
    /// The document as it was applied; for generation 0 one that says the defaults.
    pub document: String,
    /// What it comes to, with everything that the document does not say.
    pub rules: Arc<Rules>,
}

impl From<&RulesRecord> for RulesGeneration {
    fn from(record: &RulesRecord) -> Self {
        Self {
            generation: record.generation,
            applied_millis: record.applied_millis,
            applied_by: record.applied_by.clone(),
            fence: record.fence,
            document: String::from_utf8_lossy(&record.text).into_owned(),
        }
    }
}

impl Node {
    /// The rules in force.
    pub fn rules(&self, target: &Target) -> Result<RulesShown, RulesError> {
        match self.kept(target)?.first() {
            Some(record) => self.shown(target, record),
            None => Ok(self.server_defaults(target)),
        }
    }

    /// The rules of one generation, if it is still kept.
    pub fn rules_at(&self, target: &Target, generation: u64) -> Result<RulesShown, RulesError> {
        if generation == 0 {
            self.kept(target)?;
            return Ok(self.server_defaults(target));
        }
        let kept = self.kept(target)?;
        match kept.iter().find(|record| record.generation == generation) {
            Some(record) => self.shown(target, record),
            None => Err(RulesError::NotKept {
                target: of_target(target),
                generation,
                oldest: kept.last().map_or(0, |record| record.generation),
            }),
        }
    }

    /// The generations that are kept, newest first; the first one is in force.
    pub fn rules_history(&self, target: &Target) -> Result<Vec<RulesGeneration>, RulesError> {
        Ok(self.kept(target)?.iter().map(RulesGeneration::from).collect())
    }

    /// The highest fence that was ever presented; 0 before the first.
    pub fn fence(&self) -> u64 {
        self.catalog.state().fence
    }

    /// Newest first. Catalogs keep them the other way round, the one in force included.
    fn kept(&self, target: &Target) -> Result<Vec<RulesRecord>, RulesError> {
        Ok(match target {
            Target::Default => self.catalog.state().default_rules_history.iter().rev().cloned().collect(),
            Target::Database(name) => self.served(name)?.catalog.state().rules_history.iter().rev().cloned().collect(),
        })
    }

    fn shown(&self, target: &Target, record: &RulesRecord) -> Result<RulesShown, RulesError> {
        let read = parse(record, &self.config.rules).map_err(|problems| RulesError::Unreadable {
            target: of_target(target),
            generation: record.generation,
            problems,
        })?;
        let document = String::from_utf8_lossy(&record.text).into_owned();
        Ok(RulesShown { generation: record.generation, document, rules: Arc::new(read.rules) })
    }

    fn server_defaults(&self, target: &Target) -> RulesShown {
        let rules = &self.config.rules;
        RulesShown { generation: 0, document: render(target, rules), rules: Arc::new(rules.clone()) }
    }
}

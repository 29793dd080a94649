//! Rules on their way to a server and back.

use std::time::SystemTime;

use ochre_types::rules::document::{Document, Target};
use ochre_types::rules::{Change, Rules};
use ochre_wire::v1::apply_rules_request::Source;
use ochre_wire::{Invalid, v1};

use crate::error::Error;
use crate::retry::Repeat;

/// Rules to be applied, in one of two forms.
#[derive(Debug, Clone, PartialEq)]
pub enum RulesSource {
    /// YAML or JSON. The server keeps it as it is, comments and all.
    Document(String),
    /// As types.
    Typed(Target, Box<Rules>),
}

impl From<&Document> for RulesSource {
    fn from(document: &Document) -> Self {
        Self::Document(document.source.to_string())
    }
}

impl From<RulesSource> for Source {
    fn from(source: RulesSource) -> Self {
        match source {
            RulesSource::Document(text) => Self::Document(text),
            RulesSource::Typed(target, rules) => Self::Rules(v1::Rules::from((&target, &*rules))),
        }
    }
}

/// How rules are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Apply {
    /// The generation that they are to replace, 0 if there was none. `None`: whatever is in force.
    pub expected_generation: Option<u64>,
    /// The presenter's fence: refused if a higher one was presented before. `None`: not fenced.
    pub fence: Option<u64>,
    /// Check and compare only.
    pub dry_run: bool,
}

impl Apply {
    /// With an expected generation, a second attempt would be told of the first as if it were somebody else's.
    pub(crate) fn repeat(self) -> Repeat {
        if self.dry_run || self.expected_generation.is_none() { Repeat::Always } else { Repeat::IfNotSent }
    }
}

/// What applying rules did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The generation now in force (with `dry_run`: that would be).
    pub generation: u64,
    /// What changed against the rules that were in force. Empty: nothing, and no new generation was made.
    pub changes: Vec<Change>,
    /// What the operator should know, though it is no mistake.
    pub warnings: Vec<String>,
}

impl From<v1::ApplyRulesResponse> for Applied {
    fn from(answer: v1::ApplyRulesResponse) -> Self {
        let changes = answer.changes.into_iter().map(Change::from).collect();
        Self { generation: answer.generation, changes, warnings: answer.warnings }
    }
}

/// The rules of one generation.
#[derive(Debug, Clone, PartialEq)]
pub struct RulesInForce {
    /// 0 if no document was ever applied: then the server's defaults hold.
    pub generation: u64,
    /// The document as it was applied; for generation 0 one that says the defaults.
    pub document: String,
    /// Every field with its value, as YAML.
    pub effective: String,
    /// Every field with its value, as the server sent it.
    pub message: v1::Rules,
}

impl RulesInForce {
    /// Every field with its value, as types. Fails if the server knows rules that this client does not.
    pub fn parse(&self) -> Result<(Target, Rules), Error> {
        let document = Document::from_tree(self.message.clone().into(), &Rules::default());
        match document {
            Ok(document) => Ok((document.target, document.rules)),
            Err(problems) => {
                Err(Error::Internal { message: format!("rules beyond this client's version: {problems}") })
            }
        }
    }
}

impl From<v1::GetRulesResponse> for RulesInForce {
    fn from(answer: v1::GetRulesResponse) -> Self {
        Self {
            generation: answer.generation,
            document: answer.document,
            effective: answer.effective,
            message: answer.rules.unwrap_or_default(),
        }
    }
}

/// One generation of a database's rules, as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRecord {
    /// The generation.
    pub generation: u64,
    /// When it was applied, by the server's clock.
    pub applied_at: SystemTime,
    /// The name of the token that applied it; `None` if the server asks for none.
    pub applied_by: Option<String>,
    /// The fence that it was presented with.
    pub fence: Option<u64>,
    /// The document as it was applied.
    pub document: String,
}

impl TryFrom<v1::RulesGeneration> for GenerationRecord {
    type Error = Invalid;

    fn try_from(wire: v1::RulesGeneration) -> Result<Self, Invalid> {
        Ok(Self {
            generation: wire.generation,
            applied_at: ochre_wire::time::instant("applied_at", wire.applied_at)?,
            applied_by: Some(wire.applied_by).filter(|name| !name.is_empty()),
            fence: wire.fence,
            document: wire.document,
        })
    }
}

//! Rules: applied, shown, explained.

use ochre_database::explain::{LineExplanation, RuleReference};
use ochre_database::rules::{Applied, RulesShown, Source, Terms};
use ochre_types::rules::{Document, Rules, Target, document, render};
use ochre_types::token::Action;
use ochre_wire::v1::apply_rules_request::Source as Sent;
use ochre_wire::{name, v1};
use tonic::Status;

use super::refusal::{explain_refused, problems, rules_refused};
use super::{Call, invalid, state};
use crate::grpc::status::{About, invalid as invalid_field, status_about};
use crate::http::failure::Failure;

impl Call {
    /// Fails unless the caller may do that to the target; to `*`, who may do it to every database.
    fn require(&self, action: Action, target: &Target) -> Result<(), Status> {
        let allowed: Result<(), Failure> = match target {
            Target::Default => self.identity.require_everywhere(action),
            Target::Database(name) => self.identity.require(action, name),
        };
        allowed.map_err(|failure| status_about(&failure, About::Call))
    }

    fn target(&self, action: Action, database: &str) -> Result<Target, Status> {
        let target = name::target("database", database).map_err(|error| invalid(&error))?;
        self.require(action, &target)?;
        Ok(target)
    }

    fn terms(&self, expected_generation: Option<u64>, fence: Option<u64>, dry_run: bool) -> Terms {
        let applied_by = self.identity.token_name().unwrap_or_default().to_owned();
        Terms { expected_generation, fence, dry_run, applied_by }
    }
}

/// Takes a document, or only says what it would change.
pub async fn apply(call: &Call, request: v1::ApplyRulesRequest) -> Result<v1::ApplyRulesResponse, Status> {
    let missing = "there are no rules: send a document (YAML or JSON), or rules";
    let sent = request.source.ok_or_else(|| invalid_field("source", missing))?;
    // Whom it is for decides who may send it. What is no document is refused to everybody alike.
    let (target, source) = match sent {
        Sent::Document(text) => {
            let document = Document::parse(&text, &Rules::default()).map_err(|found| problems(&found))?;
            (document.target, Source::Text(text))
        }
        Sent::Rules(rules) => {
            let tree = document::Node::from(rules);
            let document = Document::from_tree(tree.clone(), &Rules::default()).map_err(|found| problems(&found))?;
            (document.target, Source::Tree(tree))
        }
    };
    call.require(Action::Manage, &target)?;
    let terms = call.terms(request.expected_generation, request.fence, request.dry_run);
    let applied = call.node.apply_rules(&target, source, terms).await;
    applied.map(answer).map_err(|error| rules_refused(&error, &target))
}

/// Applies an earlier generation again.
pub async fn rollback(call: &Call, request: &v1::RollbackRulesRequest) -> Result<v1::ApplyRulesResponse, Status> {
    let target = call.target(Action::Manage, &request.database)?;
    let terms = call.terms(request.expected_generation, request.fence, request.dry_run);
    let applied = call.node.rollback_rules(&target, request.generation, terms).await;
    applied.map(answer).map_err(|error| rules_refused(&error, &target))
}

fn answer(applied: Applied) -> v1::ApplyRulesResponse {
    v1::ApplyRulesResponse {
        generation: applied.generation,
        changes: applied.changes.into_iter().map(v1::RuleChange::from).collect(),
        warnings: applied.warnings,
    }
}

/// The rules in force, or those of a generation.
pub fn get(call: &Call, request: &v1::GetRulesRequest) -> Result<v1::GetRulesResponse, Status> {
    let target = call.target(Action::Read, &request.database)?;
    let shown = match request.generation {
        Some(generation) => call.node.rules_at(&target, generation),
        None => call.node.rules(&target),
    };
    let RulesShown { generation, document, rules } = shown.map_err(|error| rules_refused(&error, &target))?;
    let effective = render(&target, &rules);
    Ok(v1::GetRulesResponse { generation, document, rules: Some(v1::Rules::from((&target, &*rules))), effective })
}

/// The generations that are kept.
pub fn history(call: &Call, request: &v1::ListRulesHistoryRequest) -> Result<v1::ListRulesHistoryResponse, Status> {
    let target = call.target(Action::Read, &request.database)?;
    let kept = call.node.rules_history(&target).map_err(|error| rules_refused(&error, &target))?;
    let generations = kept.into_iter().map(|kept| v1::RulesGeneration {
        generation: kept.generation,
        applied_at: Some(state::instant(kept.applied_millis).into()),
        applied_by: kept.applied_by,
        fence: kept.fence,
        document: kept.document,
    });
    Ok(v1::ListRulesHistoryResponse { generations: generations.collect() })
}

/// What would become of lines.
pub async fn explain(call: &Call, request: v1::ExplainRulesRequest) -> Result<v1::ExplainRulesResponse, Status> {
    let database = name::database("database", &request.database).map_err(|error| invalid(&error))?;
    let target = Target::Database(database.clone());
    call.require(Action::Read, &target)?;
    let node = call.node.clone();
    let explained = call.app.compute.run(move || node.explain(&database, &request.lines)).await;
    let explained = explained.map_err(|error| explain_refused(&error, &target))?;
    let lines = explained.lines.into_iter().map(line).collect();
    Ok(v1::ExplainRulesResponse { lines, generation: explained.generation })
}

fn line(line: LineExplanation) -> v1::LineExplanation {
    let mut answer = v1::LineExplanation { number: line.number, refused: line.refused, ..Default::default() };
    if let Some(row) = line.row {
        let parts = row.parts.into_iter().map(|part| v1::PartExplanation { part: part.part, text: part.text });
        answer.table = row.table.to_string();
        answer.partition_key = row.partition_key.to_string();
        answer.parts = parts.collect();
        answer.partition_rule = Some(reference(row.partition_rule));
        answer.stored = row.stored;
        answer.store_rule = Some(reference(row.store_rule));
    }
    answer
}

fn reference(rule: RuleReference) -> v1::RuleReference {
    v1::RuleReference { path: rule.path, line: rule.line }
}

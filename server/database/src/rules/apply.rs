//! Applying rules: parse, compare, keep, put into force.

use std::sync::Arc;

use ochre_store::catalog::{CommitError, Edit, NodeEdit, RulesRecord};
use ochre_types::DatabaseName;
use ochre_types::rules::{Change, Document, Problem, Problems, Rules, Target, diff, document, render};

use super::{RulesError, RulesInForce, adopted, parse};
use crate::database::Database;
use crate::node::Node;
use crate::schema::Schema;

/// Tables that a contradiction names.
const NAMED_TABLES: usize = 5;

/// Where rules come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// YAML or JSON.
    Text(String),
    /// A tree, as from protobuf.
    Tree(document::Node),
}

/// Under which terms rules are applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The generation that must be in force; `None` for any.
    pub expected_generation: Option<u64>,
    /// The caller's fence: refused if a higher one was presented to this node before, by anybody, for any database.
    pub fence: Option<u64>,
    /// Check and compare only.
    pub dry_run: bool,
    /// Who applies them; empty if the server does not know.
    pub applied_by: String,
}

/// What applying rules came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The generation in force now; of a dry run, the one that would be.
    pub generation: u64,
    /// What differs from the rules that were in force. Without any there is no new generation.
    pub changes: Vec<Change>,
    /// What is right and may surprise all the same.
    pub warnings: Vec<String>,
}

impl Node {
    /// Takes a document as a whole, or nothing of it. On success it is in the catalog and in force; a fence that came
    /// with it is in the catalog too.
    ///
    /// May be dropped: then the change is made or not, and if the catalog has it, it is soon in force.
    pub async fn apply_rules(&self, target: &Target, source: Source, terms: Terms) -> Result<Applied, RulesError> {
        let document = match source {
            Source::Text(text) => Document::parse(&text, &self.config.rules),
            Source::Tree(tree) => Document::from_tree(tree, &self.config.rules),
        };
        let document = document.map_err(RulesError::Invalid)?;
        if document.target != *target {
            let line = document.line_of("database");
            let (given, wanted) = (document.target.to_string(), target.to_string());
            let message = format!("the document is for {given:?}, and it was sent to {wanted:?}");
            let problem = Problem { path: "database".to_owned(), line, column: None, message };
            return Err(RulesError::Invalid(problem.into()));
        }
        self.apply(document, terms).await
    }

    /// Applies the document of an earlier generation again, as a new generation; for generation 0 one that says nothing,
    /// so that the server's defaults hold, whatever they will be.
    pub async fn rollback_rules(&self, target: &Target, generation: u64, terms: Terms) -> Result<Applied, RulesError> {
        let earlier = self.rules_at(target, generation)?.document;
        // The first line of the defaults' document is the name.
        let text = if generation == 0 { earlier.lines().take(1).collect() } else { earlier };
        self.apply_rules(target, Source::Text(text), terms).await
    }

    async fn apply(&self, document: Document, terms: Terms) -> Result<Applied, RulesError> {
        let _one_at_a_time = self.applying.lock().await;
        if self.is_stopping() {
            return Err(RulesError::Stopping);
        }
        match document.target.clone() {
            Target::Default => self.apply_default(document, &terms).await,
            Target::Database(name) => {
                let database = self.served(&name)?;
                self.apply_to(&database, document, &terms).await
            }
        }
    }

    async fn apply_to(&self, database: &Database, document: Document, terms: &Terms) -> Result<Applied, RulesError> {
        database.catch_up_rules(&self.config.rules)?;
        let held = database.rules_in_force();
        let mut applied = self.compare(&held, &document.rules, terms)?;
        contradictions(&database.schema, &document)?;
        self.surprises(database, &document, &mut applied.warnings);
        if terms.dry_run {
            return Ok(applied);
        }
        self.raise_fence(terms).await?;
        if !applied.changes.is_empty() {
            let record = self.record(applied.generation, &document, terms);
            database.catalog.commit(vec![Edit::SetRules(record)]).await.map_err(failed)?;
            let pins = document.clone();
            database.put_into_force(Arc::new(RulesInForce::of(applied.generation, document)));
            tracing::info!(database = %database.name(), generation = applied.generation, by = terms.applied_by, "rules applied");
            // A column may have come while the catalog was written: it keeps the kind that it came with.
            if let Err(late) = contradictions(&database.schema, &pins) {
                applied.warnings.push(late.to_string());
            }
        }
        Ok(applied)
    }

    /// Gives a database that is made again the rules that a new one gets.
    pub(crate) async fn reset_rules(&self, database: &Database, retention: Option<&str>) -> Result<(), RulesError> {
        let _one_at_a_time = self.applying.lock().await;
        let (name, defaults) = (database.name(), &self.config.rules);
        let default = self.catalog.state().default_rules.clone();
        let document = match (&default, retention) {
            // The first line of a document is the name: one that says nothing else.
            (None, None) => {
                let text = render(&Target::Database(name.clone()), defaults);
                Document::parse(text.lines().next().unwrap_or_default(), defaults)
            }
            (default, retention) => {
                let now = self.shared.env.clock.wall_millis();
                let record = adopted(default.as_ref(), retention, name, defaults, now);
                record.and_then(|record| parse(&record, defaults))
            }
        };
        let terms = Terms { applied_by: "creation of the database".to_owned(), ..Terms::default() };
        self.apply_to(database, document.map_err(RulesError::Invalid)?, &terms).await?;
        Ok(())
    }

    async fn apply_default(&self, document: Document, terms: &Terms) -> Result<Applied, RulesError> {
        // What a newer release left and this one can't read may be replaced by anything.
        let (held, is_readable) = match self.default_rules() {
            Ok(held) => (held, true),
            Err(RulesError::Unreadable { generation, .. }) => {
                let defaults = RulesInForce::defaults(&self.config.rules);
                (Arc::new(RulesInForce { generation, ..defaults }), false)
            }
            Err(error) => return Err(error),
        };
        let mut applied = self.compare(&held, &document.rules, terms)?;
        let is_new = !applied.changes.is_empty() || !is_readable;
        applied.generation = held.generation + u64::from(is_new);
        if terms.dry_run {
            return Ok(applied);
        }
        self.raise_fence(terms).await?;
        if is_new {
            let record = self.record(applied.generation, &document, terms);
            self.catalog.commit(vec![NodeEdit::SetDefaultRules(record)]).await.map_err(failed)?;
            tracing::info!(generation = applied.generation, by = terms.applied_by, "rules for new databases applied");
        }
        Ok(applied)
    }

    /// What would change, if the terms allow it.
    fn compare(&self, held: &RulesInForce, rules: &Rules, terms: &Terms) -> Result<Applied, RulesError> {
        if let Some(given) = terms.fence
            && given < self.fence()
        {
            return Err(RulesError::Fenced { given, held: self.fence() });
        }
        if let Some(expected) = terms.expected_generation
            && expected != held.generation
        {
            return Err(RulesError::GenerationIs { expected, held: held.generation });
        }
        let changes = diff(&held.rules, rules);
        let generation = held.generation + u64::from(!changes.is_empty());
        Ok(Applied { generation, changes, warnings: Vec::new() })
    }

    async fn raise_fence(&self, terms: &Terms) -> Result<(), RulesError> {
        match terms.fence {
            Some(fence) if fence > self.fence() => {
                self.catalog.commit(vec![NodeEdit::RaiseFence(fence)]).await.map_err(failed)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn record(&self, generation: u64, document: &Document, terms: &Terms) -> RulesRecord {
        RulesRecord {
            generation,
            text: document.source.as_bytes().to_vec().into(),
            applied_millis: self.shared.env.clock.wall_millis(),
            applied_by: terms.applied_by.clone(),
            fence: terms.fence,
        }
    }

    fn surprises(&self, database: &Database, document: &Document, warnings: &mut Vec<String>) {
        let rules = &document.rules;
        let tables = database.buffer.tables().len();
        if tables > rules.limits.tables {
            warnings.push(format!(
                "limits.tables is {}, and the database has {tables} tables: they stay, and no other can be made",
                rules.limits.tables
            ));
        }
        if !rules.lifecycle.mutable {
            warnings.push("lifecycle.mutable is false: every write is refused".to_owned());
        }
        if rules.store == ochre_types::rules::StoreRule::None {
            warnings.push("store is none, and this version sends rows nowhere else: every write is refused".to_owned());
        }
        let bodies = self.config.rules.limits.body;
        if rules.limits.body > bodies {
            warnings.push(format!(
                "limits.body is {}, and this server takes bodies of at most {bodies}: raise its own limits.body too",
                rules.limits.body
            ));
        }
        let queries = self.query_memory();
        if rules.limits.query_memory > queries && document.line_of("limits.query_memory").is_some() {
            warnings.push(format!(
                "limits.query_memory is {}, and all queries of this server together have {queries}",
                rules.limits.query_memory
            ));
        }
    }

    /// The database, if it is served.
    pub(crate) fn served(&self, name: &DatabaseName) -> Result<Arc<Database>, RulesError> {
        self.database(name).ok_or_else(|| match self.reason_not_served(name) {
            Some(reason) => RulesError::NotServed { name: name.clone(), reason },
            None => RulesError::UnknownDatabase(name.clone()),
        })
    }
}

fn failed(error: CommitError) -> RulesError {
    RulesError::Catalog(error.to_string())
}

/// Pins that columns contradict which are there already.
fn contradictions(schema: &Schema, document: &Document) -> Result<(), RulesError> {
    let mut problems = Vec::new();
    for (name, pinned) in &document.rules.columns {
        let found = schema.contradicting(name, *pinned, NAMED_TABLES + 1);
        if found.is_empty() {
            continue;
        }
        let more = if found.len() > NAMED_TABLES { " and others" } else { "" };
        let named: Vec<String> =
            found.iter().take(NAMED_TABLES).map(|(table, kind)| format!("{table} ({kind})")).collect();
        let path = format!("columns.{name}");
        let line = document.line_of(&path);
        let message = format!(
            "pinned as {pinned}, but the column has another kind in the tables {}{more}: pin that kind, or leave the pin out",
            named.join(", ")
        );
        problems.push(Problem { path, line, column: None, message });
    }
    if problems.is_empty() { Ok(()) } else { Err(RulesError::Contradicted(Problems(problems))) }
}

//! Who changes the rules of a server's databases, again and again.

use std::time::Duration;

use ochre_database::rules::{Applied, RulesError, Source, Terms};
use ochre_types::rules::Target;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::client::Client;
use super::journal::Violation;
use super::rules::{Ruled, SORTS};
use super::server::World;

/// A generation that is never in force.
const NEVER: u64 = u64::MAX - 1;

/// A change as it is sent.
struct Change {
    ruled: Ruled,
    terms: Terms,
    /// The generation to go back to, in place of a document.
    back_to: Option<u64>,
    /// Whether it must be refused for its terms.
    is_hopeless: bool,
}

impl Client {
    /// Changes rules until it is stopped.
    pub async fn rule_on(mut self) {
        loop {
            self.pause().await;
            let database = self.rng.random_range(0..self.plan.databases);
            let change = self.change(database);
            let result = self.rule(database, change).await;
            self.report(result.map(|_| ()));
        }
    }

    /// Rules under which writes are taken, and durable once they are acknowledged. Whether they are in force now.
    pub async fn rule_kindly(&mut self, database: usize) -> Result<bool, Violation> {
        let ruled = Ruled { accepted: false, read_only: false, ..self.any_rules() };
        self.apply(database, ruled).await
    }

    /// Applies rules, whatever is in force. Whether they are in force now.
    pub async fn apply(&mut self, database: usize, ruled: Ruled) -> Result<bool, Violation> {
        self.rule(database, Change { ruled, terms: Terms::default(), back_to: None, is_hopeless: false }).await
    }

    fn any_rules(&mut self) -> Ruled {
        let rng = &mut self.rng;
        Ruled {
            template: self.plan.templates.choose(rng).copied().unwrap_or_default(),
            sort: if self.plan.sorts { rng.random_range(0..SORTS.len()) } else { 0 },
            accepted: self.plan.accepted && rng.random_bool(0.5),
            read_only: self.plan.read_only && rng.random_bool(0.2),
            filtered: self.plan.filters && rng.random_bool(0.5),
        }
    }

    fn change(&mut self, database: usize) -> Change {
        let mut ruled = self.any_rules();
        let rng = &mut self.rng;
        let journal = self.journal.lock();
        let fence = journal.rules.fence();
        let mut terms = Terms::default();
        match rng.random_range(0..10) {
            // The one in force, if that is known, and one that never is.
            0 => terms.expected_generation = journal.rules.generation(database),
            1 => terms.expected_generation = Some(NEVER),
            2 => terms.fence = Some(fence + rng.random_range(0..3)),
            3 => terms.fence = fence.checked_sub(1),
            4 => terms.dry_run = true,
            _ => {}
        }
        let earlier = journal.rules.earlier(database, rng.random_range(0..8)).filter(|_| rng.random_bool(0.1));
        if let Some((_, earlier)) = earlier {
            ruled = earlier;
        }
        // An older server on the prefix doesn't know what fence was presented to the newer one.
        let is_deposed = self.plan.homes == 1 && terms.fence.is_some_and(|given| given < fence);
        let is_hopeless = is_deposed || terms.expected_generation == Some(NEVER);
        Change { ruled, terms, back_to: earlier.map(|(generation, _)| generation), is_hopeless }
    }

    /// Sends one change; whether it is in force.
    async fn rule(&mut self, database: usize, change: Change) -> Result<bool, Violation> {
        let name = World::database(database);
        let Change { ruled, terms, back_to, is_hopeless } = change;
        if !terms.dry_run {
            let mut journal = self.journal.lock();
            let now = journal.tick();
            journal.rules.begin(self.home, database, ruled, now);
            journal.rules.begin_fence(terms.fence.unwrap_or(0));
        }
        let target = Target::Database(name);
        let applying = async {
            match back_to {
                Some(generation) => self.node.rollback_rules(&target, generation, terms.clone()).await,
                None => {
                    let document = Source::Text(ruled.document(database));
                    self.node.apply_rules(&target, document, terms.clone()).await
                }
            }
        };
        let gives_up = self.rng.random_ratio(self.plan.given_up, 100);
        let patience = Duration::from_millis(if gives_up { self.rng.random_range(0..50) } else { 3_600_000 });
        let answer = tokio::select! {
            biased;
            answer = applying => Some(answer),
            () = self.clock.sleep(patience) => None,
        };
        let told = match &answer {
            None => "given up".to_owned(),
            Some(Ok(applied)) => format!("generation {}", applied.generation),
            Some(Err(error)) => error.to_string(),
        };
        self.trace.note(format_args!("rules {ruled:?} for {database} on {}: {told}", self.home));
        if terms.dry_run {
            return Ok(false);
        }
        self.note_answer(database, ruled, &terms, is_hopeless, answer)
    }

    fn note_answer(
        &self,
        database: usize,
        ruled: Ruled,
        terms: &Terms,
        is_hopeless: bool,
        answer: Option<Result<Applied, RulesError>>,
    ) -> Result<bool, Violation> {
        let mut journal = self.journal.lock();
        let now = journal.tick();
        let rules = &mut journal.rules;
        match answer {
            Some(Ok(_)) if is_hopeless => {
                Err(Violation::new("rules", format!("{ruled:?} was taken under the terms {terms:?}")))
            }
            Some(Ok(applied)) => {
                rules.end_fence(terms.fence.unwrap_or(0));
                rules.taken(self.home, database, ruled, &applied, now)?;
                Ok(true)
            }
            // It made nothing, or nobody knows, or nobody listens any more.
            None | Some(Err(RulesError::Catalog(_))) => {
                rules.unknown(self.home, database);
                Ok(false)
            }
            Some(Err(error)) => {
                rules.refused(self.home, database, now);
                let is_right = match &error {
                    RulesError::Fenced { given, .. } => rules.may_be_fenced(*given),
                    RulesError::GenerationIs { .. } => is_hopeless || self.plan.homes > 1,
                    // Of generations that another server has made, this one knows nothing.
                    RulesError::NotKept { .. } => self.plan.homes > 1,
                    RulesError::UnknownDatabase(_) | RulesError::NotServed { .. } | RulesError::Stopping => true,
                    _ => false,
                };
                match is_right {
                    true => Ok(false),
                    false => Err(Violation::new("rules", format!("{ruled:?} under {terms:?}: {error}"))),
                }
            }
        }
    }
}

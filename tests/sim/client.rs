//! Those who write and read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ochre_database::{Node, WriteError, Written};
use ochre_env::Clock;
use ochre_ingest::line_protocol::{Flavour, MAX_TIME, MIN_TIME, Options};
use ochre_log::LogError;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;

use super::journal::{FIELDS, Journal, Key, Outcome, Sent, TAGS, Violation, value_text};
use super::plan::Plan;
use super::read;
use super::rules::{Ruled, UNKEPT_HOST};
use super::server::{Server, World};
use super::trace::Trace;

const DAY: i64 = 86_400_000_000_000;

/// One client of a server.
pub struct Client {
    pub plan: Plan,
    pub home: usize,
    pub claim: u64,
    pub node: Arc<Node>,
    pub clock: Arc<dyn Clock>,
    pub journal: Arc<Mutex<Journal>>,
    pub violation: Arc<Mutex<Option<Violation>>>,
    pub acked_at: Arc<Mutex<Duration>>,
    pub trace: Trace,
    pub rng: SmallRng,
}

impl Client {
    /// A client of `server`.
    pub fn new(world: &World, server: &Server, rng: SmallRng) -> Self {
        Self {
            plan: world.plan.clone(),
            home: server.home,
            claim: server.claim(),
            node: server.node.clone(),
            clock: server.env.clock.clone(),
            journal: world.journal.clone(),
            violation: world.violation.clone(),
            acked_at: server.acked_at.clone(),
            trace: world.trace.clone(),
            rng,
        }
    }

    pub async fn pause(&mut self) {
        let most = self.plan.pause.as_micros() as u64;
        let pause = Duration::from_micros(self.rng.random_range(0..=most));
        self.clock.sleep(pause).await;
    }

    pub fn report(&self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violation.lock().get_or_insert(violation);
        }
    }

    /// Writes until it is stopped.
    pub async fn write_on(mut self) {
        loop {
            self.pause().await;
            let result = self.write().await;
            self.report(result.map(|_| ()));
        }
    }

    /// Reads until it is stopped.
    pub async fn read_on(mut self) {
        loop {
            self.pause().await;
            self.pause().await;
            let database = self.rng.random_range(0..self.plan.databases);
            let table = self.rng.random_range(0..self.plan.tables);
            let result = read::check_table(&self.node, &self.journal, &self.trace, self.home, database, table, false);
            let result = result.await.map(|_| ());
            self.report(result);
        }
    }

    /// One write; whether it was acknowledged.
    pub async fn write(&mut self) -> Result<bool, Violation> {
        let number = self.rng.random_range(0..self.plan.databases);
        self.write_to(number).await
    }

    /// One write to one database; whether it was acknowledged.
    pub async fn write_to(&mut self, number: usize) -> Result<bool, Violation> {
        let Ok(database) = self.node.database_or_create(&World::database(number)).await else { return Ok(false) };
        let accept_partial = self.rng.random_bool(0.7);
        let (id, body, lines) = {
            let journal = self.journal.clone();
            let mut journal = journal.lock();
            let (sent, body) = self.batch(number, journal.next_row());
            let lines = Lines::of(&sent);
            (journal.begin(self.home, self.claim, sent), body, lines)
        };
        let options = Options { flavour: Flavour::V3, accept_partial, ..Options::default() };
        let gives_up = self.rng.random_ratio(self.plan.given_up, 100);
        let patience = Duration::from_millis(if gives_up { self.rng.random_range(0..50) } else { 3_600_000 });
        let answer = tokio::select! {
            biased;
            answer = database.write_lines(body, &options) => Some(answer),
            () = self.clock.sleep(patience) => None,
        };
        let outcome = match &answer {
            None => Outcome::Unknown,
            Some(Ok(written)) if written.lines == 0 => Outcome::Refused,
            Some(Ok(_)) => Outcome::Acked,
            Some(Err(error)) => refused_or_unknown(error),
        };
        self.trace.note(format_args!("write {id} to {number} on {}: {outcome:?}", self.home));
        if outcome == Outcome::Acked {
            *self.acked_at.lock() = self.clock.monotonic();
        }
        let mut journal = self.journal.lock();
        let now = journal.tick();
        let possible = journal.rules.between(self.home, number, journal.begun(id), now);
        let possible: Vec<Ruled> = possible.into_iter().map(Option::unwrap_or_default).collect();
        if let Some(answer) = &answer
            && let Some(is_kept) = lines.check(answer, accept_partial, &possible)?
        {
            journal.decide(id, is_kept);
        }
        journal.end(id, outcome);
        Ok(outcome == Outcome::Acked)
    }

    fn batch(&mut self, database: usize, first_row: u64) -> (Vec<Sent>, Bytes) {
        let mut text = String::new();
        let mut sent: Vec<Sent> = Vec::new();
        for row in first_row..first_row + self.rng.random_range(1..=self.plan.batch_rows as u64) {
            let key = self.key(database);
            let mut fields: BTreeSet<usize> = (0..FIELDS.len()).filter(|_| self.rng.random_bool(0.5)).collect();
            fields.insert(self.rng.random_range(0..FIELDS.len()));
            let good = !self.rng.random_ratio(self.plan.bad_lines, 100);
            text.push_str(&line(&key, &fields, row));
            if !good {
                // What makes it bad comes last, so that much of it has been read by then.
                let end = [" 17", ",=1", "x"][self.rng.random_range(0..3)];
                text.push_str(end);
            }
            text.push('\n');
            sent.push(Sent { key, fields, good });
        }
        (sent, Bytes::from(text))
    }

    fn key(&mut self, database: usize) -> Key {
        let rng = &mut self.rng;
        let host = match self.plan.filters && rng.random_bool(0.2) {
            true => UNKEPT_HOST.to_owned(),
            false => format!("h{}", rng.random_range(0..self.plan.hosts)),
        };
        let zone = rng.random_bool(0.3).then(|| "ü,1".to_owned());
        // Comes late: tables learn of a tag when they have chunks already.
        let rack = rng.random_bool(0.02).then(|| "r".to_owned());
        let extreme = [MIN_TIME, MIN_TIME + 1, -1, 0, MAX_TIME];
        let time = if self.plan.extreme_times && rng.random_bool(0.1) {
            extreme[rng.random_range(0..extreme.len())]
        } else {
            1_699_920_000_000_000_000
                + rng.random_range(0..self.plan.days) * DAY
                + rng.random_range(0..self.plan.instants)
        };
        Key { database, table: rng.random_range(0..self.plan.tables), tags: vec![Some(host), zone, rack], time }
    }
}

/// The lines of a write, counted.
#[derive(Debug, Clone, Copy)]
struct Lines {
    /// Good, whatever the rules are.
    good: usize,
    /// Good, unless the rules refuse them.
    optional: usize,
    bad: usize,
}

impl Lines {
    fn of(sent: &[Sent]) -> Self {
        let good = sent.iter().filter(|sent| sent.good && sent.key.is_kept_always()).count();
        let bad = sent.iter().filter(|sent| !sent.good).count();
        Self { good, optional: sent.len() - good - bad, bad }
    }

    /// Checks the answer to a write by the rules that may have been in force. If lines were stored, whether the optional
    /// ones were among them.
    fn check(
        &self,
        answer: &Result<Written, WriteError>,
        accept_partial: bool,
        possible: &[Ruled],
    ) -> Result<Option<bool>, Violation> {
        let Self { good, optional, bad } = *self;
        let wrong = |checker, what: &str| {
            Err(Violation::new(checker, format!("{what}: {answer:?} to {self:?} under one of {possible:?}")))
        };
        let may = |is: fn(&Ruled) -> bool| possible.iter().any(is);
        let written = match answer {
            Ok(written) => written,
            Err(WriteError::ReadOnly(_)) if !may(|rules| rules.read_only) => return wrong("rules", "refused"),
            Err(WriteError::NotStored(_)) => return wrong("rules", "refused"),
            Err(_) => return Ok(None),
        };
        if !may(|rules| !rules.read_only) {
            return wrong("rules", "not refused");
        }
        // With the optional lines, and without.
        let stored = |refused| if refused > 0 && !accept_partial { 0 } else { good + bad + optional - refused };
        let fits = |refused: usize| written.lines == stored(refused) && (written.rejected_total > 0) == (refused > 0);
        let (kept, refused) = (fits(bad), fits(bad + optional));
        match (kept && may(|rules| !rules.filtered), refused && may(|rules| rules.filtered)) {
            (true, true) if optional > 0 && written.lines > 0 => wrong("lines", "it is not clear what was stored"),
            (true, _) => Ok((written.lines > 0).then_some(true)),
            (_, true) => Ok((written.lines > 0).then_some(false)),
            (false, false) => wrong("lines", "other lines than expected"),
        }
    }
}

fn line(key: &Key, fields: &BTreeSet<usize>, row: u64) -> String {
    let escape = |text: &str| text.replace(' ', "\\ ").replace(',', "\\,");
    let tags: String = TAGS
        .iter()
        .zip(&key.tags)
        .filter_map(|(name, value)| Some(format!(",{name}={}", escape(value.as_ref()?))))
        .collect();
    let fields: Vec<String> =
        fields.iter().map(|field| format!("{}={}", FIELDS[*field], value_text(*field, row))).collect();
    format!("{}{tags} {} {}", escape(World::table(key.table)), fields.join(","), key.time)
}

/// What is known after an error: nothing, unless it says that nothing of the batch is kept.
pub fn refused_or_unknown(error: &WriteError) -> Outcome {
    match error {
        WriteError::MemoryFull { .. }
        | WriteError::NoStamps
        | WriteError::SchemaChanged(_)
        | WriteError::TooManyPartitions { .. }
        | WriteError::UnknownDatabase(_)
        | WriteError::RulesChanged(_)
        | WriteError::ReadOnly(_)
        | WriteError::NotStored(_)
        | WriteError::Stopping
        | WriteError::Log(LogError::Busy { .. } | LogError::Full { .. } | LogError::TooLarge { .. }) => {
            Outcome::Refused
        }
        _ => Outcome::Unknown,
    }
}

/// Counts by outcome, for the report.
pub fn tally(journal: &Journal) -> BTreeMap<&'static str, usize> {
    BTreeMap::from([
        ("acknowledged", journal.batches(Outcome::Acked)),
        ("refused", journal.batches(Outcome::Refused)),
        ("unknown", journal.batches(Outcome::Unknown)),
    ])
}

//! Long work: what runs and what ended, with its progress, so that people see it, wait for it and stop it.
//!
//! ```text
//!   begin -> Progress (of whoever works) --advance, finding--> registry <--list, get, wait, cancel-- people
//!                  '--- finish, fail, or dropped: failed ---'
//! ```
//!
//! Whoever works owns a [`Progress`]; the registry forgets nothing that runs, and of what ended the oldest beyond
//! [`MAX_ENDED`]. Nothing of this outlives the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ochre_env::Env;
use ochre_types::{DatabaseName, Incarnation};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Operations that may run at a time.
pub const MAX_RUNNING: usize = 1_000;
/// Operations that ended and are kept.
pub const MAX_ENDED: usize = 1_000;
/// Findings of one operation that are kept.
pub const MAX_FINDINGS: usize = 10_000;

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    /// It works.
    Running,
    /// It did what it was to do.
    Done,
    /// It could not.
    Failed,
    /// It was stopped; what it had done stays.
    Cancelled,
}

impl OperationState {
    /// The name in `system.operations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an operation is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Such as `compact`, `persist`, `scrub`, `backup`, `restore`.
    pub kind: &'static str,
    /// The database; `None` if it concerns all.
    pub database: Option<DatabaseName>,
    /// What it works on, for people.
    pub target: String,
    /// What a step is: `chunks`, `objects`, `bytes`.
    pub unit: &'static str,
    /// The name of the token that began it; empty if the server itself did, or asks for none.
    pub begun_by: String,
}

/// An operation at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Unique among all operations of all starts: incarnation, `-`, and a count from 1.
    pub id: String,
    /// What it is to do.
    pub work: Work,
    /// Where it stands.
    pub state: OperationState,
    /// Steps done.
    pub done: u64,
    /// Steps in all; 0 if not known.
    pub total: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub started_millis: u64,
    /// The same; `None` while it runs.
    pub ended_millis: Option<u64>,
    /// What came out, or why it failed; empty while it runs.
    pub message: String,
    /// What was found or made, line by line: at most [`MAX_FINDINGS`], then how many there were beside them.
    pub findings: Vec<String>,
}

/// Why an operation was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Too many run.
    #[error("{MAX_RUNNING} operations run already: wait for some to end, or cancel them")]
    TooMany,
}

/// The operations of a node. Clones share them.
#[derive(Clone)]
pub struct Operations {
    env: Env,
    incarnation: Incarnation,
    registry: Arc<Mutex<Registry>>,
}

#[derive(Debug, Default)]
struct Registry {
    /// By count: the id without the incarnation.
    entries: BTreeMap<u64, Arc<Entry>>,
    begun: u64,
}

#[derive(Debug)]
struct Entry {
    id: String,
    work: Work,
    started_millis: u64,
    moment: Mutex<Moment>,
    ended: watch::Sender<bool>,
    cancelled: watch::Sender<bool>,
}

/// What changes of an operation.
#[derive(Debug)]
struct Moment {
    state: OperationState,
    done: u64,
    total: u64,
    ended_millis: Option<u64>,
    message: String,
    findings: Vec<String>,
    /// Findings beyond [`MAX_FINDINGS`].
    omitted: u64,
}

impl Entry {
    fn is_running(&self) -> bool {
        self.moment.lock().state == OperationState::Running
    }

    fn snapshot(&self) -> Operation {
        let moment = self.moment.lock();
        let mut findings = moment.findings.clone();
        if moment.omitted > 0 {
            findings.push(format!("and {} more", moment.omitted));
        }
        Operation {
            id: self.id.clone(),
            work: self.work.clone(),
            state: moment.state,
            done: moment.done,
            total: moment.total,
            started_millis: self.started_millis,
            ended_millis: moment.ended_millis,
            message: moment.message.clone(),
            findings,
        }
    }
}

impl Operations {
    /// No operations yet.
    pub fn new(env: &Env, incarnation: Incarnation) -> Self {
        Self { env: env.clone(), incarnation, registry: Arc::default() }
    }

    /// Begins an operation that the caller works on.
    pub fn begin(&self, work: Work) -> Result<Progress, OperationError> {
        let mut registry = self.registry.lock();
        let running = registry.entries.values().filter(|entry| entry.is_running()).count();
        if running >= MAX_RUNNING {
            return Err(OperationError::TooMany);
        }
        registry.forget(running);
        registry.begun += 1;
        let number = registry.begun;
        let entry = Arc::new(Entry {
            id: format!("{}-{number}", self.incarnation),
            work,
            started_millis: self.env.clock.wall_millis(),
            moment: Mutex::new(Moment {
                state: OperationState::Running,
                done: 0,
                total: 0,
                ended_millis: None,
                message: String::new(),
                findings: Vec::new(),
                omitted: 0,
            }),
            ended: watch::Sender::new(false),
            cancelled: watch::Sender::new(false),
        });
        registry.entries.insert(number, entry.clone());
        Ok(Progress { entry, env: self.env.clone() })
    }

    /// Begins an operation and works on it in a task of the node: `task` ends it with what came out, or why it failed.
    /// One that was asked to end and does so is cancelled.
    pub fn spawn<F>(&self, work: Work, task: impl FnOnce(Arc<Progress>) -> F) -> Result<Operation, OperationError>
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        let progress = Arc::new(self.begin(work)?);
        let begun = progress.operation();
        let task = task(progress.clone());
        self.env.tasks.spawn("operation", async move {
            match task.await {
                Ok(message) => progress.finish(message),
                Err(error) => progress.fail(error),
            }
        });
        Ok(begun)
    }

    /// All that are known, newest first.
    pub fn list(&self) -> Vec<Operation> {
        let entries: Vec<_> = self.registry.lock().entries.values().rev().cloned().collect();
        entries.iter().map(|entry| entry.snapshot()).collect()
    }

    /// One by its id.
    pub fn get(&self, id: &str) -> Option<Operation> {
        self.entry(id).map(|entry| entry.snapshot())
    }

    /// One by its id once it has ended, or as it is after `limit`.
    pub async fn wait(&self, id: &str, limit: Duration) -> Option<Operation> {
        let entry = self.entry(id)?;
        let mut ended = entry.ended.subscribe();
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => {}
            () = self.env.clock.sleep(limit) => {}
        }
        Some(entry.snapshot())
    }

    /// Asks one to end.
    pub fn cancel(&self, id: &str) -> Option<Operation> {
        let entry = self.entry(id)?;
        entry.cancelled.send_replace(true);
        Some(entry.snapshot())
    }

    fn entry(&self, id: &str) -> Option<Arc<Entry>> {
        let (incarnation, number) = id.rsplit_once('-')?;
        let number: u64 = number.parse().ok()?;
        let entry = self.registry.lock().entries.get(&number).cloned();
        entry.filter(|entry| incarnation == self.incarnation.to_string() && entry.id == id)
    }
}

impl Registry {
    /// Forgets the oldest that ended, so that there is room for one more.
    fn forget(&mut self, running: usize) {
        let ended = self.entries.len() - running;
        let spare = (ended + 1).saturating_sub(MAX_ENDED);
        let oldest = self.entries.iter().filter(|(_, entry)| !entry.is_running()).map(|(number, _)| *number);
        for number in oldest.take(spare).collect::<Vec<_>>() {
            self.entries.remove(&number);
        }
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operations({})", self.registry.lock().entries.len())
    }
}

/// The handle of whoever works on an operation. Dropped without a word, the operation has failed.
#[derive(Debug)]
pub struct Progress {
    entry: Arc<Entry>,
    env: Env,
}

impl Progress {
    /// The operation's id.
    pub fn id(&self) -> &str {
        &self.entry.id
    }

    /// The operation at this moment.
    pub fn operation(&self) -> Operation {
        self.entry.snapshot()
    }

    /// Says how many steps there are in all.
    pub fn set_total(&self, total: u64) {
        self.entry.moment.lock().total = total;
    }

    /// So many steps more are done.
    pub fn advance(&self, steps: u64) {
        let mut moment = self.entry.moment.lock();
        moment.done = moment.done.saturating_add(steps);
    }

    /// Something was found or made.
    pub fn finding(&self, finding: impl Into<String>) {
        let mut moment = self.entry.moment.lock();
        if moment.findings.len() < MAX_FINDINGS {
            moment.findings.push(finding.into());
        } else {
            moment.omitted += 1;
        }
    }

    /// Whether it was asked to end: look between steps.
    pub fn cancelled(&self) -> bool {
        *self.entry.cancelled.borrow()
    }

    /// Completes once it was asked to end.
    pub async fn cancellation(&self) {
        // The sender is in the entry that this holds.
        let mut cancelled = self.entry.cancelled.subscribe();
        let _never_closed = cancelled.wait_for(|cancelled| *cancelled).await;
    }

    /// Ends it: done, or cancelled if it was asked to end. Only the first end counts.
    pub fn finish(&self, message: impl Into<String>) {
        let state = if self.cancelled() { OperationState::Cancelled } else { OperationState::Done };
        self.end(state, message.into());
    }

    /// Ends it: failed, or cancelled if it was asked to end. Only the first end counts.
    pub fn fail(&self, error: impl fmt::Display) {
        let state = if self.cancelled() { OperationState::Cancelled } else { OperationState::Failed };
        self.end(state, error.to_string());
    }

    fn end(&self, state: OperationState, message: String) {
        {
            let mut moment = self.entry.moment.lock();
            if moment.state != OperationState::Running {
                return;
            }
            moment.state = state;
            moment.ended_millis = Some(self.env.clock.wall_millis());
            moment.message = message;
        }
        self.entry.ended.send_replace(true);
        let Entry { id, work, .. } = &*self.entry;
        let message = self.entry.moment.lock().message.clone();
        let database = work.database.as_ref().map(DatabaseName::as_str);
        tracing::info!(
            id,
            kind = work.kind,
            database,
            target = work.target,
            state = state.name(),
            message,
            "operation ended"
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.fail("it ended without a result: the server was stopped, or there is an error in its log");
    }
}

#[cfg(test)]
mod tests;

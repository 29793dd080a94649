//! Sending one request, and sending it again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, Result};
use ochre_env::{Clock, Entropy};
use tokio::sync::Semaphore;

use super::budget::Budget;
use super::meter::{Kind, Meter, is_answer};
use crate::object::settings::Policy;

/// The pause before the first retry; doubles with each, and up to half of it is left to chance.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No retry is sent that could end later than this after the first attempt began (and later the more bytes it has).
const PATIENCE: Duration = Duration::from_secs(28);
const MIB: u64 = 1 << 20;

/// The store was asked as often as it may be.
#[derive(Debug, thiserror::Error)]
#[error("{source} ({})", why(*.attempts, *.within_budget))]
pub(in crate::object) struct GaveUp {
    attempts: u32,
    within_budget: bool,
    source: Error,
}

fn why(attempts: u32, within_budget: bool) -> String {
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    if within_budget {
        format!("tried {times}")
    } else {
        format!("tried {times}: too many requests fail to try each again")
    }
}

/// Whether an error comes from here: asking once more at once is no use.
pub(in crate::object) fn gave_up(error: &Error) -> bool {
    matches!(error, Error::Generic { source, .. } if source.is::<GaveUp>())
}

/// What all requests to a store share.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    pub(super) policy: Policy,
    budget: Budget,
    pub(super) meter: Arc<Meter>,
    /// Requests that write, that read, and small ones: none waits for another kind.
    lanes: [Semaphore; 3],
}

/// How a request is doing.
pub(super) struct Tries {
    kind: Kind,
    begun: Duration,
    sent: u32,
    pause: Duration,
    limit: Duration,
}

impl Tries {
    /// Whether it was sent before: then its effect may be there already.
    pub(super) fn is_retry(&self) -> bool {
        self.sent > 1
    }

    /// The same after it was sent the first time.
    pub(super) fn sent_once(self) -> Self {
        Self { sent: 1, ..self }
    }
}

impl Sender {
    pub(super) fn new(policy: Policy, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let lanes = std::array::from_fn(|_| Semaphore::new(policy.requests.clamp(1, Semaphore::MAX_PERMITS)));
        let (meter, budget) = (Arc::new(Meter::new(clock.clone())), Budget::new(clock.monotonic()));
        Self { clock, entropy, policy, budget, meter, lanes }
    }

    /// Begins a request that carries `bytes` in either direction.
    pub(super) fn tries(&self, kind: Kind, bytes: u64) -> Tries {
        let limit = self.policy.timeout.saturating_add(Duration::from_secs(bytes / MIB));
        Tries { kind, begun: self.clock.monotonic(), sent: 0, pause: FIRST_PAUSE, limit }
    }

    /// Sends a request once.
    pub(super) async fn once<T>(&self, tries: &mut Tries, request: impl Future<Output = Result<T>>) -> Result<T> {
        let lane = match tries.kind {
            Kind::Put | Kind::Part => 0,
            Kind::Get => 1,
            Kind::Head | Kind::List | Kind::Delete | Kind::Copy => 2,
        };
        // The semaphores live as long as `self` and are never closed.
        let _permit = self.lanes[lane].acquire().await.ok();
        tries.sent += 1;
        if tries.is_retry() {
            self.meter.retried(tries.kind);
        }
        let begun = self.clock.monotonic();
        let answer = self.within(tries.limit, request).await;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.meter.answered(tries.kind, took, answer.as_ref().err());
        if answer.as_ref().err().is_none_or(is_answer) {
            self.budget.reward();
        }
        answer
    }

    /// Waits before a retry; gives the error back where there must be none.
    pub(super) async fn pause(&self, tries: &mut Tries, path: &Path, error: Error) -> Result<()> {
        if !may_pass(&error) || self.policy.attempts <= 1 {
            return Err(error);
        }
        let now = self.clock.monotonic();
        let pause = self.jittered(tries.pause);
        let extra = tries.limit.saturating_sub(self.policy.timeout);
        let late = now + pause + tries.limit > tries.begun + PATIENCE + extra * self.policy.attempts;
        let exhausted = tries.sent >= self.policy.attempts || late;
        let within_budget = exhausted || self.budget.take(now);
        if exhausted || !within_budget {
            if !within_budget {
                self.meter.denied();
            }
            let source = Box::new(GaveUp { attempts: tries.sent, within_budget, source: error });
            return Err(Error::Generic { store: "object store", source });
        }
        tracing::debug!(%path, kind = tries.kind.name(), attempt = tries.sent, %error, "the object store failed; trying again");
        self.clock.sleep(pause).await;
        tries.pause = (tries.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// Sends a request that may be repeated until it is answered, or has been sent as often as it may.
    pub(super) async fn send<T, F>(&self, kind: Kind, path: &Path, bytes: u64, request: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut tries = self.tries(kind, bytes);
        loop {
            match self.once(&mut tries, request()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(&mut tries, path, error).await?,
            }
        }
    }

    /// Waits for `work`, but not longer than `limit`, if the store is a remote one.
    pub(super) async fn within<T>(&self, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.policy.is_local() {
            return work.await;
        }
        tokio::select! {
            biased;
            answer = work => answer,
            () = self.clock.sleep(limit) => Err(Error::Generic {
                store: "object store",
                source: format!("no answer within {limit:?}").into(),
            }),
        }
    }

    /// Between half of `pause` and all of it.
    fn jittered(&self, pause: Duration) -> Duration {
        let share = u32::try_from(self.entropy.next_u64() % 1_000).unwrap_or(0);
        pause / 2 + pause / 2_000 * share
    }
}

/// Whether sending the same request again may be answered otherwise.
fn may_pass(error: &Error) -> bool {
    let refused = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. });
    !is_answer(error) && !refused && !gave_up(error)
}

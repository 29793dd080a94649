//! The queries of one database that may run at a time.

use std::future::Future;
use std::sync::Arc;

use ochre_query::QueryError;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Queries that may wait, for each that may run.
const WAITING_PER_PLACE: usize = 4;

/// Lets queries in, as many as the rules say; the others wait in the order in which they came, up to a bound.
#[derive(Debug)]
pub struct QueryGate {
    places: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The places that there are by the rules.
    size: usize,
    /// Places that are taken and go when they are left, as the rules have become stricter.
    surplus: usize,
    /// Queries that wait.
    waiting: usize,
}

/// A place that a query takes until this is dropped.
#[derive(Debug)]
pub struct Place {
    permit: Option<OwnedSemaphorePermit>,
    state: Arc<Mutex<State>>,
}

/// Counts a waiting query until it is dropped.
struct Waiting<'a>(&'a Mutex<State>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.state.lock();
        if state.surplus > 0 {
            state.surplus -= 1;
            permit.forget();
        }
    }
}

impl QueryGate {
    /// A gate without places.
    pub fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(0)), state: Arc::default() }
    }

    /// Takes one of `size` places, waiting for it no longer than `patience` lasts; then there is none.
    ///
    /// # Errors
    /// [`QueryError::TooManyQueries`] at once if too many wait already.
    pub async fn enter(&self, size: usize, patience: impl Future<Output = ()>) -> Result<Option<Place>, QueryError> {
        let _counted = {
            let mut state = self.state.lock();
            self.resize(&mut state, size.clamp(1, Semaphore::MAX_PERMITS));
            let may_wait = state.size.saturating_mul(WAITING_PER_PLACE);
            if self.places.available_permits() == 0 && state.waiting >= may_wait {
                return Err(QueryError::TooManyQueries { running: state.size, waiting: state.waiting });
            }
            state.waiting += 1;
            Waiting(&self.state)
        };
        tokio::select! {
            biased;
            permit = self.places.clone().acquire_owned() => {
                let permit = permit.expect("the semaphore is never closed");
                Ok(Some(Place { permit: Some(permit), state: self.state.clone() }))
            }
            () = patience => Ok(None),
        }
    }

    fn resize(&self, state: &mut State, size: usize) {
        if size > state.size {
            let kept = state.surplus.min(size - state.size);
            state.surplus -= kept;
            self.places.add_permits(size - state.size - kept);
        } else {
            let fewer = state.size - size;
            state.surplus += fewer - self.places.forget_permits(fewer);
        }
        state.size = size;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;

    fn enter(gate: &QueryGate, size: usize) -> Result<Option<Place>, QueryError> {
        gate.enter(size, ready(())).now_or_never().unwrap()
    }

    #[tokio::test]
    async fn as_many_run_as_the_rules_say_and_a_bounded_number_waits() {
        let gate = Arc::new(QueryGate::new());
        let first = enter(&gate, 2).unwrap().unwrap();
        let second = enter(&gate, 2).unwrap().unwrap();
        assert!(enter(&gate, 2).unwrap().is_none(), "patience is over at once");

        let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(gate.enter(2, pending()))).collect();
        assert!(waiting.iter_mut().all(|waiter| waiter.now_or_never().is_none()));
        let error = enter(&gate, 2).unwrap_err();
        assert!(matches!(error, QueryError::TooManyQueries { running: 2, waiting: 8 }), "{error}");
        drop(waiting.split_off(1));
        assert!(enter(&gate, 2).unwrap().is_none(), "who gave up does not count");

        drop(first);
        let third = waiting.pop().unwrap().await.unwrap().unwrap();
        assert!(enter(&gate, 2).unwrap().is_none());
        drop((second, third));
        assert!(enter(&gate, 2).unwrap().is_some());
    }

    #[test]
    fn the_number_of_places_can_change_while_they_are_taken() {
        let gate = QueryGate::new();
        let taken: Vec<Place> = (0..3).map(|_| enter(&gate, 3).unwrap().unwrap()).collect();
        assert!(enter(&gate, 1).unwrap().is_none());
        let mut taken = taken.into_iter();
        drop((taken.next(), taken.next()));
        assert!(enter(&gate, 1).unwrap().is_none(), "one still runs, and one may");
        let more = enter(&gate, 2).unwrap().unwrap();
        assert!(enter(&gate, 2).unwrap().is_none());
        drop((more, taken.next()));
        let both = [enter(&gate, 2).unwrap(), enter(&gate, 2).unwrap()];
        assert!(both.iter().all(Option::is_some));
        assert!(enter(&gate, 2).unwrap().is_none());
    }
}

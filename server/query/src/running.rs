//! The queries that run, so that the one that takes most can be ended when the process as a whole takes too much.
//!
//! Operators reserve what they know of, which is less than what they take. What really is taken shows in the process
//! alone: whoever watches that refuses further queries and ends the largest, through here.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::channel::oneshot;
use parking_lot::Mutex;

use crate::error::QueryError;
use crate::memory::QueryMemory;

/// The queries that run now.
#[derive(Debug, Default)]
pub(crate) struct Running {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    begun: u64,
    queries: BTreeMap<u64, Query>,
    /// Why none may begin.
    refused: Option<String>,
    ended: u64,
}

#[derive(Debug)]
struct Query {
    memory: Arc<QueryMemory>,
    end: oneshot::Sender<QueryError>,
}

/// Counts a query as running until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    running: Arc<Running>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.running.state.lock().queries.remove(&self.number);
    }
}

impl Running {
    /// Notes a query that begins; the receiver gets why it must end.
    pub(crate) fn begin(
        self: &Arc<Self>,
        memory: &Arc<QueryMemory>,
    ) -> Result<(Ticket, oneshot::Receiver<QueryError>), QueryError> {
        let (end, ended) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(reason) = &state.refused {
            return Err(QueryError::ServerMemory(reason.clone()));
        }
        state.begun += 1;
        let number = state.begun;
        state.queries.insert(number, Query { memory: memory.clone(), end });
        Ok((Ticket { running: self.clone(), number }, ended))
    }

    /// Lets no query begin, for that reason; `None` lets them again.
    pub(crate) fn refuse(&self, reason: Option<String>) {
        self.state.lock().refused = reason;
    }

    /// Ends the query that has reserved most, of several the one that began last. Returns what it had reserved.
    pub(crate) fn end_largest(&self, reason: &str) -> Option<u64> {
        let mut state = self.state.lock();
        let (reserved, number) = state.queries.iter().map(|(number, query)| (query.memory.used(), *number)).max()?;
        let query = state.queries.remove(&number)?;
        state.ended += 1;
        query.memory.end();
        // Whoever ran it may have gone already.
        let _ = query.end.send(QueryError::ServerMemory(reason.to_owned()));
        Some(reserved as u64)
    }

    /// Queries that run, and those that were ended for memory since the start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.queries.len() as u64, state.ended)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
    use futures::FutureExt;
    use ochre_store::memory::Gauge;
    use ochre_types::ByteSize;

    use super::*;

    #[test]
    fn the_largest_is_ended_and_none_begins_while_they_are_refused() {
        let shared: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1_000));
        let gauge = Gauge::new(ByteSize(1_000));
        let memory = || Arc::new(QueryMemory::new(shared.clone(), ByteSize(1_000), gauge.clone()));
        let running = Arc::new(Running::default());
        let (small, large) = (memory(), memory());
        let (_one, small_ended) = running.begin(&small).unwrap();
        let (two, large_ended) = running.begin(&large).unwrap();
        let consumer = |memory: &Arc<QueryMemory>| -> Arc<dyn MemoryPool> { memory.clone() };
        let reserved = MemoryConsumer::new("sort").register(&consumer(&large));
        reserved.try_grow(100).unwrap();
        assert_eq!((running.counts(), gauge.read().used), ((2, 0), 100));

        running.refuse(Some("the process is too large".to_owned()));
        let refused = running.begin(&small).unwrap_err();
        assert!(refused.to_string().contains("the process is too large"), "{refused}");
        assert_eq!(running.end_largest("it took most"), Some(100));
        let why = large_ended.now_or_never().unwrap().unwrap();
        assert!(matches!(&why, QueryError::ServerMemory(reason) if reason == "it took most"), "{why}");
        assert!(reserved.try_grow(1).is_err(), "an ended query gets nothing more");
        assert!(small_ended.now_or_never().is_none());
        drop((two, reserved));
        assert_eq!((running.counts(), gauge.read().used, gauge.read().peak), ((1, 1), 0, 100));
        assert_eq!(running.end_largest("again"), Some(0));
        assert_eq!(running.end_largest("again"), None);
        running.refuse(None);
        assert!(running.begin(&small).is_ok());
    }
}

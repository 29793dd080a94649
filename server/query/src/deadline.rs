//! The time of one query, from planning to its last rows, and its end before that.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow_array::RecordBatch;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use ochre_env::Clock;

use crate::error::QueryError;

/// When a query is over, by its time or by a word from outside. Begins to count when it is made.
pub(crate) struct Deadline {
    over: BoxFuture<'static, QueryError>,
}

impl Deadline {
    pub(crate) fn new(clock: &Arc<dyn Clock>, time: Duration, ended: oneshot::Receiver<QueryError>) -> Self {
        let sleep = clock.sleep(time);
        let over = async move {
            match select(sleep, ended).await {
                Either::Left(_) => QueryError::TimedOut(time),
                Either::Right((Ok(why), _)) => why,
                // Nobody is left who could end it.
                Either::Right((Err(_), sleep)) => {
                    sleep.await;
                    QueryError::TimedOut(time)
                }
            }
        };
        Self { over: over.boxed() }
    }

    /// What `work` gives, if it is done in time.
    pub(crate) async fn bound<T>(
        &mut self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let work = std::pin::pin!(work);
        match select(&mut self.over, work).await {
            Either::Left((why, _)) => Err(why),
            Either::Right((done, _)) => done,
        }
    }

    /// The rows of `rows`; once the time is over, an error, and `rows` is dropped.
    pub(crate) fn end(
        mut self,
        rows: BoxStream<'static, Result<RecordBatch, QueryError>>,
    ) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        let mut rows = Some(rows);
        let bounded = stream::poll_fn(move |context| {
            let Some(running) = &mut rows else { return Poll::Ready(None) };
            if let Poll::Ready(why) = self.over.poll_unpin(context) {
                rows = None;
                return Poll::Ready(Some(Err(why)));
            }
            let polled = running.poll_next_unpin(context);
            if matches!(polled, Poll::Ready(None)) {
                rows = None;
            }
            polled
        });
        bounded.boxed()
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;
    use futures::future::pending;
    use ochre_env::SystemClock;

    use super::*;

    fn deadline() -> Deadline {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Deadline::new(&clock, Duration::from_millis(20), oneshot::channel().1)
    }

    #[tokio::test]
    async fn a_word_from_outside_ends_it_at_once() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (end, ended) = oneshot::channel();
        let endless = stream::pending::<Result<RecordBatch, _>>().boxed();
        let mut rows = Deadline::new(&clock, Duration::from_secs(3_600), ended).end(endless);
        assert!(rows.next().now_or_never().is_none());
        end.send(QueryError::ServerMemory("too much".to_owned())).unwrap();
        assert!(matches!(rows.next().await, Some(Err(QueryError::ServerMemory(_)))));
        assert!(rows.next().await.is_none());
    }

    #[tokio::test]
    async fn work_that_hangs_is_given_up() {
        let error = deadline().bound(pending::<Result<(), _>>()).await.unwrap_err();
        assert!(matches!(error, QueryError::TimedOut(time) if time == Duration::from_millis(20)), "{error}");
        assert_eq!(deadline().bound(async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn rows_come_until_the_time_is_over_and_then_an_error_once() {
        let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let endless = stream::iter([Ok(batch.clone())]).chain(stream::pending()).boxed();
        let all: Vec<_> = deadline().end(endless).collect().await;
        assert!(matches!(&all[..], [Ok(_), Err(QueryError::TimedOut(_))]), "{all:?}");
        let short: Vec<_> = deadline().end(stream::iter([Ok(batch)]).boxed()).collect().await;
        assert!(matches!(&short[..], [Ok(_)]), "{short:?}");
    }
}

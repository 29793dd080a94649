//! Where blocking and heavy work runs.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

type Pause = dyn Fn() -> BoxFuture<'static, ()> + Send + Sync;

/// Runs closures that block (file system calls) or take long (sorting, Parquet) away from the async threads.
#[derive(Clone)]
pub struct Compute(Kind);

#[derive(Clone)]
enum Kind {
    Pool,
    Inline(Option<Arc<Pause>>),
}

impl Compute {
    /// The runtime's pool of blocking threads.
    pub fn pool() -> Self {
        Self(Kind::Pool)
    }

    /// The calling task itself: for simulation, where one thread does everything.
    pub fn inline() -> Self {
        Self(Kind::Inline(None))
    }

    /// Like [`Compute::inline`], but awaits `pause` before each closure: a slow disk in simulation.
    pub fn inline_after(pause: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Kind::Inline(Some(Arc::new(pause))))
    }

    /// Runs `work` and returns what it returns. If the caller is dropped meanwhile, pooled work still runs to its
    /// end; inline work that has not begun never does. A panic of `work` goes on in the caller.
    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match &self.0 {
            Kind::Pool => match tokio::task::spawn_blocking(work).await {
                Ok(result) => result,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is shutting down, and this task with it.
                    Err(_) => futures::future::pending().await,
                },
            },
            Kind::Inline(pause) => {
                if let Some(pause) = pause {
                    pause().await;
                }
                work()
            }
        }
    }
}

impl fmt::Debug for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Pool => "Compute::pool",
            Kind::Inline(_) => "Compute::inline",
        })
    }
}

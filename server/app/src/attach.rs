//! `ochre attach`: a server that reads another's objects, and nothing else.
//!
//! ```text
//!   lock the data directory -> listen (503) -> read the node's catalogs -> ready … signal -> drain -> exit 0
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ochre_database::Resources;
use ochre_database::attach::{AttachConfig, Attached};
use ochre_env::Env;

use crate::config::Config;
use crate::http::attached::AttachedBackend;
use crate::http::state::App;
use crate::serve::{Signals, access, begin_to_listen, clear, lock, object_store_url, open_objects, ready};

/// Serves until a signal.
pub async fn attach(config: &Config, refresh: Duration) -> anyhow::Result<()> {
    let env = Env::system();
    let data_dir = std::path::absolute(&config.storage.data_dir).context("finding the data directory")?;
    let _lock = lock(&env, &data_dir)?;
    let mut signals = Signals::new()?;
    let app = Arc::new(App::new(config, &env, access(config, &env, &data_dir)?));
    let listening = begin_to_listen(config, &env, &app).await?;
    let opening = open(config, &env, &data_dir, &app, refresh);
    let attached = tokio::select! {
        biased;
        name = signals.next() => {
            tracing::info!(signal = name, "stopped while starting");
            return Ok(());
        }
        attached = opening => attached?,
    };
    env.tasks.spawn("attach refresh", attached.clone().run());
    app.serve(Arc::new(AttachedBackend { attached, body_limit: config.limits.body }));
    ready(config, listening.address)?;

    let name = signals.next().await;
    tracing::info!(signal = name, "stopping: requests in flight may end");
    let finish = async {
        if !listening.drain(config.http.drain_timeout).await {
            tracing::warn!("some requests did not end in time and were cut off");
        }
        app.stop();
        env.tasks.abort().await;
        Ok(())
    };
    tokio::select! {
        biased;
        finished = finish => finished,
        name = signals.next() => bail!("a second {name} came before the server had stopped"),
    }
}

async fn open(
    config: &Config,
    env: &Env,
    data_dir: &Path,
    app: &App,
    refresh: Duration,
) -> anyhow::Result<Arc<Attached>> {
    let url = object_store_url(config.storage.object_store.as_str(), data_dir)?;
    let objects = open_objects(config, env, &url).await.with_context(|| format!("opening the object store {url}"))?;
    // Set once: a server opens its store once.
    let _ = app.objects.set(objects.meter);
    let spill_dir = data_dir.join("spill");
    clear(&spill_dir)?;
    env.disk.create_dir_all(&spill_dir).with_context(|| format!("making {}", spill_dir.display()))?;
    let attach = AttachConfig {
        node_id: config.node.id.clone(),
        prefix: object_store::path::Path::default(),
        memory: config.memory.limit.bytes(),
        resources: Resources { shares: config.shares(), spill: config.storage.spill_limit },
        rules: config.rules(),
        spill_dir: Some(spill_dir),
        query_threads: std::thread::available_parallelism().map_or(1, usize::from),
        refresh,
    };
    let attached = Attached::open(env.clone(), objects.store, attach).await;
    attached.with_context(|| format!("attaching node {} of {url}", config.node.id))
}

//! Making a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use ochre_store::catalog::{CatalogState, ChunkMeta, NodeState, Revision};
use ochre_store::object::create::{self, Created};
use ochre_types::DatabaseName;

use super::files::{self, Expected};
use super::marks::{Mark, Work};
use super::source::{Source, States};
use super::{BackupError, BackupId, DatabasePart, Manifest, Part, Target, Watch, layout, read};

/// Files that are copied at a time.
pub(super) const AT_ONCE: usize = 4;
/// How often a database's catalog is read anew because a file that it named has been collected.
const RESTARTS: usize = 5;

/// Backs up `databases` (none: all) of `source`. Files that the target has are not copied again.
///
/// Everything that a running node had acknowledged when this was called is in it.
///
/// # Errors
/// There is no backup then; files that were copied are used by the next one.
pub async fn create(
    source: &Source,
    target: &Target,
    databases: &[DatabaseName],
    watch: &dyn Watch,
) -> Result<Manifest, BackupError> {
    let env = &target.env;
    let nonce = env.entropy.next_u64();
    let id = BackupId { begun_millis: env.clock.wall_millis(), nonce: (nonce >> 32) as u32 };
    let mark = Mark::leave(target, Work::Backup, id).await?;
    let work = Creation { source, target, watch, mark: &mark, id };
    let made = work.run(databases).await;
    mark.wipe().await;
    made
}

/// One backup being made.
struct Creation<'a> {
    source: &'a Source,
    target: &'a Target,
    watch: &'a dyn Watch,
    mark: &'a Mark<'a>,
    id: BackupId,
}

impl Creation<'_> {
    async fn run(&self, databases: &[DatabaseName]) -> Result<Manifest, BackupError> {
        let States { epoch, node, databases: states } = self.source.states(databases).await?;
        let known = read::files(self.target).await?;
        let mut known: BTreeMap<Path, u64> = known.into_iter().map(|file| (file.location, file.size)).collect();
        let bytes = states.values().flat_map(|(_, state)| state.chunks()).map(|chunk| chunk.size_bytes).sum();
        self.watch.total(bytes);
        let mut parts = Vec::new();
        for (name, (revision, state)) in states {
            parts.push(self.database(&name, revision, state, &mut known).await?);
        }
        let (revision, state) = node;
        let kept = only(&state, parts.iter().map(|part| &part.name).collect());
        let now = self.target.env.clock.wall_millis();
        let node_catalog = self.put(&layout::node(self.id), revision, kept.to_object(now)).await?;
        self.mark.still_counts()?;
        let manifest = Manifest {
            id: self.id,
            node: self.source.node_id(),
            epoch,
            ended_millis: self.target.env.clock.wall_millis(),
            complete: self.source.is_complete(),
            node_catalog,
            databases: parts,
        };
        self.put(&layout::manifest(self.id), Revision(0), manifest.write().into()).await?;
        Ok(manifest)
    }

    /// Copies a database's files and catalog. If a file has been collected meanwhile, with a newer state.
    async fn database(
        &self,
        name: &DatabaseName,
        mut revision: Revision,
        mut state: Arc<CatalogState>,
        known: &mut BTreeMap<Path, u64>,
    ) -> Result<DatabasePart, BackupError> {
        for _ in 0..RESTARTS {
            match self.files(name, &state, known).await {
                Ok(chunks) => return self.catalog(name, revision, &state, chunks).await,
                Err(BackupError::Gone { object, .. }) => {
                    let newer = self.source.state(name).await?;
                    if newer.0 == revision {
                        return Err(BackupError::Gone { object, database: name.clone() });
                    }
                    tracing::info!(database = %name, object, "a file was collected while it should be copied: going on with the newer catalog");
                    (revision, state) = newer;
                }
                Err(error) => return Err(error),
            }
        }
        self.files(name, &state, known).await.map(drop)?;
        Err(BackupError::TooLong("all tries to copy files before they are collected"))
    }

    async fn catalog(
        &self,
        name: &DatabaseName,
        revision: Revision,
        state: &CatalogState,
        chunks: BTreeMap<Arc<str>, Arc<[u32]>>,
    ) -> Result<DatabasePart, BackupError> {
        let (count, rows, bytes) = state
            .chunks()
            .fold((0, 0, 0), |(count, rows, bytes), chunk| (count + 1, rows + chunk.rows, bytes + chunk.size_bytes));
        let now = self.target.env.clock.wall_millis();
        let state = state.clone();
        let object = self.target.env.compute.run(move || {
            let with_sums = |chunk: &ChunkMeta| {
                let checksums = chunks.get(&chunk.object).cloned().unwrap_or_else(|| chunk.checksums.clone());
                ChunkMeta { checksums, ..chunk.clone() }
            };
            state.with_chunks(with_sums).to_object(now)
        });
        let catalog = self.put(&layout::database(self.id, name), revision, object.await).await?;
        Ok(DatabasePart { name: name.clone(), catalog, chunks: count, rows, bytes })
    }

    /// Copies what the target lacks; returns the checksums of every chunk's file, by its object.
    async fn files(
        &self,
        database: &DatabaseName,
        state: &CatalogState,
        known: &mut BTreeMap<Path, u64>,
    ) -> Result<BTreeMap<Arc<str>, Arc<[u32]>>, BackupError> {
        let mut copied = Vec::new();
        {
            let has: &BTreeMap<Path, u64> = known;
            let chunks: Vec<Arc<ChunkMeta>> = state.chunks().cloned().collect();
            // Boxed, so that the compiler sees that a backup can be a task.
            let mut copies = futures::stream::iter(chunks)
                .map(|chunk| self.file(database, chunk, has).boxed())
                .buffer_unordered(AT_ONCE);
            while let Some(copy) = copies.next().await {
                copied.push(copy?);
            }
        }
        let mut sums = BTreeMap::new();
        for (chunk, path, checksums) in copied {
            known.insert(path, chunk.size_bytes);
            sums.insert(chunk.object.clone(), checksums);
        }
        Ok(sums)
    }

    async fn file(
        &self,
        database: &DatabaseName,
        chunk: Arc<ChunkMeta>,
        known: &BTreeMap<Path, u64>,
    ) -> Result<(Arc<ChunkMeta>, Path, Arc<[u32]>), BackupError> {
        self.mark.still_counts()?;
        let (env, from) = (&self.target.env, self.source.objects());
        let path = self.source.layout().object(database, &chunk.object);
        let mut file = Expected { path, size: chunk.size_bytes, checksums: chunk.checksums.clone() };
        let gone = |error| match error {
            BackupError::Store { source: object_store::Error::NotFound { .. }, object, .. } => {
                BackupError::Gone { object, database: database.clone() }
            }
            error => error,
        };
        if file.checksums.is_empty() {
            file.checksums = files::check(env, from, &file, self.watch).await.map_err(gone)?;
        }
        let to = layout::file(&ChunkMeta { checksums: file.checksums.clone(), ..(*chunk).clone() });
        if known.get(&to) != Some(&chunk.size_bytes) {
            files::copy(env, from, &file, &self.target.objects, &to, self.watch).await.map_err(gone)?;
        } else if self.watch.is_cancelled() {
            return Err(BackupError::Cancelled);
        }
        self.watch.advance(chunk.size_bytes);
        Ok((chunk, to, file.checksums))
    }

    /// Puts a small object, once.
    async fn put(&self, path: &Path, revision: Revision, body: Bytes) -> Result<Part, BackupError> {
        let Target { objects, env } = self.target;
        match create::create(objects, &env.clock, path, &body).await {
            // The name has a number that was drawn for this backup: what is there is ours.
            Created::Made | Created::Taken => {}
            Created::Unknown(source) => return Err(BackupError::store("putting", path)(source)),
        }
        Ok(Part { revision: revision.0, size: body.len() as u64, digest: layout::digest_of(&body) })
    }
}

/// The node's state with these databases only.
pub(super) fn only(state: &NodeState, databases: BTreeSet<&DatabaseName>) -> NodeState {
    let mut state = state.clone();
    state.databases.retain(|name, _| databases.contains(name));
    state.aliases.retain(|_, target| databases.contains(target));
    state
}

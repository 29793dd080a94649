//! Bringing a backup back to an empty prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use ochre_env::{Clock, Env};
use ochre_store::catalog::{Catalog, CatalogState, Checkpoints, NodeCatalog, Owner};
use ochre_store::epoch;
use ochre_store::object::Layout;
use ochre_store::object::create::{self, Created};
use ochre_types::{DatabaseName, Incarnation};

use super::create::{AT_ONCE, only};
use super::files::Expected;
use super::read::{self, expected};
use super::{BackupError, Manifest, Target, Watch, files, unfinished_note};

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// The databases.
    pub databases: Vec<DatabaseName>,
    /// Files that were copied; those of a restore that was broken off are not copied again.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows of all databases, counting versions of one key apart.
    pub rows: u64,
}

/// Restores `databases` (none: all) of a backup to the prefix that `layout` names, which must be empty or hold what an
/// earlier try left. No server may be started there before this has succeeded, and none can be.
///
/// # Errors
/// The prefix is then not served: restoring the same backup again goes on.
pub async fn restore(
    target: &Target,
    manifest: &Manifest,
    databases: &[DatabaseName],
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    watch: &dyn Watch,
) -> Result<Restored, BackupError> {
    let env = &target.env;
    let states = states(target, manifest, databases).await?;
    let node = only(&read::node_state(target, manifest).await?, states.keys().collect());
    note(env, objects, layout, manifest).await?;

    let mut restored = Restored { databases: states.keys().cloned().collect(), ..Restored::default() };
    watch.total(states.values().flat_map(|state| state.chunks()).map(|chunk| chunk.size_bytes).sum());
    for (name, state) in &states {
        let (files, bytes) = copy_files(target, state, objects, layout, name, watch).await?;
        restored.files += files;
        restored.bytes += bytes;
        restored.rows += state.chunks().map(|chunk| chunk.rows).sum::<u64>();
    }

    // From here on an earlier try that still runs can't commit any more.
    let incarnation = Incarnation(env.entropy.next_u64().max(1));
    let fence = epoch::claim(objects, layout, env, incarnation).await?;
    let checkpoints = Checkpoints::default();
    let owner = Owner { store: objects.clone(), layout: layout.clone(), env: env.clone(), fence, checkpoints };
    for (name, state) in &states {
        let catalog = Catalog::open(&owner, name, state.created).await?;
        catalog.commit(state.to_edits()).await?;
    }
    NodeCatalog::open(&owner).await?.commit(node.to_edits()).await?;
    let path = unfinished_note(layout);
    match objects.delete(&path).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(restored),
        Err(error) => Err(BackupError::store("removing", &path)(error)),
    }
}

/// The catalogs of the databases that were asked for.
pub(super) async fn states(
    target: &Target,
    manifest: &Manifest,
    databases: &[DatabaseName],
) -> Result<BTreeMap<DatabaseName, Arc<CatalogState>>, BackupError> {
    let has = |name: &DatabaseName| manifest.databases.iter().any(|part| part.name == *name);
    if let Some(unknown) = databases.iter().find(|name| !has(name)) {
        return Err(BackupError::NoDatabase(unknown.clone()));
    }
    let mut states = BTreeMap::new();
    for part in &manifest.databases {
        if databases.is_empty() || databases.contains(&part.name) {
            states.insert(part.name.clone(), read::database_state(target, manifest, &part.name).await?);
        }
    }
    Ok(states)
}

/// Copies the files of a database that are not there yet to the folder of database `name`.
pub(super) async fn copy_files(
    target: &Target,
    state: &CatalogState,
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    name: &DatabaseName,
    watch: &dyn Watch,
) -> Result<(u64, u64), BackupError> {
    let folder = layout.database(name);
    let there = files::list(&target.env, objects, &folder).await?;
    let there: BTreeMap<Path, u64> = there.into_iter().map(|object| (object.location, object.size)).collect();
    let (mut count, mut bytes) = (0, 0);
    let missing: Vec<(Expected, Path, bool)> = state
        .chunks()
        .map(|chunk| {
            let to = layout.object(name, &chunk.object);
            let has = there.get(&to) == Some(&chunk.size_bytes);
            (expected(chunk), to, has)
        })
        .collect();
    // Boxed, so that the compiler sees that a restore can be a task.
    let mut copies = futures::stream::iter(missing)
        .map(|(from, to, has)| copy_file(target, from, objects, to, has, watch).boxed())
        .buffered(AT_ONCE);
    while let Some(copied) = copies.next().await {
        if let Some(size) = copied? {
            (count, bytes) = (count + 1, bytes + size);
        }
    }
    Ok((count, bytes))
}

/// Copies a file unless it is there; returns its size if it was copied.
async fn copy_file(
    target: &Target,
    from: Expected,
    objects: &Arc<dyn ObjectStore>,
    to: Path,
    has: bool,
    watch: &dyn Watch,
) -> Result<Option<u64>, BackupError> {
    if watch.is_cancelled() {
        return Err(BackupError::Cancelled);
    }
    if !has {
        files::copy(&target.env, &target.objects, &from, objects, &to, watch).await?;
    }
    watch.advance(from.size);
    Ok((!has).then_some(from.size))
}

/// Notes on the prefix that it is being restored, and makes sure that nothing else is there.
async fn note(
    env: &Env,
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    manifest: &Manifest,
) -> Result<(), BackupError> {
    let path = unfinished_note(layout);
    let body = format!("ochre-restore 1\nbackup {}\n", manifest.id);
    let folder = layout.node().to_string();
    match create::create(objects, &env.clock, &path, &body.clone().into()).await {
        Created::Made => {}
        Created::Unknown(source) => return Err(BackupError::store("putting", &path)(source)),
        Created::Taken => {
            let found = unfinished(objects, layout, &env.clock).await?;
            return match found {
                Some(backup) if backup != manifest.id.to_string() => {
                    Err(BackupError::OtherRestore { folder, other: backup })
                }
                _ => Ok(()),
            };
        }
    }
    let there = files::list(env, objects, layout.node()).await?;
    if let Some(object) = there.into_iter().find(|object| object.location != path) {
        let found = object.location.to_string();
        objects.delete(&path).await.map_err(BackupError::store("removing", &path))?;
        return Err(BackupError::NotEmpty { folder, found });
    }
    Ok(())
}

/// The backup whose restore to this prefix was begun and not finished; `None` if there is none.
///
/// # Errors
/// If the store does not answer.
pub async fn unfinished(
    objects: &Arc<dyn ObjectStore>,
    layout: &Layout,
    clock: &Arc<dyn Clock>,
) -> Result<Option<String>, BackupError> {
    let path = unfinished_note(layout);
    match create::read(objects, clock, &path).await {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let backup = text.lines().find_map(|line| line.strip_prefix("backup ")).unwrap_or("unknown");
            Ok(Some(backup.to_owned()))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(BackupError::store("reading", &path)(error)),
    }
}

//! Reading backups: which there are, and whether everything is there that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta};
use ochre_store::catalog::{CatalogState, ChunkMeta, NodeState};
use ochre_store::object::create;
use ochre_types::DatabaseName;

use super::create::AT_ONCE;
use super::files::{self, Expected};
use super::{BackupError, BackupId, Manifest, Part, Target, Watch, layout};

/// Every backup, oldest first, and those whose manifest can't be read, with the reason.
///
/// # Errors
/// If the store does not answer.
pub async fn list(target: &Target) -> Result<(Vec<Manifest>, Vec<Damaged>), BackupError> {
    let (mut manifests, mut damaged) = (Vec::new(), Vec::new());
    for id in ids(target).await? {
        match manifest(target, id).await {
            Ok(Some(manifest)) => manifests.push(manifest),
            Ok(None) => {}
            Err(BackupError::Damaged { object, what }) => damaged.push(Damaged { object, what }),
            Err(error) => return Err(error),
        }
    }
    Ok((manifests, damaged))
}

/// The folders of backups, with or without a manifest.
pub(super) async fn ids(target: &Target) -> Result<Vec<BackupId>, BackupError> {
    let folders = files::list_folders(&target.env, &target.objects, &layout::backups()).await?;
    let mut ids: Vec<BackupId> = folders.iter().filter_map(|folder| folder.filename()?.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// A backup's manifest; `None` if there is none, as of one that was broken off.
async fn manifest(target: &Target, id: BackupId) -> Result<Option<Manifest>, BackupError> {
    let path = layout::manifest(id);
    let bytes = match create::read(&target.objects, &target.env.clock, &path).await {
        Ok(bytes) => bytes,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(BackupError::store("reading", &path)(error)),
    };
    let damaged = |what| BackupError::Damaged { object: path.to_string(), what };
    let manifest = Manifest::read(&bytes).map_err(damaged)?;
    if manifest.id != id {
        return Err(damaged(format!("it is that of backup {}", manifest.id)));
    }
    Ok(Some(manifest))
}

/// One backup: the one of this id, or the newest that was begun not after `at` (milliseconds since 1970-01-01 UTC).
///
/// # Errors
/// If there is none, or the one with this id is damaged.
pub async fn choose(target: &Target, id: Option<BackupId>, at: Option<u64>) -> Result<Manifest, BackupError> {
    if let Some(id) = id {
        return manifest(target, id).await?.ok_or(BackupError::NoBackup(id));
    }
    let (manifests, damaged) = list(target).await?;
    for Damaged { object, what } in damaged {
        tracing::warn!(object, what, "this backup is passed over");
    }
    let fits = |manifest: &Manifest| at.is_none_or(|at| manifest.id.begun_millis <= at);
    let said = if at.is_some() { " that was begun by then" } else { "" };
    manifests.into_iter().rev().find(fits).ok_or_else(|| BackupError::NoneFits(said.to_owned()))
}

/// Every file of any backup.
pub(super) async fn files(target: &Target) -> Result<Vec<ObjectMeta>, BackupError> {
    files::list(&target.env, &target.objects, &layout::files()).await
}

/// Something of a backup that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// What was found when a backup was read through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that are as they should be.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is not: the backup can't be restored as a whole.
    pub damaged: Vec<Damaged>,
}

/// Reads everything that a backup names, and compares it with its checksums.
///
/// # Errors
/// If the store does not answer. Damage is no error, but part of the answer.
pub async fn verify(target: &Target, manifest: &Manifest, watch: &dyn Watch) -> Result<Verified, BackupError> {
    let mut verified = Verified::default();
    if let Err(error) = node_state(target, manifest).await {
        verified.damaged.push(as_damage(error)?);
    }
    let mut wanted = BTreeMap::new();
    for part in &manifest.databases {
        match database_state(target, manifest, &part.name).await {
            Ok(state) => {
                wanted.extend(state.chunks().map(|chunk| (layout::file(chunk), expected(chunk))));
            }
            Err(error) => verified.damaged.push(as_damage(error)?),
        }
    }
    watch.total(wanted.values().map(|file| file.size).sum());
    let sizes: BTreeMap<Path, u64> = files(target).await?.into_iter().map(|file| (file.location, file.size)).collect();
    let wanted: Vec<Expected> = wanted.into_values().collect();
    let mut checks =
        futures::stream::iter(wanted).map(|file| check(target, file, &sizes, watch).boxed()).buffered(AT_ONCE);
    while let Some((size, answer)) = checks.next().await {
        match answer {
            Ok(()) => (verified.files, verified.bytes) = (verified.files + 1, verified.bytes + size),
            Err(error) => verified.damaged.push(as_damage(error)?),
        }
    }
    Ok(verified)
}

async fn check(
    target: &Target,
    file: Expected,
    sizes: &BTreeMap<Path, u64>,
    watch: &dyn Watch,
) -> (u64, Result<(), BackupError>) {
    let damaged = |what: String| Err(BackupError::Damaged { object: file.path.to_string(), what });
    let answer = match sizes.get(&file.path) {
        None => damaged("it is missing".to_owned()),
        Some(size) if *size != file.size => damaged(format!("it has {size} bytes instead of {}", file.size)),
        Some(_) => files::check(&target.env, &target.objects, &file, watch).await.map(drop),
    };
    watch.advance(file.size);
    (file.size, answer)
}

fn as_damage(error: BackupError) -> Result<Damaged, BackupError> {
    match error {
        BackupError::Damaged { object, what } => Ok(Damaged { object, what }),
        error => Err(error),
    }
}

/// The file of a chunk, and what it must have.
pub(super) fn expected(chunk: &ChunkMeta) -> Expected {
    Expected { path: layout::file(chunk), size: chunk.size_bytes, checksums: chunk.checksums.clone() }
}

/// The files that a backup names.
pub(super) async fn named(target: &Target, manifest: &Manifest) -> Result<BTreeSet<Path>, BackupError> {
    let mut named = BTreeSet::new();
    for part in &manifest.databases {
        let state = database_state(target, manifest, &part.name).await?;
        named.extend(state.chunks().map(|chunk| layout::file(chunk)));
    }
    Ok(named)
}

/// The node's catalog of a backup.
pub(super) async fn node_state(target: &Target, manifest: &Manifest) -> Result<NodeState, BackupError> {
    let path = layout::node(manifest.id);
    let bytes = part(target, &path, &manifest.node_catalog).await?;
    NodeState::from_object(&bytes)
        .map_err(|error| BackupError::Damaged { object: path.to_string(), what: error.to_string() })
}

/// A database's catalog of a backup.
pub(super) async fn database_state(
    target: &Target,
    manifest: &Manifest,
    name: &DatabaseName,
) -> Result<Arc<CatalogState>, BackupError> {
    let path = layout::database(manifest.id, name);
    let named = manifest.databases.iter().find(|part| part.name == *name);
    let named = named.ok_or_else(|| BackupError::NoDatabase(name.clone()))?;
    let bytes = part(target, &path, &named.catalog).await?;
    let damaged = |what| BackupError::Damaged { object: path.to_string(), what };
    let read = target.env.compute.run(move || CatalogState::from_object(&bytes)).await;
    let state = read.map_err(|error| damaged(error.to_string()))?;
    if state.database != *name {
        return Err(damaged(format!("it is that of database {}", state.database)));
    }
    Ok(Arc::new(state))
}

/// Reads a small object that a manifest names.
async fn part(target: &Target, path: &Path, part: &Part) -> Result<Bytes, BackupError> {
    let damaged = |what: String| BackupError::Damaged { object: path.to_string(), what };
    let bytes = match create::read(&target.objects, &target.env.clock, path).await {
        Ok(bytes) => bytes,
        Err(Error::NotFound { .. }) => return Err(damaged("it is missing".to_owned())),
        Err(error) => return Err(BackupError::store("reading", path)(error)),
    };
    if bytes.len() as u64 != part.size || layout::digest_of(&bytes) != part.digest {
        return Err(damaged("it is not the object that the manifest names".to_owned()));
    }
    Ok(bytes)
}

//! Removing old backups, and the files that only they had.

use std::collections::BTreeSet;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt};

use super::marks::{Mark, Work};
use super::{BackupError, BackupId, Manifest, Target, Watch, files, layout, read};

/// Files that no backup names stay for so long: those of one that was broken off are used by the next.
const YOUNG: Duration = Duration::from_secs(24 * 3_600);

/// Which backups are kept. The newest always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// The newest so many.
    Newest(usize),
    /// Those that were begun within this time.
    Since(Duration),
}

/// What a prune removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Backups, oldest first.
    pub backups: Vec<BackupId>,
    /// Backups that stay.
    pub kept: usize,
    /// Files that no backup names that stays.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of such files, those that stay for now as they are less than a day old.
    pub young: u64,
}

/// Removes backups, manifests first, and then files that no remaining backup names. Without `apply` nothing is removed.
///
/// # Errors
/// If a backup goes on, or a backup that stays can't be read: then nobody knows which files it needs. What was removed
/// so far stays removed; pruning again goes on.
pub async fn prune(target: &Target, retain: Retain, apply: bool, watch: &dyn Watch) -> Result<Pruned, BackupError> {
    if !apply {
        return run(target, retain, None, watch).await;
    }
    let env = &target.env;
    let id = BackupId { begun_millis: env.clock.wall_millis(), nonce: (env.entropy.next_u64() >> 32) as u32 };
    let mark = Mark::leave(target, Work::Prune, id).await?;
    let pruned = run(target, retain, Some(&mark), watch).await;
    mark.wipe().await;
    pruned
}

async fn run(
    target: &Target,
    retain: Retain,
    mark: Option<&Mark<'_>>,
    watch: &dyn Watch,
) -> Result<Pruned, BackupError> {
    let now = target.env.clock.wall_millis();
    let (manifests, damaged) = read::list(target).await?;
    if let Some(damaged) = damaged.into_iter().next() {
        return Err(BackupError::Damaged { object: damaged.object, what: damaged.what });
    }
    let (old, kept) = part(&manifests, retain, now);
    let mut named = BTreeSet::new();
    for manifest in kept {
        named.extend(read::named(target, manifest).await?);
    }
    let unnamed: Vec<ObjectMeta> =
        read::files(target).await?.into_iter().filter(|file| !named.contains(&file.location)).collect();
    let is_young = |file: &ObjectMeta| {
        let written = u64::try_from(file.last_modified.timestamp_millis()).unwrap_or(0);
        // What only backups had that are removed now is not waited for.
        Duration::from_millis(now.saturating_sub(written)) < YOUNG
    };
    let mut of_old = BTreeSet::new();
    for manifest in old {
        of_old.extend(read::named(target, manifest).await?);
    }
    let (young, gone): (Vec<ObjectMeta>, Vec<ObjectMeta>) =
        unnamed.into_iter().partition(|file| is_young(file) && !of_old.contains(&file.location));
    let pruned = Pruned {
        backups: old.iter().map(|manifest| manifest.id).collect(),
        kept: kept.len(),
        files: gone.len() as u64,
        bytes: gone.iter().map(|file| file.size).sum(),
        young: young.len() as u64,
    };
    if let Some(mark) = mark {
        remove(target, mark, &pruned, gone, kept, watch).await?;
    }
    Ok(pruned)
}

/// Those to be removed and those to be kept, of backups in the order of their times.
fn part(manifests: &[Manifest], retain: Retain, now: u64) -> (&[Manifest], &[Manifest]) {
    let kept = match retain {
        Retain::Newest(count) => count,
        Retain::Since(age) => {
            let young =
                |manifest: &&Manifest| Duration::from_millis(now.saturating_sub(manifest.id.begun_millis)) <= age;
            manifests.iter().rev().take_while(young).count()
        }
    };
    manifests.split_at(manifests.len().saturating_sub(kept.max(1)))
}

async fn remove(
    target: &Target,
    mark: &Mark<'_>,
    pruned: &Pruned,
    gone: Vec<ObjectMeta>,
    kept: &[Manifest],
    watch: &dyn Watch,
) -> Result<(), BackupError> {
    watch.total(pruned.bytes);
    for id in &pruned.backups {
        mark.still_counts()?;
        delete(target, &layout::manifest(*id)).await?;
    }
    // What is left of backups without a manifest: their catalogs. No backup goes on, as our mark stands.
    let staying: BTreeSet<BackupId> = kept.iter().map(|manifest| manifest.id).collect();
    for id in read::ids(target).await?.into_iter().filter(|id| !staying.contains(id)) {
        let folder = layout::backup(id);
        for object in files::list(&target.env, &target.objects, &folder).await? {
            mark.still_counts()?;
            delete(target, &object.location).await?;
        }
    }
    for file in gone {
        mark.still_counts()?;
        if watch.is_cancelled() {
            return Err(BackupError::Cancelled);
        }
        delete(target, &file.location).await?;
        watch.advance(file.size);
    }
    Ok(())
}

async fn delete(target: &Target, path: &Path) -> Result<(), BackupError> {
    match target.objects.delete(path).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(BackupError::store("removing", path)(error)),
    }
}

//! Listing objects of a local folder.

use std::io;
use std::path::PathBuf;

use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};

use super::{Folder, TEMPORARY, meta, translate};

/// A directory still to be looked into.
struct Pending {
    directory: PathBuf,
    location: Path,
}

/// What one directory holds, as far as it can be of this store.
struct Level {
    objects: Vec<ObjectMeta>,
    directories: Vec<Pending>,
}

impl Folder {
    /// Every object below `prefix`, in the order of their paths.
    pub(super) fn list(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let mut pending = vec![self.begin(prefix)?];
        let mut objects = Vec::new();
        while let Some(next) = pending.pop() {
            let level = self.level(&next)?;
            objects.extend(level.objects);
            pending.extend(level.directories);
        }
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// The objects directly below `prefix`, and the directories that hold any.
    pub(super) fn list_one_level(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let level = self.level(&self.begin(prefix)?)?;
        let mut common_prefixes = Vec::new();
        for directory in level.directories {
            let location = directory.location.clone();
            if self.holds_any(directory)? {
                common_prefixes.push(location);
            }
        }
        Ok(ListResult { common_prefixes, objects: level.objects })
    }

    fn begin(&self, prefix: Option<&Path>) -> Result<Pending> {
        Ok(Pending { directory: self.directory(prefix)?, location: prefix.cloned().unwrap_or_default() })
    }

    /// Directories outlive their objects, but a store has none that are empty.
    fn holds_any(&self, directory: Pending) -> Result<bool> {
        let mut pending = vec![directory];
        while let Some(next) = pending.pop() {
            let level = self.level(&next)?;
            if !level.objects.is_empty() {
                return Ok(true);
            }
            pending.extend(level.directories);
        }
        Ok(false)
    }

    fn level(&self, pending: &Pending) -> Result<Level> {
        let mut level = Level { objects: Vec::new(), directories: Vec::new() };
        let entries = match self.disk.list(&pending.directory) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(level);
            }
            other => other.map_err(|error| translate(&pending.location, error))?,
        };
        let at_root = pending.location.as_ref().is_empty();
        for entry in entries {
            // What could not be the name of an object was put there by somebody else.
            let Some(name) = entry.name.to_str().filter(|name| !(at_root && *name == TEMPORARY)) else { continue };
            let text = if at_root { name.to_owned() } else { format!("{}/{name}", pending.location) };
            let Ok(location) = Path::parse(&text) else { continue };
            if entry.is_dir {
                level.directories.push(Pending { directory: pending.directory.join(name), location });
            } else {
                level.objects.push(meta(location, entry.len));
            }
        }
        Ok(level)
    }
}

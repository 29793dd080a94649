//! Writing, copying and deleting objects of a local folder.

use std::io;
use std::path::{Path as FilePath, PathBuf};

use object_store::path::Path;
use object_store::{PutPayload, PutResult, Result};

use super::{Folder, KNOWN_DIRECTORIES, translate};

/// How a finished temporary file gets its object's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publish {
    /// The name must be free.
    Create,
    /// Whatever has the name is replaced.
    Replace,
}

impl Folder {
    /// Writes an object; durable on return.
    pub(super) fn put(&self, location: &Path, payload: &PutPayload, publish: Publish) -> Result<PutResult> {
        let target = self.file(location)?;
        let temporary = self.temporary();
        self.write(&temporary, payload)
            .and_then(|()| self.publish(&temporary, &target, publish))
            .map_err(|error| self.abandon(&temporary, location, error))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    fn write(&self, temporary: &FilePath, payload: &PutPayload) -> io::Result<()> {
        let mut file = self.disk.create_new(temporary)?;
        for piece in payload {
            file.append(piece)?;
        }
        file.sync()
    }

    /// Gives a synced temporary file its object's name; durable on return, whatever the answer says.
    pub(super) fn publish(&self, temporary: &FilePath, target: &FilePath, publish: Publish) -> io::Result<()> {
        let directory = target.parent().unwrap_or(&self.root);
        self.make_durable(directory)?;
        match publish {
            Publish::Replace => self.disk.rename(temporary, target).inspect_err(|_| self.forget(directory))?,
            Publish::Create => match self.disk.hard_link(temporary, target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Whoever hears "exists" builds on it, and another process may not have synced it yet.
                    self.disk.sync_dir(directory)?;
                    return Err(error);
                }
                other => other.inspect_err(|_| self.forget(directory))?,
            },
        }
        self.disk.sync_dir(directory)?;
        if publish == Publish::Create
            && let Err(error) = self.disk.remove_file(temporary)
        {
            tracing::debug!(file = %temporary.display(), %error, "a temporary file stays until the next start");
        }
        Ok(())
    }

    /// Removes the temporary file of a failed put, as far as possible, and says what failed.
    pub(super) fn abandon(&self, temporary: &FilePath, location: &Path, error: io::Error) -> object_store::Error {
        if let Err(error) = self.disk.remove_file(temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(file = %temporary.display(), %error, "a temporary file stays until the next start");
        }
        translate(location, error)
    }

    /// Makes a directory whose name, and whose parents' names, are durable. A directory that is merely there may
    /// have been made by a process that died before it synced, so each is synced once by this process.
    fn make_durable(&self, directory: &FilePath) -> io::Result<()> {
        if self.known.lock().contains(directory) {
            return Ok(());
        }
        self.disk.create_dir_all(directory)?;
        let mut made: Vec<PathBuf> = Vec::new();
        for level in directory.ancestors() {
            if self.known.lock().contains(level) {
                break;
            }
            let Some(parent) = level.parent() else { break };
            self.disk.sync_dir(parent)?;
            made.push(level.to_owned());
        }
        let mut known = self.known.lock();
        if known.len() + made.len() > KNOWN_DIRECTORIES {
            known.clear();
            known.insert(self.root.clone());
        }
        known.extend(made);
        Ok(())
    }

    /// A directory may have been removed behind our back: look again the next time.
    fn forget(&self, directory: &FilePath) {
        self.known.lock().retain(|known| !directory.starts_with(known) || *known == self.root);
    }

    /// Copies an object by giving its file a second name: objects never change in place.
    pub(super) fn copy(&self, from: &Path, to: &Path, publish: Publish) -> Result<()> {
        let (source, target) = (self.file(from)?, self.file(to)?);
        if self.disk.list(&source).is_ok() {
            return Err(translate(from, io::ErrorKind::IsADirectory.into()));
        }
        let temporary = self.temporary();
        self.disk.hard_link(&source, &temporary).map_err(|error| translate(from, error))?;
        self.publish(&temporary, &target, publish).map_err(|error| self.abandon(&temporary, to, error))?;
        if publish == Publish::Replace {
            // Renaming one name of a file to another of the same file does nothing, and leaves both.
            drop(self.disk.remove_file(&temporary));
        }
        Ok(())
    }

    /// Deletes an object; durable on return. Deleting what is not there succeeds.
    pub(super) fn delete(&self, location: &Path) -> Result<()> {
        let file = self.file(location)?;
        match self.disk.remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(translate(location, error)),
            Ok(()) => {
                let directory = file.parent().unwrap_or(&self.root);
                self.disk.sync_dir(directory).map_err(|error| translate(location, error))
            }
        }
    }
}

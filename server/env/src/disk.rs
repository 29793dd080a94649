//! Files.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskEntry {
    /// The name within its directory.
    pub name: OsString,
    /// Whether it is a directory itself.
    pub is_dir: bool,
    /// The file's length in bytes; 0 for a directory.
    pub len: u64,
}

/// A lock on a directory, held until dropped or until the process ends.
pub trait DiskLock: Debug + Send + Sync {}

/// A file system. Calls block: run them through [`crate::Compute`].
pub trait Disk: Debug + Send + Sync {
    /// Makes a directory and its parents; all their names are durable on return.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes a new, empty file for writing; `AlreadyExists` if the name is taken. The name is durable only after
    /// [`Disk::sync_dir`] of its directory.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// The same, for a file that nobody but its owner may read or write.
    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.create_new(path)
    }

    /// Opens an existing file for reading and writing at its end.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading only.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// The entries of a directory, sorted by name. `NotFound` if there is no such directory.
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>>;

    /// Gives a file another name, replacing what had it. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, or fails with `AlreadyExists`. Durable after [`Disk::sync_dir`].
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock of a directory, or fails with `WouldBlock` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;

    /// Bytes that may still be written below `path`.
    fn available(&self, path: &Path) -> io::Result<u64>;

    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open_read(path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Writes all of `bytes` at the end. After an error an unknown part of them may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended so far durable. After an error nothing is known about what is durable: the file
    /// must not be appended to again.
    fn sync(&mut self) -> io::Result<()>;

    /// Fills `buffer` from `offset`; `UnexpectedEof` if the file is shorter.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file off at `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Debug, Clone, Copy)]
pub struct LocalDisk;

#[derive(Debug)]
struct LocalFile(File);

#[derive(Debug)]
struct LocalLock {
    _file: File,
}

impl DiskLock for LocalLock {}

impl Disk for LocalDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !parent.is_dir() {
            self.create_dir_all(parent)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.sync_dir(parent),
        }
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        Ok(Box::new(LocalFile(file)))
    }

    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(LocalFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        Ok(Box::new(LocalFile(file)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(LocalFile(File::open(path)?)))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Gone between the listing and the look: as if it had never been listed.
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let len = if metadata.is_dir() { 0 } else { metadata.len() };
            entries.push(DiskEntry { name: entry.file_name(), is_dir: metadata.is_dir(), len });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = File::open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(LocalLock { _file: file }))
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl DiskFile for LocalFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("a/b");
        LocalDisk.create_dir_all(&nested).unwrap();
        let path = nested.join("f");
        let mut file = LocalDisk.create_new(&path).unwrap();
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        file.sync().unwrap();
        LocalDisk.sync_dir(&nested).unwrap();
        assert_eq!(LocalDisk.read(&path).unwrap(), b"hello world");
        assert_eq!(LocalDisk.create_new(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let mut again = LocalDisk.open(&path).unwrap();
        again.truncate(5).unwrap();
        again.append(b"!").unwrap();
        assert_eq!(LocalDisk.read(&path).unwrap(), b"hello!");
        assert_eq!(LocalDisk.list(&nested).unwrap(), [DiskEntry { name: "f".into(), is_dir: false, len: 6 }]);
        assert!(LocalDisk.available(&nested).unwrap() > 0);
    }

    #[test]
    fn a_directory_is_locked_once() {
        let dir = tempfile::tempdir().unwrap();
        let lock = LocalDisk.lock(dir.path()).unwrap();
        assert_eq!(LocalDisk.lock(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        LocalDisk.lock(dir.path()).unwrap();
    }
}

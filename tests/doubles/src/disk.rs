//! A disk in memory that knows what a power loss would take.
//!
//! ```text
//!   names now  --sync_dir-->  names durable          file: content now  --sync-->  content durable
//!   crash: every unsynced name change is kept or lost by chance; of each file, the durable content stays, and of
//!          what was appended since a random prefix does, perhaps with garbage at its end
//! ```
//!
//! # Invariants
//! 1. After [`SimDisk::crash`] nothing is left that a real disk could not show, and everything synced is.
//! 2. A handle opened before a crash fails from then on: it belongs to a process that is dead.
//! 3. The same seed and the same calls give the same contents.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ochre_env::{Disk, DiskEntry, DiskFile, DiskLock};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    rng: SmallRng,
    /// Counts crashes; handles and locks of an earlier life are dead.
    life: u64,
    operations: u64,
    fail_at: Option<(u64, Fault)>,
    fail_sync: bool,
    capacity: u64,
    capacity_hidden: bool,
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    locks: BTreeMap<PathBuf, u64>,
    synced_files: u64,
}

#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

/// What an operation that was chosen to fail does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with an input/output error and has no effect.
    Error,
    /// The machine loses power just before it: it fails, and so does everything after it until [`SimDisk::crash`].
    PowerLoss,
}

impl SimDisk {
    /// An empty disk without bounds.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            rng: SmallRng::seed_from_u64(seed),
            life: 0,
            operations: 0,
            fail_at: None,
            fail_sync: false,
            capacity: u64::MAX,
            capacity_hidden: false,
            dirs: BTreeSet::from([PathBuf::from("/")]),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            files: BTreeMap::new(),
            next_file: 1,
            locks: BTreeMap::new(),
            synced_files: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// How many operations that change the disk (make, append, sync, truncate, rename, link, remove) were asked for.
    pub fn operations(&self) -> u64 {
        self.inner.lock().operations
    }

    /// How many times a file was synced.
    pub fn file_syncs(&self) -> u64 {
        self.inner.lock().synced_files
    }

    /// Makes the changing operation with this number (the first is 1) fail.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.inner.lock().fail_at = Some((operation, fault));
    }

    /// Makes every sync fail with an input/output error, or no longer.
    pub fn fail_syncs(&self, fail: bool) {
        self.inner.lock().fail_sync = fail;
    }

    /// Bounds the bytes of all files together. An append that goes beyond writes what fits, then fails.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner.lock().capacity = bytes;
    }

    /// Makes [`Disk::available`] say that there is room when there is none, as after a quota or a race.
    pub fn hide_capacity(&self, hidden: bool) {
        self.inner.lock().capacity_hidden = hidden;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.inner.lock().used()
    }

    /// Loses power: see the module's picture. Handles and locks of before are dead; planned faults are forgotten.
    pub fn crash(&self) {
        self.inner.lock().crash();
    }

    /// Overwrites one byte of a file, durably, as decay would.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        let mut inner = self.inner.lock();
        let id = inner.names[path];
        if let Some(content) = inner.files.get_mut(&id) {
            content.bytes[offset as usize] ^= mask;
            content.durable = content.bytes.clone();
        }
    }

    /// Replaces a file's contents, durably; makes it if it is not there.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut inner = self.inner.lock();
        let id = match inner.names.get(path) {
            Some(id) => *id,
            None => inner.new_file(path),
        };
        inner.durable_names.insert(path.to_owned(), id);
        inner.files.insert(id, Content { bytes: bytes.to_vec(), durable: bytes.to_vec() });
    }

    /// A disk of its own with the same contents, all of them durable, and without locks.
    pub fn copy(&self, seed: u64) -> Self {
        let other = Self::new(seed);
        let inner = self.inner.lock();
        {
            let mut copy = other.inner.lock();
            copy.dirs = inner.dirs.clone();
            copy.names = inner.names.clone();
            copy.durable_names = inner.names.clone();
            copy.next_file = inner.next_file;
            copy.files = inner.files.clone();
            for content in copy.files.values_mut() {
                content.durable = content.bytes.clone();
            }
        }
        other
    }
}

impl Inner {
    fn used(&self) -> u64 {
        self.files.values().map(|content| content.bytes.len() as u64).sum()
    }

    fn change(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fail_at {
            Some((at, Fault::Error)) if at == self.operations => {
                self.fail_at = None;
                Err(io::Error::other("injected"))
            }
            Some((at, Fault::PowerLoss)) if at <= self.operations => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    fn new_file(&mut self, path: &Path) -> u64 {
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, Content::default());
        self.names.insert(path.to_owned(), id);
        id
    }

    fn file(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn dir_of(&self, path: &Path) -> io::Result<()> {
        let known = path.parent().is_some_and(|parent| self.dirs.contains(parent));
        if known { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    /// Frees files that have no name and no handle's life to lose.
    fn sweep(&mut self) {
        let named: BTreeSet<u64> = self.names.values().chain(self.durable_names.values()).copied().collect();
        self.files.retain(|id, _| named.contains(id));
    }

    fn crash(&mut self) {
        self.life += 1;
        self.fail_at = None;
        self.fail_sync = false;
        self.locks.clear();
        let paths: BTreeSet<PathBuf> = self.names.keys().chain(self.durable_names.keys()).cloned().collect();
        let mut names = BTreeMap::new();
        for path in paths {
            let (now, durable) = (self.names.get(&path).copied(), self.durable_names.get(&path).copied());
            let kept = if now == durable || self.rng.random_bool(0.5) { now } else { durable };
            if let Some(id) = kept {
                names.insert(path, id);
            }
        }
        self.names = names;
        self.durable_names = self.names.clone();
        self.sweep();
        let rng = &mut self.rng;
        for content in self.files.values_mut() {
            content.bytes = survivor(rng, content);
            content.durable = content.bytes.clone();
        }
    }
}

/// What a power loss leaves of a file.
fn survivor(rng: &mut SmallRng, content: &Content) -> Vec<u8> {
    let (now, durable) = (&content.bytes, &content.durable);
    if !now.starts_with(durable) {
        // It was cut since the last sync: the cut happened or it did not.
        return if rng.random_bool(0.5) { now.clone() } else { durable.clone() };
    }
    let added = now.len() - durable.len();
    let mut left = now[..durable.len() + rng.random_range(0..=added)].to_vec();
    let tail = left.len() - durable.len();
    if tail > 0 && rng.random_bool(0.3) {
        // The length reached the disk before the data did.
        let torn = rng.random_range(1..=tail);
        let start = left.len() - torn;
        let zeros = rng.random_bool(0.5);
        left[start..].iter_mut().for_each(|byte| *byte = if zeros { 0 } else { rng.random() });
    }
    left
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    life: u64,
    id: u64,
    writable: bool,
    /// What the file has if it no longer has a name: handles outlive names.
    unlinked: Option<Vec<u8>>,
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.inner.lock();
        if inner.life == self.life {
            inner.locks.remove(&self.path);
        }
    }
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut Inner, u64) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.disk.inner.lock();
        if inner.life != self.life {
            return Err(io::Error::other("this handle is of before the crash"));
        }
        work(&mut inner, self.id)
    }

    fn bytes<'a>(&'a self, inner: &'a Inner) -> &'a [u8] {
        let held = self.unlinked.as_deref().unwrap_or(&[]);
        inner.files.get(&self.id).map_or(held, |content| &content.bytes)
    }

    fn change(&self) -> io::Result<()> {
        if !self.writable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.with(|inner, _| inner.change())
    }
}

impl SimDisk {
    fn handle(&self, path: &Path, writable: bool) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.inner.lock();
        let id = inner.file(path)?;
        let unlinked = (!writable).then(|| inner.files[&id].bytes.clone());
        Ok(Box::new(SimFile { disk: self.clone(), life: inner.life, id, writable, unlinked }))
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        {
            let mut inner = self.inner.lock();
            inner.change()?;
            inner.dir_of(path)?;
            if inner.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            inner.new_file(path);
        }
        self.handle(path, true)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.handle(path, true)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.handle(path, false)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let inner = self.inner.lock();
        if !inner.dirs.contains(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let mut entries = Vec::new();
        let name = |path: &Path| path.file_name().map_or_else(OsString::new, OsString::from);
        for (file, id) in inner.names.iter().filter(|(file, _)| file.parent() == Some(path)) {
            let len = inner.files[id].bytes.len() as u64;
            entries.push(DiskEntry { name: name(file), is_dir: false, len });
        }
        for dir in inner.dirs.iter().filter(|dir| dir.parent() == Some(path)) {
            entries.push(DiskEntry { name: name(dir), is_dir: true, len: 0 });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.change()?;
        let id = inner.file(from)?;
        inner.dir_of(to)?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.change()?;
        let id = inner.file(from)?;
        inner.dir_of(to)?;
        if inner.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        inner.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.file(path)?;
        inner.change()?;
        inner.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.change()?;
        if inner.fail_sync {
            return Err(io::Error::other("injected: the directory cannot be synced"));
        }
        let here = |file: &PathBuf| file.parent() == Some(path);
        let now: BTreeMap<PathBuf, u64> =
            inner.names.iter().filter(|(file, _)| here(file)).map(|(file, id)| (file.clone(), *id)).collect();
        inner.durable_names.retain(|file, _| !here(file));
        inner.durable_names.extend(now);
        inner.sweep();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut inner = self.inner.lock();
        let life = inner.life;
        if inner.locks.insert(path.to_owned(), life).is_some() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), life }))
    }

    fn available(&self, _path: &Path) -> io::Result<u64> {
        let inner = self.inner.lock();
        if inner.capacity_hidden {
            return Ok(u64::MAX);
        }
        Ok(inner.capacity.saturating_sub(inner.used()))
    }
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.change() {
            // Power fails while the bytes are on their way: the crash decides how many arrive.
            return self.with(|inner, id| {
                if inner.fail_at == Some((inner.operations, Fault::PowerLoss)) {
                    inner.files.entry(id).or_default().bytes.extend_from_slice(bytes);
                }
                Err(error)
            });
        }
        self.with(|inner, id| {
            let room = usize::try_from(inner.capacity.saturating_sub(inner.used())).unwrap_or(usize::MAX);
            let fits = bytes.len().min(room);
            inner.files.entry(id).or_default().bytes.extend_from_slice(&bytes[..fits]);
            if fits < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.change()?;
        self.with(|inner, id| {
            inner.synced_files += 1;
            if inner.fail_sync {
                return Err(io::Error::other("injected: the file cannot be synced"));
            }
            if let Some(content) = inner.files.get_mut(&id) {
                content.durable = content.bytes.clone();
            }
            Ok(())
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|inner, _| {
            let bytes = self.bytes(inner);
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let part = bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
            buffer.copy_from_slice(part.ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|inner, _| Ok(self.bytes(inner).len() as u64))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.change()?;
        self.with(|inner, id| {
            if let Some(content) = inner.files.get_mut(&id) {
                content.bytes.truncate(usize::try_from(len).map_err(io::Error::other)?);
            }
            Ok(())
        })
    }
}

//! Objects as files of a local folder, durable before success.
//!
//! An object's path is its file's path below the root. A new object is written to a temporary file below
//! `.ochre-tmp` in the root, synced, and only then given its name (by a hard link where the name must be free, by a
//! rename where it may be replaced); then the directory is synced. So an object exists whole or not at all, and one
//! that was answered as put is there after a power loss. Temporary files that a crash left are invisible to listings
//! and removed when the next process opens the folder alone.

mod read;
mod upload;
mod walk;
mod write;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use ochre_env::{Compute, Disk, DiskLock, Env};
use parking_lot::Mutex;

use upload::Upload;
use write::Publish;

/// The name of this store in errors.
const STORE: &str = "local folder";
/// The folder of temporary files, directly below the root.
const TEMPORARY: &str = ".ochre-tmp";
/// How many directories are remembered as durable; when there are more, all are forgotten, and synced once more.
const KNOWN_DIRECTORIES: usize = 65_536;

/// An [`ObjectStore`] over a local folder that syncs files and directories before it reports success.
///
/// Objects carry no modification time (it is always 1970-01-01) and no e-tag: what Ochre stores is created once and
/// never changed.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    folder: Arc<Folder>,
    compute: Compute,
}

/// The blocking half.
#[derive(Debug)]
struct Folder {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Directories whose names are known to be durable up to the root.
    known: Mutex<BTreeSet<PathBuf>>,
    /// Makes temporary names differ from those of any other process.
    tag: u64,
    next_temporary: AtomicU64,
    /// Held while this process uses the folder; whoever cannot have it leaves the temporary files alone.
    _lock: Option<Box<dyn DiskLock>>,
}

impl DurableLocal {
    /// Opens the folder `root`, making it if needed, and removes temporary files that no live process can own.
    ///
    /// # Errors
    /// If the folder cannot be made, read or locked.
    pub async fn open(root: &FilePath, env: &Env) -> io::Result<Self> {
        let (root, disk, tag) = (root.to_owned(), env.disk.clone(), env.entropy.next_u64());
        let folder = env.compute.run(move || Folder::open(root, disk, tag)).await?;
        Ok(Self { folder: Arc::new(folder), compute: env.compute.clone() })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Folder) -> T + Send + 'static) -> T {
        let folder = self.folder.clone();
        self.compute.run(move || work(&folder)).await
    }
}

impl Folder {
    fn open(root: PathBuf, disk: Arc<dyn Disk>, tag: u64) -> io::Result<Self> {
        let temporary = root.join(TEMPORARY);
        disk.create_dir_all(&temporary)?;
        let lock = match disk.lock(&temporary) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => return Err(error),
        };
        if lock.is_some() {
            let leftovers = disk.list(&temporary)?;
            for leftover in &leftovers {
                disk.remove_file(&temporary.join(&leftover.name))?;
            }
            if !leftovers.is_empty() {
                tracing::info!(folder = %temporary.display(), files = leftovers.len(), "removed temporary files that a crash left");
                disk.sync_dir(&temporary)?;
            }
        }
        let known = Mutex::new(BTreeSet::from([root.clone()]));
        Ok(Self { root, disk, known, tag, next_temporary: AtomicU64::new(0), _lock: lock })
    }

    /// A name for a temporary file that nobody else uses.
    fn temporary(&self) -> PathBuf {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join(TEMPORARY).join(format!("{:016x}-{number}", self.tag))
    }

    /// The file of an object. Refuses what is no plain name below the root.
    fn file(&self, location: &Path) -> Result<PathBuf> {
        let mut file = self.root.clone();
        let mut empty = true;
        for (index, part) in location.parts().enumerate() {
            let name = part.as_ref();
            let hostile = matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']);
            if hostile || (index == 0 && name == TEMPORARY) {
                return Err(refused(location));
            }
            file.push(name);
            empty = false;
        }
        if empty { Err(refused(location)) } else { Ok(file) }
    }

    /// The directory that a listing of `prefix` begins in.
    fn directory(&self, prefix: Option<&Path>) -> Result<PathBuf> {
        match prefix {
            Some(prefix) if !prefix.as_ref().is_empty() => self.file(prefix),
            _ => Ok(self.root.clone()),
        }
    }
}

fn refused(location: &Path) -> Error {
    let source =
        format!("the object path {location:?} cannot be a file: name every element, without dots alone").into();
    Error::NotSupported { source }
}

/// Says in the store's terms what went wrong with the file of `location`.
fn translate(location: &Path, error: io::Error) -> Error {
    let path = location.to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Error::NotFound { path, source: error.into() }
        }
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: error.into() },
        _ => Error::Generic { store: STORE, source: format!("{path}: {error}").into() },
    }
}

fn meta(location: Path, size: u64) -> ObjectMeta {
    ObjectMeta { location, last_modified: Default::default(), size, e_tag: None, version: None }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.folder.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let publish = match options.mode {
            PutMode::Overwrite => Publish::Replace,
            PutMode::Create => Publish::Create,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "put: update".to_owned(),
                    implementer: STORE.to_owned(),
                });
            }
        };
        let location = location.clone();
        self.run(move |folder| folder.put(&location, &payload, publish)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.folder.file(location)?;
        let (at, temporary) = (location.clone(), self.folder.temporary());
        let path = temporary.clone();
        let file = self.run(move |folder| folder.disk.create_new(&path).map_err(|error| translate(&at, error))).await?;
        Ok(Box::new(Upload::new(self.clone(), location.clone(), target, temporary, file)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (location, ranges) = (location.clone(), ranges.to_vec());
        self.run(move |folder| folder.read_ranges(&location, &ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move { store.run(move |folder| folder.delete(&location).map(|()| location)).await }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        futures::stream::once(async move { store.run(move |folder| folder.list(prefix.as_ref())).await })
            .map_ok(|objects| futures::stream::iter(objects.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        self.run(move |folder| folder.list_one_level(prefix.as_ref())).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let publish = match options.mode {
            CopyMode::Overwrite => Publish::Replace,
            CopyMode::Create => Publish::Create,
        };
        let (from, to) = (from.clone(), to.clone());
        self.run(move |folder| folder.copy(&from, &to, publish)).await
    }
}

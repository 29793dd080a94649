//! What passes the seams, in order, as one hash: two runs of a seed are the same run if their hashes are equal.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use ochre_doubles::disk::SimDisk;
use ochre_doubles::objects::SimObjects;
use ochre_env::{Disk, DiskEntry, DiskFile, DiskLock};
use parking_lot::Mutex;

/// Prints every event, to find where two runs part.
const PRINT: &str = "OCHRE_SIM_TRACE";

/// The events so far. Clones are the same trace.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    hasher: DefaultHasher,
    events: u64,
    prints: bool,
}

impl Trace {
    /// A trace without events.
    pub fn new() -> Self {
        let prints = std::env::var_os(PRINT).is_some();
        Self(Arc::new(Mutex::new(Inner { hasher: DefaultHasher::new(), events: 0, prints })))
    }

    /// Adds an event.
    pub fn note(&self, event: fmt::Arguments<'_>) {
        let mut inner = self.0.lock();
        let event = event.to_string();
        event.hash(&mut inner.hasher);
        inner.events += 1;
        if inner.prints {
            println!("{:>6} {event}", inner.events);
        }
    }

    /// The hash of all events.
    pub fn hash(&self) -> u64 {
        self.0.lock().hasher.finish()
    }

    /// How many there were.
    pub fn events(&self) -> u64 {
        self.0.lock().events
    }
}

fn told<T>(result: &io::Result<T>) -> String {
    result.as_ref().map_or_else(|error| error.kind().to_string(), |_| "ok".to_owned())
}

/// A disk whose changes are traced.
#[derive(Debug)]
pub struct TracedDisk {
    pub disk: SimDisk,
    pub trace: Trace,
}

impl TracedDisk {
    fn note<T>(&self, what: &str, path: &FilePath, result: io::Result<T>) -> io::Result<T> {
        self.trace.note(format_args!("disk {what} {} {}", path.display(), told(&result)));
        result
    }

    fn file(&self, path: &FilePath, result: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        let path = path.display().to_string();
        result.map(|file| Box::new(TracedFile { file, path, trace: self.trace.clone() }) as Box<dyn DiskFile>)
    }
}

impl Disk for TracedDisk {
    fn create_dir_all(&self, path: &FilePath) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn create_new(&self, path: &FilePath) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, self.note("make", path, self.disk.create_new(path)))
    }

    fn open(&self, path: &FilePath) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, self.disk.open(path))
    }

    fn open_read(&self, path: &FilePath) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_read(path)
    }

    fn list(&self, path: &FilePath) -> io::Result<Vec<DiskEntry>> {
        self.disk.list(path)
    }

    fn rename(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        self.note("rename", to, self.disk.rename(from, to))
    }

    fn hard_link(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        self.note("link", to, self.disk.hard_link(from, to))
    }

    fn remove_file(&self, path: &FilePath) -> io::Result<()> {
        self.note("remove", path, self.disk.remove_file(path))
    }

    fn sync_dir(&self, path: &FilePath) -> io::Result<()> {
        self.note("sync directory", path, self.disk.sync_dir(path))
    }

    fn lock(&self, path: &FilePath) -> io::Result<Box<dyn DiskLock>> {
        self.note("lock", path, self.disk.lock(path))
    }

    fn available(&self, path: &FilePath) -> io::Result<u64> {
        self.disk.available(path)
    }
}

#[derive(Debug)]
struct TracedFile {
    file: Box<dyn DiskFile>,
    path: String,
    trace: Trace,
}

impl DiskFile for TracedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.file.append(bytes);
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = hasher.finish();
        self.trace.note(format_args!("append {} {} {hash:x} {}", self.path, bytes.len(), told(&result)));
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let result = self.file.sync();
        self.trace.note(format_args!("sync {} {}", self.path, told(&result)));
        result
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let result = self.file.truncate(len);
        self.trace.note(format_args!("cut {} {len} {}", self.path, told(&result)));
        result
    }
}

/// Objects, every operation on which is traced.
#[derive(Debug)]
pub struct TracedObjects {
    pub objects: SimObjects,
    pub trace: Trace,
}

impl TracedObjects {
    fn note<T>(&self, what: &str, path: impl fmt::Display, result: Result<T>) -> Result<T> {
        let told = if result.is_ok() { "ok" } else { "error" };
        self.trace.note(format_args!("object {what} {path} {told}"));
        result
    }
}

#[async_trait]
impl ObjectStore for TracedObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let bytes = payload.content_length();
        let result = self.objects.put_opts(location, payload, options).await;
        self.note(&format!("put {bytes}"), location, result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let result = self.objects.put_multipart_opts(location, options).await;
        self.note("multipart", location, result)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let result = self.objects.get_opts(location, options).await;
        self.note("get", location, result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let result = self.objects.get_ranges(location, ranges).await;
        self.note("get ranges", location, result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let trace = self.trace.clone();
        self.objects
            .delete_stream(locations)
            .inspect(move |gone| trace.note(format_args!("object delete {gone:?}")))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.trace.note(format_args!("object list"));
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let result = self.objects.list_with_delimiter(prefix).await;
        let folder = prefix.map(Path::to_string).unwrap_or_default();
        self.note("list", folder, result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let result = self.objects.copy_opts(from, to, options).await;
        self.note("copy", to, result)
    }
}

impl fmt::Display for TracedObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.objects, f)
    }
}

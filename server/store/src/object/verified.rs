//! An object store that verifies what is read of known objects against the checksums that the catalog keeps.
//!
//! ```text
//!   read of a range -> object known? -no-> as it is
//!                         | yes
//!                      all its blocks verified since the start? -yes-> exactly that range
//!                         | no
//!                      whole blocks -> checksum -right-> marked, and the range of them
//!                                         | wrong: the block once more; still wrong:
//!                                         `-> damage is reported, and the read fails with a [`DamagedObject`]
//! ```
//!
//! A block is read a second time before it is condemned, so that a fault on the way condemns nothing. Objects without
//! checksums pass through, as does everything that is no chunk.

mod blocks;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result, coalesce_ranges,
};
use ochre_types::{DatabaseName, TableName};
use parking_lot::RwLock;

use crate::catalog::{CHECKSUM_BLOCK, CatalogState, ChunkId, ChunkMeta};
use crate::damage::{Damage, DamageKind, DamageRegistry, span_text};
use crate::object::Layout;
use blocks::Blocks;

/// What to do about a damaged object.
const ADVICE: &str = "bring the object back from a backup, or let queries answer without it: ochre scrub --set-aside";

/// The checksums that the catalog keeps of an object with these bytes: CRC32C of each [`CHECKSUM_BLOCK`], the last one
/// maybe shorter. Heavy: run it through `Compute`.
pub fn checksums(object: &[u8]) -> Arc<[u32]> {
    object.chunks(CHECKSUM_BLOCK as usize).map(crc32c::crc32c).collect()
}

/// The object of a chunk is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "chunk {chunk} of table {table} in database {database} is damaged: {object}: {what}. It is of partition {partition:?} and holds {rows} rows, {times}. Queries that don't need it are answered. {ADVICE}"
)]
pub struct DamagedObject {
    /// The database.
    pub database: DatabaseName,
    /// The table.
    pub table: TableName,
    /// The chunk.
    pub chunk: ChunkId,
    /// Its partition key.
    pub partition: String,
    /// Its rows.
    pub rows: u64,
    /// The span of their times, for people.
    pub times: String,
    /// Its object, below the store's root.
    pub object: String,
    /// What is wrong with it, and where.
    pub what: String,
}

impl DamagedObject {
    /// What is wrong with the object at `path` of a chunk.
    pub fn new(database: &DatabaseName, meta: &ChunkMeta, path: &Path, what: impl Into<String>) -> Self {
        Self {
            database: database.clone(),
            table: meta.table.clone(),
            chunk: meta.id,
            partition: meta.partition_key.to_string(),
            rows: meta.rows,
            times: span_text(meta.time),
            object: path.to_string(),
            what: what.into(),
        }
    }

    /// The damage that an error of the store stands for, if it does.
    pub fn of<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(damaged) = error.downcast_ref() {
                return Some(damaged);
            }
            next = error.source();
        }
        None
    }

    /// As an entry of the registry.
    pub fn entry(&self) -> Damage {
        Damage {
            kind: DamageKind::Object,
            database: Some(self.database.clone()),
            table: Some(self.table.clone()),
            place: self.object.clone(),
            what: self.what.clone(),
            missing: format!("{} rows of chunk {}, {}", self.rows, self.chunk, self.times),
            advice: ADVICE.to_owned(),
        }
    }
}

impl From<DamagedObject> for Error {
    fn from(damaged: DamagedObject) -> Self {
        Error::Generic { store: "verified", source: Box::new(damaged) }
    }
}

/// An object whose checksums are known.
#[derive(Debug)]
struct Known {
    database: DatabaseName,
    meta: Arc<ChunkMeta>,
    /// A bit a block: whether it was read and found right.
    verified: Box<[AtomicU64]>,
}

impl Known {
    fn new(database: DatabaseName, meta: Arc<ChunkMeta>) -> Self {
        let words = meta.checksums.len().div_ceil(64);
        Self { database, meta, verified: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    fn size(&self) -> u64 {
        self.meta.size_bytes
    }

    fn block_range(&self, block: usize) -> Range<u64> {
        let start = block as u64 * CHECKSUM_BLOCK;
        start..(start + CHECKSUM_BLOCK).min(self.size())
    }

    fn is_verified(&self, block: usize) -> bool {
        self.verified.get(block / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (block % 64) & 1 == 1)
    }

    fn mark(&self, block: usize) {
        if let Some(word) = self.verified.get(block / 64) {
            word.fetch_or(1 << (block % 64), Ordering::Relaxed);
        }
    }

    /// The blocks of a range that lies within the object and is not empty.
    fn blocks(range: &Range<u64>) -> Range<usize> {
        (range.start / CHECKSUM_BLOCK) as usize..((range.end - 1) / CHECKSUM_BLOCK) as usize + 1
    }

    fn all_verified(&self, range: &Range<u64>) -> bool {
        Self::blocks(range).all(|block| self.is_verified(block))
    }

    /// The range itself if all its blocks are verified or there are none, else whole blocks around it.
    fn widen(&self, range: &Range<u64>) -> Range<u64> {
        let Some(inside) = asked(Some(&GetRange::Bounded(range.clone())), self.size()) else { return range.clone() };
        if self.all_verified(&inside) {
            return range.clone();
        }
        let blocks = Self::blocks(&inside);
        self.block_range(blocks.start).start..self.block_range(blocks.end - 1).end
    }

    fn damaged(&self, path: &Path, what: String) -> DamagedObject {
        DamagedObject::new(&self.database, &self.meta, path, what)
    }
}

/// See the module's doc. Clones are the same store.
#[derive(Debug, Clone)]
pub struct VerifiedObjects {
    inner: Arc<dyn ObjectStore>,
    known: Arc<RwLock<HashMap<Path, Arc<Known>>>>,
    damage: Arc<DamageRegistry>,
}

impl VerifiedObjects {
    /// The objects of `inner`, none of which is known yet.
    pub fn new(inner: Arc<dyn ObjectStore>, damage: Arc<DamageRegistry>) -> Self {
        Self { inner, known: Arc::default(), damage }
    }

    /// Where damage is reported to.
    pub fn damage(&self) -> &Arc<DamageRegistry> {
        &self.damage
    }

    /// The store below.
    pub fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    /// Makes the object of a chunk known. What was verified of it stays verified.
    pub fn know(&self, layout: &Layout, database: &DatabaseName, meta: &Arc<ChunkMeta>) {
        let path = layout.object(database, &meta.object);
        let mut known = self.known.write();
        let same = known.get(&path).is_some_and(|held| held.meta == *meta);
        if !same {
            known.insert(path, Arc::new(Known::new(database.clone(), meta.clone())));
        }
    }

    /// Makes the objects of all chunks of a database known.
    pub fn know_all(&self, layout: &Layout, state: &CatalogState) {
        state.chunks().for_each(|meta| self.know(layout, &state.database, meta));
    }

    /// Forgets an object, as does deleting it through this store.
    pub fn forget(&self, path: &Path) {
        self.known.write().remove(path);
    }

    /// Reads the whole object of a chunk anew, whatever was verified of it. Nothing is reported.
    ///
    /// # Errors
    /// [`DamagedObject::of`] finds what is wrong with the object; without it, the store did not answer.
    pub async fn verify(&self, layout: &Layout, database: &DatabaseName, meta: &Arc<ChunkMeta>) -> Result<()> {
        let path = layout.object(database, &meta.object);
        let known = Arc::new(Known::new(database.clone(), meta.clone()));
        if known.size() == 0 || meta.checksums.is_empty() {
            return self.check_size(&path, &known).await;
        }
        let blocks = self.fetch(&path, &known, 0..known.size(), GetOptions::default(), None).await?;
        blocks.payload.try_for_each(|_| async { Ok(()) }).await
    }

    /// Objects without checksums: that they are there, and as long as they were.
    async fn check_size(&self, path: &Path, known: &Known) -> Result<()> {
        match self.inner.head(path).await {
            Ok(meta) if meta.size == known.size() => Ok(()),
            Ok(meta) => Err(known.damaged(path, wrong_size(meta.size, known.size())).into()),
            Err(error) => Err(named(error, path, known)),
        }
    }

    fn known(&self, path: &Path) -> Option<Arc<Known>> {
        let known = self.known.read().get(path).cloned();
        known.filter(|known| !known.meta.checksums.is_empty())
    }

    /// Reads whole blocks, and hands out what is `wanted` of them.
    async fn fetch(
        &self,
        path: &Path,
        known: &Arc<Known>,
        wanted: Range<u64>,
        options: GetOptions,
        report: Option<Arc<DamageRegistry>>,
    ) -> Result<Fetched> {
        let blocks = Known::blocks(&wanted);
        let range = known.block_range(blocks.start).start..known.block_range(blocks.end - 1).end;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..options };
        let result = match self.inner.get_opts(path, options).await {
            Ok(result) if result.meta.size == known.size() => Ok(result),
            Ok(result) => Err(known.damaged(path, wrong_size(result.meta.size, known.size())).into()),
            // A shorter object refuses the range: that is damage, not the store's fault.
            Err(error) => match self.check_size(path, known).await {
                Err(found) if DamagedObject::of(&found).is_some() => Err(found),
                _ => Err(error),
            },
        };
        let result = result.inspect_err(|error| note(report.as_ref(), error))?;
        let (meta, attributes) = (result.meta.clone(), result.attributes.clone());
        let blocks = Blocks {
            store: self.inner.clone(),
            path: path.clone(),
            known: known.clone(),
            source: result.into_stream(),
            rest: Bytes::new(),
            blocks,
            wanted: wanted.clone(),
            report,
        };
        Ok(Fetched { meta, attributes, range: wanted, payload: blocks.stream() })
    }
}

/// What [`VerifiedObjects::fetch`] gives.
struct Fetched {
    meta: ObjectMeta,
    attributes: object_store::Attributes,
    range: Range<u64>,
    payload: BoxStream<'static, Result<Bytes>>,
}

fn wrong_size(found: u64, expected: u64) -> String {
    format!("it has {found} bytes instead of {expected}")
}

/// Reports an error that is damage.
fn note(registry: Option<&Arc<DamageRegistry>>, error: &Error) {
    if let (Some(registry), Some(damaged)) = (registry, DamagedObject::of(error)) {
        registry.report(damaged.entry());
    }
}

/// A missing object is damage, and still says that it was not found: whoever reads by an old state can tell.
fn named(error: Error, path: &Path, known: &Known) -> Error {
    match error {
        Error::NotFound { path: location, .. } => {
            let damaged = known.damaged(path, "it is missing".to_owned());
            Error::NotFound { path: location, source: Box::new(damaged) }
        }
        error => error,
    }
}

/// The bytes that an option asks for; `None` if the store itself should refuse it.
fn asked(range: Option<&GetRange>, size: u64) -> Option<Range<u64>> {
    let range = match range {
        None => 0..size,
        Some(GetRange::Bounded(range)) => range.start..range.end.min(size),
        Some(GetRange::Offset(start)) => *start..size,
        Some(GetRange::Suffix(length)) => size.saturating_sub(*length)..size,
    };
    (range.start < range.end).then_some(range)
}

impl fmt::Display for VerifiedObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for VerifiedObjects {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let known = self.known(path).filter(|_| !options.head);
        let Some((known, wanted)) = known.and_then(|known| {
            let wanted = asked(options.range.as_ref(), known.size())?;
            Some((known, wanted))
        }) else {
            return self.inner.get_opts(path, options).await;
        };
        if known.all_verified(&wanted) {
            let options = GetOptions { range: Some(GetRange::Bounded(wanted)), ..options };
            return self.inner.get_opts(path, options).await.map_err(|error| named(error, path, &known));
        }
        let fetched = self.fetch(path, &known, wanted, options, Some(self.damage.clone())).await?;
        let Fetched { meta, attributes, range, payload } = fetched;
        Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes })
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some(known) = self.known(path) else { return self.inner.get_ranges(path, ranges).await };
        let widened: Vec<Range<u64>> = ranges.iter().map(|range| known.widen(range)).collect();
        let fetch = |range: Range<u64>| self.get_range(path, range);
        let read = coalesce_ranges(&widened, fetch, OBJECT_STORE_COALESCE_DEFAULT).await?;
        let parts = read.into_iter().zip(&widened).zip(ranges);
        Ok(parts
            .map(|((bytes, got), wanted)| {
                let start = (wanted.start - got.start) as usize;
                bytes.slice(start.min(bytes.len())..((wanted.end - got.start) as usize).min(bytes.len()))
            })
            .collect())
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let known = self.known.clone();
        let deleted = self.inner.delete_stream(paths);
        deleted.inspect_ok(move |path| drop(known.write().remove(path))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

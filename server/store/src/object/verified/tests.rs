//! Reads are verified, once, and condemned only after a second look.

use std::sync::atomic::AtomicU32;

use object_store::memory::InMemory;
use ochre_env::SystemClock;
use ochre_types::partition::PartitionKey;
use ochre_types::{Incarnation, LogId, NodeId, Sequence, Stamp};
use parking_lot::Mutex;

use super::*;
use crate::catalog::{LogRange, SortedBy, TemplateId};

const SIZE: usize = (CHECKSUM_BLOCK as usize) * 2 + 1_000;

/// Notes what is read, and spoils the first byte of so many answers.
#[derive(Debug, Default)]
struct Spoiling {
    memory: InMemory,
    asked: Mutex<Vec<Range<u64>>>,
    spoil: AtomicU32,
}

impl fmt::Display for Spoiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spoiling")
    }
}

#[async_trait]
impl ObjectStore for Spoiling {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.memory.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.memory.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let result = self.memory.get_opts(path, options).await?;
        if head {
            return Ok(result);
        }
        self.asked.lock().push(result.range.clone());
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let mut bytes = result.bytes().await?.to_vec();
        if self.spoil.load(Ordering::Relaxed) > 0 {
            self.spoil.fetch_sub(1, Ordering::Relaxed);
            bytes[0] ^= 4;
        }
        // In pieces that have nothing to do with blocks.
        let pieces: Vec<_> = bytes.chunks(300_007).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let payload = GetResultPayload::Stream(futures::stream::iter(pieces).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.memory.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.memory.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}

struct Bench {
    below: Arc<Spoiling>,
    objects: VerifiedObjects,
    layout: Layout,
    database: DatabaseName,
    meta: Arc<ChunkMeta>,
    path: Path,
    bytes: Vec<u8>,
}

fn chunk(size: u64, checksums: Arc<[u32]>) -> Arc<ChunkMeta> {
    let (table, id) = (TableName::new("cpu").unwrap(), ChunkId { incarnation: Incarnation(7), counter: 1 });
    Arc::new(ChunkMeta {
        id,
        object: Layout::chunk(&table, "2026-11-22", &id.to_string()).into(),
        table,
        partition_key: PartitionKey::new("2026-11-22").unwrap(),
        template: TemplateId(0),
        size_bytes: size,
        rows: 10,
        time: (0, 1_000_000_000),
        stamps: (Stamp::default(), Stamp::default()),
        unique_keys: true,
        level: 0,
        sorted_by: SortedBy { version: 1, columns: [].into() },
        log: LogRange { log: LogId(3), first: Sequence(1), last: Sequence(1) },
        stats: Vec::new(),
        intervals: Default::default(),
        settled: None,
        applied: Arc::default(),
        checksums,
    })
}

impl Bench {
    async fn new() -> Self {
        let bytes: Vec<u8> = (0..SIZE as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let below = Arc::new(Spoiling::default());
        let damage = Arc::new(DamageRegistry::new(Arc::new(SystemClock::new())));
        let objects = VerifiedObjects::new(below.clone(), damage);
        let layout = Layout::new(&Path::default(), &NodeId::new("a").unwrap());
        let database = DatabaseName::new("d").unwrap();
        let meta = chunk(SIZE as u64, checksums(&bytes));
        let path = layout.object(&database, &meta.object);
        objects.put(&path, bytes.clone().into()).await.unwrap();
        objects.know(&layout, &database, &meta);
        Self { below, objects, layout, database, meta, path, bytes }
    }

    fn asked(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.below.asked.lock())
    }

    async fn flip(&self, at: usize) {
        let mut bytes = self.bytes.clone();
        bytes[at] ^= 1;
        self.below.memory.put(&self.path, bytes.into()).await.unwrap();
    }

    fn found(&self) -> Vec<Damage> {
        self.objects.damage().list().into_iter().map(|found| found.damage).collect()
    }
}

#[tokio::test]
async fn a_first_read_takes_whole_blocks_and_later_ones_exactly_the_range() {
    let bench = Bench::new().await;
    let block = CHECKSUM_BLOCK;
    for (range, fetched) in [
        (10..20, 0..block),
        (30..block, 30..block),
        (block - 5..block + 5, 0..2 * block),
        (block - 5..block + 5, block - 5..block + 5),
        (2 * block..2 * block + 1, 2 * block..SIZE as u64),
        (0..SIZE as u64, 0..SIZE as u64),
    ] {
        let read = bench.objects.get_range(&bench.path, range.clone()).await.unwrap();
        assert_eq!(read, bench.bytes[range.start as usize..range.end as usize]);
        assert_eq!(bench.asked(), [fetched], "{range:?}");
    }
}

#[tokio::test]
async fn every_way_of_reading_gives_the_same_bytes() {
    for ranges in [vec![0..1, 5..9], vec![100..CHECKSUM_BLOCK + 3, SIZE as u64 - 8..SIZE as u64]] {
        let bench = Bench::new().await;
        for _ in 0..2 {
            let read = bench.objects.get_ranges(&bench.path, &ranges).await.unwrap();
            let expected: Vec<_> =
                ranges.iter().map(|range| &bench.bytes[range.start as usize..range.end as usize]).collect();
            assert_eq!(read, expected);
        }
    }
    for (range, expected) in [
        (None, 0..SIZE),
        (Some(GetRange::Offset(1_500_000)), 1_500_000..SIZE),
        (Some(GetRange::Suffix(8)), SIZE - 8..SIZE),
        (Some(GetRange::Bounded(9..u64::MAX)), 9..SIZE),
    ] {
        let bench = Bench::new().await;
        let options = GetOptions { range, ..GetOptions::default() };
        let result = bench.objects.get_opts(&bench.path, options).await.unwrap();
        assert_eq!(result.range, expected.start as u64..expected.end as u64);
        assert_eq!(result.bytes().await.unwrap(), bench.bytes[expected]);
    }
}

#[tokio::test]
async fn a_wrong_block_is_named_and_reported_once_and_the_others_are_read() {
    let bench = Bench::new().await;
    let at = CHECKSUM_BLOCK as usize + 77;
    bench.flip(at).await;
    for _ in 0..2 {
        let error = bench.objects.get_range(&bench.path, 0..SIZE as u64).await.unwrap_err();
        let damaged = DamagedObject::of(&error).unwrap();
        assert_eq!(damaged.chunk, bench.meta.id);
        assert!(damaged.what.starts_with("block 1, bytes 1048576 to 2097151, has the checksum "), "{damaged}");
        let text = error.to_string();
        for part in [bench.path.as_ref(), "table cpu", "database d", "10 rows", "1970-01-01T00:00:01Z", "--set-aside"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
    assert_eq!(bench.found().len(), 1);
    assert_eq!(bench.objects.damage().totals()[&DamageKind::Object], 1);
    assert_eq!(bench.objects.get_range(&bench.path, 0..10).await.unwrap(), bench.bytes[..10]);
    bench.objects.get_ranges(&bench.path, &[0..1, at as u64..at as u64 + 1]).await.unwrap_err();
}

#[tokio::test]
async fn what_was_wrong_only_on_the_way_condemns_nothing() {
    let bench = Bench::new().await;
    bench.below.spoil.store(1, Ordering::Relaxed);
    assert_eq!(bench.objects.get(&bench.path).await.unwrap().bytes().await.unwrap(), bench.bytes);
    assert_eq!(bench.found(), []);
    assert_eq!(bench.asked(), [0..SIZE as u64, 0..CHECKSUM_BLOCK]);
    bench.below.spoil.store(2, Ordering::Relaxed);
    bench.objects.verify(&bench.layout, &bench.database, &bench.meta).await.unwrap_err();
    bench.objects.verify(&bench.layout, &bench.database, &bench.meta).await.unwrap();
    assert_eq!(bench.found(), [], "verifying reports nothing by itself");
}

#[tokio::test]
async fn missing_and_shortened_objects_are_damage() {
    let bench = Bench::new().await;
    bench.below.memory.put(&bench.path, bench.bytes[..SIZE - 1].to_vec().into()).await.unwrap();
    for range in [0..10, SIZE as u64 - 8..SIZE as u64, SIZE as u64 - 1..SIZE as u64] {
        let error = bench.objects.get_range(&bench.path, range).await.unwrap_err();
        let what = &DamagedObject::of(&error).unwrap().what;
        assert_eq!(*what, format!("it has {} bytes instead of {SIZE}", SIZE - 1));
    }
    bench.below.memory.delete(&bench.path).await.unwrap();
    let error = bench.objects.get_range(&bench.path, 0..10).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(DamagedObject::of(&error).unwrap().what, "it is missing");
    let error = bench.objects.verify(&bench.layout, &bench.database, &bench.meta).await.unwrap_err();
    assert_eq!(DamagedObject::of(&error).unwrap().what, "it is missing");
    assert_eq!(bench.found().len(), 1, "one object, one entry");
}

#[tokio::test]
async fn objects_without_checksums_and_deleted_ones_are_not_known() {
    let bench = Bench::new().await;
    let old = chunk(SIZE as u64, Arc::default());
    bench.objects.know(&bench.layout, &bench.database, &old);
    bench.flip(3).await;
    assert_ne!(bench.objects.get(&bench.path).await.unwrap().bytes().await.unwrap(), bench.bytes);
    bench.objects.verify(&bench.layout, &bench.database, &old).await.unwrap();
    bench.objects.know(&bench.layout, &bench.database, &bench.meta);
    bench.objects.delete(&bench.path).await.unwrap();
    assert!(bench.objects.known.read().is_empty());
    let error = bench.objects.get(&bench.path).await.unwrap_err();
    assert!(DamagedObject::of(&error).is_none(), "whoever deleted it knows: {error}");
}

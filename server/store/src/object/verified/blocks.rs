//! Turns a stream of bytes into verified blocks.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, try_unfold};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, Result};

use super::{Known, note};
use crate::damage::DamageRegistry;

/// Blocks of an object on their way to a reader. At most one block is held.
pub(super) struct Blocks {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    pub(super) known: Arc<Known>,
    /// The bytes of `blocks`, as the store sends them.
    pub(super) source: BoxStream<'static, Result<Bytes>>,
    /// Bytes of the next block that came with the one before it.
    pub(super) rest: Bytes,
    pub(super) blocks: Range<usize>,
    /// What the reader wants of them.
    pub(super) wanted: Range<u64>,
    pub(super) report: Option<Arc<DamageRegistry>>,
}

impl Blocks {
    /// What is wanted, block by block. Ends with the first damaged one.
    pub(super) fn stream(self) -> BoxStream<'static, Result<Bytes>> {
        let blocks = try_unfold(self, |mut blocks| async move {
            let Some(block) = blocks.blocks.next() else { return Ok(None) };
            let range = blocks.known.block_range(block);
            let length = (range.end - range.start) as usize;
            let bytes = blocks.next_block(length).await?;
            let bytes = blocks.checked(block, range.clone(), bytes).await;
            let bytes = bytes.inspect_err(|error| note(blocks.report.as_ref(), error))?;
            let start = blocks.wanted.start.max(range.start) - range.start;
            let end = blocks.wanted.end.min(range.end) - range.start;
            Ok(Some((bytes.slice(start as usize..end as usize), blocks)))
        });
        blocks.boxed()
    }

    /// The next `length` bytes; fewer if the store ended early.
    async fn next_block(&mut self, length: usize) -> Result<Bytes> {
        let mut gathered = BytesMut::new();
        loop {
            let missing = length - gathered.len();
            if self.rest.len() >= missing {
                let part = self.rest.split_to(missing);
                if gathered.is_empty() {
                    return Ok(part);
                }
                gathered.extend_from_slice(&part);
                return Ok(gathered.freeze());
            }
            gathered.extend_from_slice(&std::mem::take(&mut self.rest));
            match self.source.try_next().await? {
                Some(bytes) => self.rest = bytes,
                None => return Ok(gathered.freeze()),
            }
        }
    }

    /// The block if it is right, at once or when read again.
    async fn checked(&mut self, block: usize, range: Range<u64>, bytes: Bytes) -> Result<Bytes> {
        let Some(expected) = self.known.meta.checksums.get(block).copied() else {
            let what = format!("the catalog has {} checksums of it, too few", self.known.meta.checksums.len());
            return Err(self.known.damaged(&self.path, what).into());
        };
        let length = (range.end - range.start) as usize;
        let is_right = |bytes: &Bytes| bytes.len() == length && crc32c::crc32c(bytes) == expected;
        let bytes = if is_right(&bytes) { bytes } else { self.store.get_range(&self.path, range.clone()).await? };
        if is_right(&bytes) {
            self.known.mark(block);
            return Ok(bytes);
        }
        let found = crc32c::crc32c(&bytes);
        let what = format!(
            "block {block}, bytes {} to {}, has the checksum {found:08x} instead of {expected:08x}",
            range.start,
            range.end - 1
        );
        Err(self.known.damaged(&self.path, what).into())
    }
}

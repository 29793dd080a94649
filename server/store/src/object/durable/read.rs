//! Reading objects of a local folder.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, GetResultPayload, Result};
use ochre_env::DiskFile;

use super::{DurableLocal, Folder, STORE, meta, translate};

/// Bytes that are read and handed on at a time.
const PIECE: u64 = 4 << 20;

/// An object that is open for reading, with the first piece of what was asked for.
struct Opened {
    file: Arc<Box<dyn DiskFile>>,
    len: u64,
    range: Range<u64>,
    first: Bytes,
}

impl DurableLocal {
    pub(super) async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.if_modified_since.is_some() || options.if_unmodified_since.is_some() || options.version.is_some() {
            let source = "objects of a local folder have no times and no versions: ask without conditions on them";
            return Err(Error::NotSupported { source: source.into() });
        }
        let (at, wanted, head) = (location.clone(), options.range.clone(), options.head);
        let opened = self.run(move |folder| folder.open_object(&at, wanted.as_ref(), head)).await?;
        let meta = meta(location.clone(), opened.len);
        options.check_preconditions(&meta)?;
        let range = opened.range.clone();
        Ok(GetResult {
            payload: GetResultPayload::Stream(self.stream(location.clone(), opened)),
            meta,
            range,
            attributes: Default::default(),
        })
    }

    fn stream(&self, location: Path, opened: Opened) -> BoxStream<'static, Result<Bytes>> {
        let Opened { file, range, first, .. } = opened;
        let rest = range.start + first.len() as u64..range.end;
        let store = self.clone();
        let later = futures::stream::try_unfold(rest, move |rest| {
            let (store, file, location) = (store.clone(), file.clone(), location.clone());
            async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let piece = rest.start..rest.end.min(rest.start + PIECE);
                let next = piece.end..rest.end;
                let bytes = store.run(move |_| read_range(&file, &location, piece)).await?;
                Ok(Some((bytes, next)))
            }
        });
        futures::stream::iter((!first.is_empty()).then_some(Ok(first))).chain(later).boxed()
    }
}

impl Folder {
    fn open_object(&self, location: &Path, wanted: Option<&GetRange>, head: bool) -> Result<Opened> {
        let path = self.file(location)?;
        let fail = |error| translate(location, error);
        let file = self.disk.open_read(&path).map_err(fail)?;
        let len = file.len().map_err(fail)?;
        let range = match wanted {
            Some(wanted) => resolve(wanted, len)?,
            None => 0..len,
        };
        let piece = if head { range.start..range.start } else { range.start..range.end.min(range.start + PIECE) };
        // A directory opens like a file; reading from it fails, but here nothing is read.
        if piece.is_empty() && self.disk.list(&path).is_ok() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let file = Arc::new(file);
        let first = read_range(&file, location, piece)?;
        let range = if head { range.start..range.start } else { range };
        Ok(Opened { file, len, range, first })
    }

    pub(super) fn read_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let file = self.disk.open_read(&self.file(location)?).map_err(|error| translate(location, error))?;
        let len = file.len().map_err(|error| translate(location, error))?;
        let file = Arc::new(file);
        ranges
            .iter()
            .map(|range| read_range(&file, location, resolve(&GetRange::Bounded(range.clone()), len)?))
            .collect()
    }
}

fn resolve(wanted: &GetRange, len: u64) -> Result<Range<u64>> {
    wanted.as_range(len).map_err(|error| Error::Generic { store: STORE, source: error.into() })
}

fn read_range(file: &Arc<Box<dyn DiskFile>>, location: &Path, range: Range<u64>) -> Result<Bytes> {
    let len = usize::try_from(range.end - range.start)
        .map_err(|error| Error::Generic { store: STORE, source: error.into() })?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, range.start).map_err(|error| translate(location, error))?;
    Ok(bytes.into())
}

//! Where segments are read from: files of a directory, or objects of a folder.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ochre_env::{Compute, Disk, DiskFile};
use ochre_types::LogId;

use crate::error::LogError;
use crate::format::segment_name;
use crate::object::{self, Folder};
use crate::scan::{Scanner, Source};

/// The segments of a log.
#[derive(Debug, Clone)]
pub(crate) enum Segments {
    Disk { disk: Arc<dyn Disk>, compute: Compute, dir: PathBuf },
    Objects(Arc<Folder>),
}

/// The bytes of one segment.
pub(crate) enum SegmentBytes {
    File(Box<dyn DiskFile>),
    /// An object is read as a whole: it is one group commit.
    Object(Bytes),
}

pub(crate) type SegmentScanner = Scanner<SegmentBytes>;

impl Source for SegmentBytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::Object(bytes) => bytes.read_exact_at(buffer, offset),
        }
    }
}

impl Segments {
    /// A walk over a segment, from `start` up to `end`.
    pub async fn scan(&self, log_id: LogId, number: u64, start: u64, end: u64) -> Result<SegmentScanner, LogError> {
        let (bytes, end) = match self {
            Self::Disk { disk, compute, .. } => {
                let (disk, path) = (disk.clone(), self.path(number));
                let open = move || disk.open_read(&path).map_err(LogError::io("opening", &path));
                (SegmentBytes::File(compute.run(open).await?), end)
            }
            Self::Objects(folder) => {
                let bytes = folder.read(number).await?;
                // One that became shorter is read as far as it goes; what lacks is missed behind it.
                let end = end.min(bytes.len() as u64);
                (SegmentBytes::Object(bytes), end)
            }
        };
        Ok(Scanner::new(bytes, log_id, number, start, end))
    }

    /// How a segment is called in reports.
    pub fn name(&self, number: u64) -> String {
        match self {
            Self::Disk { .. } => segment_name(number),
            Self::Objects(_) => object::name(number),
        }
    }

    /// Where it is.
    pub fn path(&self, number: u64) -> PathBuf {
        match self {
            Self::Disk { dir, .. } => dir.join(segment_name(number)),
            Self::Objects(folder) => PathBuf::from(folder.path(number).to_string()),
        }
    }

    /// Where scanning runs.
    pub fn compute(&self) -> &Compute {
        match self {
            Self::Disk { compute, .. } => compute,
            Self::Objects(folder) => &folder.compute,
        }
    }
}

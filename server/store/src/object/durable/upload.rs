//! An object written in parts.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use ochre_env::DiskFile;

use super::write::Publish;
use super::{DurableLocal, STORE, translate};

/// Parts go to the temporary file in the order in which they were handed in, whatever order they are awaited in.
pub(super) struct Upload {
    store: DurableLocal,
    location: Path,
    target: PathBuf,
    temporary: PathBuf,
    parts: Parts,
}

#[derive(Clone)]
struct Parts {
    /// Handed in and not yet written. Bounded by who awaits the parts.
    waiting: Arc<parking_lot::Mutex<VecDeque<PutPayload>>>,
    /// `None` once a write failed or was abandoned half-way: the file's content is not known then.
    file: Arc<tokio::sync::Mutex<Option<Box<dyn DiskFile>>>>,
}

impl Upload {
    pub(super) fn new(
        store: DurableLocal,
        location: Path,
        target: PathBuf,
        temporary: PathBuf,
        file: Box<dyn DiskFile>,
    ) -> Self {
        let parts = Parts { waiting: Arc::default(), file: Arc::new(tokio::sync::Mutex::new(Some(file))) };
        Self { store, location, target, temporary, parts }
    }
}

impl Parts {
    /// Writes everything that waits.
    async fn write(&self, store: &DurableLocal, location: &Path) -> Result<()> {
        let mut slot = self.file.lock().await;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        if waiting.is_empty() {
            return Ok(());
        }
        let mut file = slot.take().ok_or_else(|| broken(location))?;
        let written = store
            .run(move |_| {
                waiting.iter().flatten().try_for_each(|piece| file.append(piece))?;
                Ok::<_, io::Error>(file)
            })
            .await;
        *slot = Some(written.map_err(|error| translate(location, error))?);
        Ok(())
    }
}

fn broken(location: &Path) -> Error {
    let source = format!("{location}: an earlier part was not written: begin the upload again").into();
    Error::Generic { store: STORE, source }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.waiting.lock().push_back(data);
        let (parts, store, location) = (self.parts.clone(), self.store.clone(), self.location.clone());
        async move { parts.write(&store, &location).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.parts.write(&self.store, &self.location).await?;
        let mut file = self.parts.file.lock().await.take().ok_or_else(|| broken(&self.location))?;
        let (temporary, target, location) = (self.temporary.clone(), self.target.clone(), self.location.clone());
        self.store
            .run(move |folder| {
                file.sync()
                    .and_then(|()| folder.publish(&temporary, &target, Publish::Replace))
                    .map_err(|error| folder.abandon(&temporary, &location, error))
            })
            .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        drop(self.parts.file.lock().await.take());
        self.parts.waiting.lock().clear();
        let (temporary, location) = (self.temporary.clone(), self.location.clone());
        self.store
            .run(move |folder| match folder.disk.remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(translate(&location, error)),
                _ => Ok(()),
            })
            .await
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({})", self.location)
    }
}

//! Large objects in parts, each of which is sent again by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::Asker;
use super::create::already_exists;
use super::meter::Kind;
use super::retry::Sender;

/// Objects with more bytes are uploaded in parts.
pub(super) const WHOLE: usize = 16 << 20;
/// Bytes of a part; the last one may be shorter. A request of S3 may have 10,000 parts: 78 GiB.
const PART: usize = 8 << 20;
/// Parts under way at a time for one object.
const AT_ONCE: usize = 4;

/// Creates `location` in parts; fails with `AlreadyExists` when it is another's. Nothing is seen of it before it is
/// whole. A process that ends in between leaves parts that the store's own rule for unfinished uploads removes.
pub(super) async fn create(
    asker: &Asker,
    parts: &Arc<dyn MultipartStore>,
    location: &Path,
    payload: PutPayload,
) -> Result<PutResult> {
    let id = asker.sender.send(Kind::Part, location, 0, || parts.create_multipart(location)).await?;
    let done = upload(asker, parts, location, &id, payload).await;
    if done.is_err() {
        abort(&asker.sender, parts, location, &id).await;
    }
    done
}

async fn upload(
    asker: &Asker,
    parts: &Arc<dyn MultipartStore>,
    location: &Path,
    id: &MultipartId,
    payload: PutPayload,
) -> Result<PutResult> {
    let sends = slices(&payload, PART).into_iter().enumerate();
    let sends = sends.map(|(index, part)| put_part(&asker.sender, parts, location, id, index, part));
    let ids: Vec<PartId> = stream::iter(sends).buffered(AT_ONCE).try_collect().await?;
    let mut tries = asker.sender.tries(Kind::Part, 0);
    loop {
        let request = parts.complete_multipart(location, id, ids.clone());
        let error = match asker.sender.once(&mut tries, request).await {
            Ok(done) => return Ok(done),
            // After a lost answer: the name is taken, or the upload is gone because it was completed.
            Err(error @ (Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotFound { .. }))
                if tries.is_retry() =>
            {
                match asker.holds(location, &payload).await? {
                    Some(true) => return Ok(PutResult { e_tag: None, version: None }),
                    Some(false) => return Err(already_exists(location, error)),
                    None => return Err(error),
                }
            }
            Err(error @ (Error::Precondition { .. } | Error::AlreadyExists { .. })) => {
                return Err(already_exists(location, error));
            }
            Err(error) => error,
        };
        asker.sender.pause(&mut tries, location, error).await?;
    }
}

async fn put_part(
    sender: &Sender,
    parts: &Arc<dyn MultipartStore>,
    location: &Path,
    id: &MultipartId,
    index: usize,
    part: PutPayload,
) -> Result<PartId> {
    let bytes = part.content_length() as u64;
    let done = sender.send(Kind::Part, location, bytes, || parts.put_part(location, id, index, part.clone())).await?;
    sender.meter.sent(bytes);
    Ok(done)
}

async fn abort(sender: &Sender, parts: &Arc<dyn MultipartStore>, location: &Path, id: &MultipartId) {
    let aborted = sender.send(Kind::Part, location, 0, || parts.abort_multipart(location, id)).await;
    if let Err(error) = aborted {
        tracing::debug!(%location, %error, "an unfinished upload was left behind: the store's own rule removes it");
    }
}

/// Cuts a payload into parts of `size` bytes, without a copy.
fn slices(payload: &PutPayload, size: usize) -> Vec<PutPayload> {
    let mut parts = Vec::new();
    let (mut part, mut length) = (Vec::<Bytes>::new(), 0);
    for bytes in payload.iter() {
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(size - length));
            length += piece.len();
            part.push(piece);
            if length == size {
                parts.push(std::mem::take(&mut part).into_iter().collect());
                length = 0;
            }
        }
    }
    if length > 0 {
        parts.push(part.into_iter().collect());
    }
    parts
}

/// An upload whose parts the caller gives one by one.
pub(super) struct PatientUpload {
    sender: Arc<Sender>,
    parts: Arc<dyn MultipartStore>,
    location: Path,
    id: MultipartId,
    next: usize,
    done: Arc<Mutex<BTreeMap<usize, PartId>>>,
}

impl PatientUpload {
    pub(super) async fn begin(sender: Arc<Sender>, parts: Arc<dyn MultipartStore>, location: &Path) -> Result<Self> {
        let id = sender.send(Kind::Part, location, 0, || parts.create_multipart(location)).await?;
        Ok(Self { sender, parts, location: location.clone(), id, next: 0, done: Arc::default() })
    }
}

#[async_trait]
impl MultipartUpload for PatientUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let index = self.next;
        self.next += 1;
        let (sender, parts, done) = (self.sender.clone(), self.parts.clone(), self.done.clone());
        let (location, id) = (self.location.clone(), self.id.clone());
        Box::pin(async move {
            let part = put_part(&sender, &parts, &location, &id, index, data).await?;
            done.lock().insert(index, part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let ids: Vec<PartId> =
            self.done.lock().values().map(|part| PartId { content_id: part.content_id.clone() }).collect();
        if ids.len() != self.next {
            let source = format!("{} of {} parts of {} were sent", ids.len(), self.next, self.location).into();
            return Err(Error::Generic { store: "object store", source });
        }
        let mut tries = self.sender.tries(Kind::Part, 0);
        let completed = self.parts.complete_multipart(&self.location, &self.id, ids);
        self.sender.once(&mut tries, completed).await.map_err(|error| match error {
            error @ Error::Precondition { .. } => already_exists(&self.location, error),
            error => error,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let request = || self.parts.abort_multipart(&self.location, &self.id);
        self.sender.send(Kind::Part, &self.location, 0, request).await
    }
}

impl fmt::Debug for PatientUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upload of {}: {} parts", self.location, self.next)
    }
}

#[test]
fn payloads_are_cut_where_they_must_be() {
    let payload: PutPayload =
        ["abc", "", "defgh", "i"].map(|text| Bytes::from_static(text.as_bytes())).into_iter().collect();
    let text = |part: &PutPayload| part.iter().flat_map(|bytes| bytes.to_vec()).map(char::from).collect::<String>();
    let cut = |size| slices(&payload, size).iter().map(text).collect::<Vec<_>>();
    assert_eq!(cut(4), ["abcd", "efgh", "i"]);
    assert_eq!(cut(3), ["abc", "def", "ghi"]);
    assert_eq!(cut(100), ["abcdefghi"]);
    assert!(slices(&PutPayload::new(), 4).is_empty());
}

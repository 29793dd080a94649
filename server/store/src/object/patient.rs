//! A store that is asked with patience: every remote store is behind one of these.
//!
//! ```text
//!   request -> lane (bounded) -> store, within a time limit -> answer
//!                ^                        |
//!                |                        no answer, or an error that may pass
//!                +---- pause <--- budget of retries, attempts left? ---> GaveUp
//! ```
//!
//! # Invariants
//! 1. Nobody else retries: the clients below send each request once, and [`super::create`] leaves alone what was given
//!    up here.
//! 2. A create that succeeded is never answered as taken, whatever answers were lost ([`create`]).
//! 3. Every request ends: each attempt has a time limit, and attempts, time and the budget bound retries.
//! 4. Nothing of the configuration is ever shown: credentials may be in it.

mod budget;
mod create;
mod meter;
mod retry;
mod streams;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use ochre_env::Env;

pub use meter::{Failing, Kind, KindCounts, Meter, SECONDS};
pub(super) use retry::gave_up;

use super::settings::Policy;
use retry::Sender;

/// A store behind patience.
pub struct Patient {
    asker: Asker,
    parts: Option<Arc<dyn MultipartStore>>,
}

/// What requests are sent with, and where to.
#[derive(Clone)]
struct Asker {
    inner: Arc<dyn ObjectStore>,
    sender: Arc<Sender>,
}

impl Patient {
    /// Puts patience before `inner`. Objects that are large are uploaded through `parts`, whose completion must be
    /// conditional, if there is one.
    pub fn new(inner: Arc<dyn ObjectStore>, parts: Option<Arc<dyn MultipartStore>>, policy: Policy, env: &Env) -> Self {
        let sender = Arc::new(Sender::new(policy, env.clock.clone(), env.entropy.clone()));
        Self { asker: Asker { inner, sender }, parts }
    }

    /// What is counted.
    pub fn meter(&self) -> Arc<Meter> {
        self.asker.sender.meter.clone()
    }
}

impl Asker {
    /// Asks for an object or a part of it until there is an answer, and for what its body does not bring.
    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { Kind::Head } else { Kind::Get };
        let request = || self.inner.get_opts(location, options.clone());
        let found = self.sender.send(kind, location, 0, request).await?;
        if options.head || self.sender.policy.is_local() {
            return Ok(found);
        }
        let GetResult { payload, meta, range, attributes } = found;
        let stream = match payload {
            GetResultPayload::Stream(stream) => stream,
            // Only where object_store's own files are built in.
            #[allow(unreachable_patterns, reason = "which variants there are is decided by features")]
            other => return Ok(GetResult { payload: other, meta, range, attributes }),
        };
        let e_tag = meta.e_tag.clone();
        let bounds = (range.start, range.end);
        let body = streams::body(self.clone(), location.clone(), e_tag, bounds, stream);
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
    }
}

#[async_trait]
impl ObjectStore for Patient {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let Self { asker, parts } = self;
        let bytes = payload.content_length() as u64;
        match (&options.mode, parts) {
            (PutMode::Create, Some(parts)) if payload.content_length() > upload::WHOLE => {
                upload::create(asker, parts, location, payload).await
            }
            (PutMode::Create, _) => asker.create(location, payload, options).await,
            (PutMode::Overwrite, _) => {
                let request = || asker.inner.put_opts(location, payload.clone(), options.clone());
                let done = asker.sender.send(Kind::Put, location, bytes, request).await?;
                asker.sender.meter.sent(bytes);
                Ok(done)
            }
            // A lost answer could not be told from a lost race.
            (PutMode::Update(_), _) => {
                let mut tries = asker.sender.tries(Kind::Put, bytes);
                asker.sender.once(&mut tries, asker.inner.put_opts(location, payload, options)).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let Asker { inner, sender } = &self.asker;
        match &self.parts {
            Some(parts) => Ok(Box::new(upload::PatientUpload::begin(sender.clone(), parts.clone(), location).await?)),
            None => sender.send(Kind::Part, location, 0, || inner.put_multipart_opts(location, options.clone())).await,
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.asker.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Asker { inner, sender } = &self.asker;
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let found = sender.send(Kind::Get, location, bytes, || inner.get_ranges(location, ranges)).await?;
        sender.meter.received(found.iter().map(|bytes| bytes.len() as u64).sum());
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        streams::delete(self.asker.clone(), locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        streams::list(&self.asker, prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        streams::list(&self.asker, prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let Asker { inner, sender } = &self.asker;
        let path = prefix.cloned().unwrap_or_default();
        sender.send(Kind::List, &path, 0, || inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let Asker { inner, sender } = &self.asker;
        match options.mode {
            CopyMode::Overwrite => sender.send(Kind::Copy, to, 0, || inner.copy_opts(from, to, options.clone())).await,
            // A lost answer could not be told from a lost race.
            CopyMode::Create => {
                let mut tries = sender.tries(Kind::Copy, 0);
                sender.once(&mut tries, inner.copy_opts(from, to, options)).await
            }
        }
    }
}

impl fmt::Display for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asker.inner.fmt(f)
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patient({})", self.asker.inner)
    }
}

#[cfg(test)]
mod tests;

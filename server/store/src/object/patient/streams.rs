//! What comes piece by piece: bodies and listings that go on where they broke off.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, Result};

use super::Asker;
use super::meter::Kind;
use super::retry::{Sender, Tries};

/// Paths that one request deletes at most.
const DELETED_AT_ONCE: usize = 1_000;

/// A body under way.
struct Body {
    asker: Asker,
    location: Path,
    e_tag: Option<String>,
    /// What is still to come of the object.
    at: u64,
    end: u64,
    stream: Option<BoxStream<'static, Result<Bytes>>>,
    tries: Tries,
    /// Whether anything came since it last broke off: then its tries begin anew.
    progressed: bool,
}

/// The bytes `at..end` of an object, of which `stream` is the first answer. Where it breaks off, the rest is asked
/// for, of the same version of the object.
pub(super) fn body(
    asker: Asker,
    location: Path,
    e_tag: Option<String>,
    (at, end): (u64, u64),
    stream: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes>> {
    let tries = asker.sender.tries(Kind::Get, end.saturating_sub(at)).sent_once();
    let body = Body { asker, location, e_tag, at, end, stream: Some(stream), tries, progressed: false };
    stream::try_unfold(body, |mut body| async move { Ok(body.next().await?.map(|bytes| (bytes, body))) }).boxed()
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.end {
            let error = match self.piece().await {
                Ok(bytes) => {
                    self.at += bytes.len() as u64;
                    self.progressed = true;
                    self.asker.sender.meter.received(bytes.len() as u64);
                    return Ok(Some(bytes));
                }
                Err(error) => error,
            };
            let sender = &self.asker.sender;
            if self.stream.take().is_some() {
                sender.meter.broke_off(Kind::Get, &error);
            }
            if std::mem::take(&mut self.progressed) {
                self.tries = sender.tries(Kind::Get, self.end - self.at).sent_once();
            }
            sender.pause(&mut self.tries, &self.location, error).await?;
        }
        Ok(None)
    }

    async fn piece(&mut self) -> Result<Bytes> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let range = Some(GetRange::Bounded(self.at..self.end));
                let options = GetOptions { range, if_match: self.e_tag.clone(), ..GetOptions::default() };
                let rest = self.asker.inner.get_opts(&self.location, options);
                self.stream.insert(self.asker.sender.once(&mut self.tries, rest).await?.into_stream())
            }
        };
        let limit = self.asker.sender.policy.timeout;
        let next = async { stream.next().await.unwrap_or_else(|| Err(broken("the body ended too early"))) };
        self.asker.sender.within(limit, next).await
    }
}

fn broken(what: &'static str) -> Error {
    Error::Generic { store: "object store", source: what.into() }
}

/// A listing under way.
struct Listing {
    store: Arc<dyn ObjectStore>,
    sender: Arc<Sender>,
    prefix: Option<Path>,
    /// The last object that was listed; listings are in order.
    after: Option<Path>,
    stream: Option<BoxStream<'static, Result<ObjectMeta>>>,
    tries: Tries,
    /// Whether anything came since it last broke off: then its tries begin anew.
    progressed: bool,
}

/// The objects below `prefix`, and after `after`.
pub(super) fn list(
    asker: &Asker,
    prefix: Option<&Path>,
    after: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let listing = Listing {
        store: asker.inner.clone(),
        sender: asker.sender.clone(),
        prefix: prefix.cloned(),
        after: after.cloned(),
        stream: None,
        tries: asker.sender.tries(Kind::List, 0),
        progressed: false,
    };
    stream::try_unfold(listing, |mut listing| async move { Ok(listing.next().await?.map(|object| (object, listing))) })
        .boxed()
}

impl Listing {
    async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        let root = Path::default();
        loop {
            let begins = self.stream.is_none();
            let (store, prefix, after) = (&self.store, self.prefix.as_ref(), self.after.as_ref());
            let stream = self.stream.get_or_insert_with(|| match after {
                Some(after) => store.list_with_offset(prefix, after),
                None => store.list(prefix),
            });
            let answer = if begins {
                self.sender.once(&mut self.tries, stream.try_next()).await
            } else {
                self.sender.within(self.sender.policy.timeout, stream.try_next()).await
            };
            match answer {
                Ok(None) => return Ok(None),
                // Not every service begins where it was asked to.
                Ok(Some(object)) if self.after.as_ref().is_some_and(|after| object.location <= *after) => {}
                Ok(Some(object)) => {
                    self.after = Some(object.location.clone());
                    self.progressed = true;
                    return Ok(Some(object));
                }
                Err(error) => {
                    self.stream = None;
                    if !begins {
                        self.sender.meter.broke_off(Kind::List, &error);
                    }
                    if std::mem::take(&mut self.progressed) {
                        self.tries = self.sender.tries(Kind::List, 0).sent_once();
                    }
                    self.sender.pause(&mut self.tries, self.prefix.as_ref().unwrap_or(&root), error).await?;
                }
            }
        }
    }
}

/// Deletes paths, many in one request. One that is not there is deleted. If a request fails for good, its error takes
/// the place of all its paths: some of them may be deleted.
pub(super) fn delete(asker: Asker, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
    paths
        .chunks(DELETED_AT_ONCE)
        .then(move |paths| {
            let asker = asker.clone();
            async move { stream::iter(delete_some(&asker, paths).await) }
        })
        .flatten()
        .boxed()
}

async fn delete_some(asker: &Asker, paths: Vec<Result<Path>>) -> VecDeque<Result<Path>> {
    let (mut answers, mut wanted) = (VecDeque::new(), Vec::new());
    for path in paths {
        match path {
            Ok(path) => wanted.push(path),
            Err(error) => answers.push_back(Err(error)),
        }
    }
    let Some(first) = wanted.first() else { return answers };
    let deleted = asker
        .sender
        .send(Kind::Delete, first, 0, || async {
            if let [path] = wanted.as_slice() {
                return absent_is_fine(asker.inner.delete(path).await);
            }
            let paths = stream::iter(wanted.clone()).map(Ok).boxed();
            asker.inner.delete_stream(paths).map(|answer| absent_is_fine(answer.map(drop))).try_collect::<()>().await
        })
        .await;
    match deleted {
        Ok(()) => answers.extend(wanted.into_iter().map(Ok)),
        Err(error) => answers.push_back(Err(error)),
    }
    answers
}

fn absent_is_fine(answer: Result<()>) -> Result<()> {
    match answer {
        Err(Error::NotFound { .. }) => Ok(()),
        answer => answer,
    }
}

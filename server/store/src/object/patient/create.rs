//! Creating an object exactly once, although answers get lost.
//!
//! ```text
//!   put if absent -> made                              -> Ok
//!                 -> taken, first attempt              -> AlreadyExists: another's
//!                 -> no answer, pause, put if absent -> taken -> read it: our bytes -> Ok, an earlier attempt was ours
//!                                                                        others     -> AlreadyExists
//!                                                                        nothing    -> the next attempt
//! ```

use futures::StreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, PutOptions, PutPayload, PutResult, Result};

use super::Asker;
use super::meter::Kind;

/// What S3 says when two conditional writes were under way at the same time: neither has won yet.
const UNDECIDED: &str = "ConditionalRequestConflict";

pub(super) fn already_exists(location: &Path, error: Error) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: Box::new(error) }
}

impl Asker {
    /// Creates `location` unless it exists, in one request and its retries.
    pub(super) async fn create(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mut tries = self.sender.tries(Kind::Put, payload.content_length() as u64);
        loop {
            let request = self.inner.put_opts(location, payload.clone(), options.clone());
            let error = match self.sender.once(&mut tries, request).await {
                Ok(done) => {
                    self.sender.meter.sent(payload.content_length() as u64);
                    return Ok(done);
                }
                // Azure may say either.
                Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                    if error.to_string().contains(UNDECIDED) {
                        undecided(location, error)
                    } else if !tries.is_retry() {
                        return Err(as_taken(location, error));
                    } else {
                        match self.holds(location, &payload).await? {
                            Some(true) => return Ok(PutResult { e_tag: None, version: None }),
                            Some(false) => return Err(as_taken(location, error)),
                            None => undecided(location, error),
                        }
                    }
                }
                Err(error) => error,
            };
            self.sender.pause(&mut tries, location, error).await?;
        }
    }

    /// Whether the object has exactly these bytes; `None` if there is none.
    pub(super) async fn holds(&self, location: &Path, payload: &PutPayload) -> Result<Option<bool>> {
        let mut found = match self.get(location, GetOptions::default()).await {
            Ok(found) if found.meta.size == payload.content_length() as u64 => found.into_stream(),
            Ok(_) => return Ok(Some(false)),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut ours = payload.iter().flatten();
        while let Some(bytes) = found.next().await {
            if !bytes?.iter().all(|byte| ours.next() == Some(byte)) {
                return Ok(Some(false));
            }
        }
        Ok(Some(ours.next().is_none()))
    }
}

fn as_taken(location: &Path, error: Error) -> Error {
    match error {
        error @ Error::AlreadyExists { .. } => error,
        error => already_exists(location, error),
    }
}

fn undecided(location: &Path, error: Error) -> Error {
    let source = format!("whether {location} exists is not decided: {error}").into();
    Error::Generic { store: "object store", source }
}

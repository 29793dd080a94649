//! Reading a request's body, bounded in bytes, time and memory.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;

use super::budget::Lease;
use super::failure::{Failure, Kind};
use super::inflate::{Inflater, too_large};
use super::state::App;

/// Larger chunks are inflated away from the async threads.
const INLINE_CHUNK: usize = 64 << 10;

/// A whole body, and the memory that it holds.
#[derive(Debug)]
pub struct Received {
    /// The body, inflated.
    pub bytes: Bytes,
    /// Held until the request is done.
    pub lease: Lease,
}

/// Reads the whole body, of at most `limit` bytes before and after decompression, and inflates it if it is gzip.
pub async fn read(app: &App, limit: usize, headers: &HeaderMap, body: Body) -> Result<Received, Failure> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    match encoding(headers)? {
        Encoding::Identity => plain(app, limit, body, announced).await,
        Encoding::Gzip => gzip(app, limit, body).await,
    }
}

enum Encoding {
    Identity,
    Gzip,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => {
            let message = format!("the Content-Encoding {other:?} is not understood: send gzip or none");
            Err(Failure::new(Kind::MediaType, message))
        }
    }
}

async fn plain(app: &App, limit: usize, mut body: Body, announced: Option<u64>) -> Result<Received, Failure> {
    let mut lease = app.bodies.lease();
    let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(usize::MAX);
    lease.grow_to(announced)?;
    let mut whole = BytesMut::new();
    while let Some(chunk) = next(app, &mut body).await? {
        let length = whole.len() + chunk.len();
        if length > limit {
            return Err(too_large(limit));
        }
        if whole.is_empty() && chunk.len() >= announced && announced > 0 {
            // The whole body came as one chunk: no copy.
            return Ok(Received { bytes: chunk, lease });
        }
        if length > whole.capacity() {
            let capacity = length.max(announced).max(whole.capacity() * 2).min(limit);
            lease.grow_to(capacity)?;
            whole.reserve(capacity - whole.len());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Received { bytes: whole.freeze(), lease })
}

async fn gzip(app: &App, limit: usize, mut body: Body) -> Result<Received, Failure> {
    let mut inflater = Inflater::new(limit, app.bodies.lease());
    let mut received = 0;
    while let Some(chunk) = next(app, &mut body).await? {
        received += chunk.len();
        if received > limit {
            return Err(too_large(limit));
        }
        if chunk.len() <= INLINE_CHUNK {
            inflater.push(&chunk)?;
        } else {
            let work = move || {
                let result = inflater.push(&chunk);
                (inflater, result)
            };
            let (back, result) = app.compute.run(work).await;
            result?;
            inflater = back;
        }
    }
    let (bytes, lease) = inflater.finish()?;
    Ok(Received { bytes: bytes.into(), lease })
}

async fn next(app: &App, body: &mut Body) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = match tokio::time::timeout(app.read_timeout, body.frame()).await {
            Ok(frame) => frame,
            Err(_) => {
                let waited = ochre_types::size::format_duration(app.read_timeout);
                return Err(Failure::new(
                    Kind::Timeout,
                    format!("nothing of the body came for {waited}: send it again"),
                ));
            }
        };
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers say nothing that matters here.
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
            Some(Err(error)) => return Err(Failure::invalid(format!("the body ended too early: {error}"))),
        }
    }
}

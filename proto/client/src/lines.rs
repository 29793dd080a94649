//! Line protocol in, over HTTP.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ochre_types::DatabaseName;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::clock;
use crate::connection::Connection;
use crate::error::Error;
use crate::http_error::{from_answer, from_failure, retry_after, said};

/// How often a body is sent before it is given up.
const ATTEMPTS: u32 = 10;
/// The longest pause between two attempts, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The unit of timestamps in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// By their magnitude.
    Auto,
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Precision {
    /// Its name in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }
}

/// What became of the lines of one body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were refused.
    pub rejected: u64,
    /// The refused lines; the server names only the first ones if there are many.
    pub refused: Vec<RefusedLine>,
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number in the body, from 1.
    pub number: u64,
    /// Its beginning.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Writes line protocol. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lines {
    connection: Connection,
    timeout: Duration,
    gzip: bool,
}

impl Lines {
    pub(crate) fn new(connection: Connection, timeout: Duration) -> Self {
        Self { connection, timeout, gzip: true }
    }

    /// The same, sending bodies as they are, without gzip.
    pub fn without_gzip(self) -> Self {
        Self { gzip: false, ..self }
    }

    /// Writes the lines of one body, which must be whole. Writing the same lines again is safe: they have the same keys.
    ///
    /// While the server is busy (429, 503) it is asked again after the pause that it names, up to ten times; `waiting`
    /// hears of each pause: what the server said, and for how long. The request timeout is that of one attempt.
    pub async fn write(
        &self,
        database: &DatabaseName,
        precision: Precision,
        lines: &[u8],
        mut waiting: impl FnMut(&str, Duration),
    ) -> Result<Written, Error> {
        let body: Bytes = if self.gzip { gzip(lines)?.into() } else { Bytes::copy_from_slice(lines) };
        let mut attempt = 1;
        loop {
            let (status, headers, text) = self.send(database, precision, body.clone()).await?;
            let is_busy = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
            if !is_busy || attempt == ATTEMPTS {
                return take(status, &headers, &text);
            }
            let pause = retry_after(&headers).unwrap_or(Duration::from_secs(1)).min(LONGEST_PAUSE);
            waiting(&said(&text, status), pause);
            clock::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn send(
        &self,
        database: &DatabaseName,
        precision: Precision,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, String), Error> {
        let query = [("db", database.as_str()), ("precision", precision.as_str())];
        let request = self.connection.request(Method::POST, "/api/v3/write_lp").query(&query).body(body);
        let mut request = request.timeout(self.timeout);
        if self.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let failure = |error: reqwest::Error| from_failure(&error, self.connection.url());
        let response = request.send().await.map_err(failure)?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, headers, response.text().await.map_err(failure)?))
    }
}

/// What the answer to a body says.
fn take(status: StatusCode, headers: &HeaderMap, text: &str) -> Result<Written, Error> {
    let count = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let counts = (count("x-ochre-lines-written"), count("x-ochre-lines-rejected"));
    if let (Some(written), Some(rejected)) = counts {
        let lines = body["data"].as_array().into_iter().flatten();
        let refused = lines.map(|line| RefusedLine {
            number: line["line_number"].as_u64().unwrap_or(0),
            text: line["original_line"].as_str().unwrap_or_default().to_owned(),
            reason: line["error_message"].as_str().unwrap_or_default().to_owned(),
        });
        return Ok(Written { written, rejected, refused: refused.collect() });
    }
    // A body of comments and blank lines is no write, and no fault either.
    if status.is_success() || body["error"].as_str().is_some_and(|error| error.starts_with("the write has no lines")) {
        return Ok(Written::default());
    }
    Err(from_answer(status, headers, text))
}

fn gzip(lines: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let done = encoder.write_all(lines).and_then(|()| encoder.finish());
    done.map_err(|error| Error::Source(error.to_string()))
}

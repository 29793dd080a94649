//! Answers as bytes: JSON, JSON lines, CSV, a table for people, Parquet, Arrow.
//!
//! Tags come as plain text (not as dictionaries). Times in JSON and CSV are `2025-01-01T00:00:00`: UTC, without a zone,
//! and with as many digits of a second as are not zero in groups of three. JSON leaves out nulls,
//! and has `null` where a number is not finite.

mod encoder;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use crate::engine::QueryResult;
use crate::error::QueryError;
use encoder::Encoder;

/// The most bytes of columns that a table for people may have, as it is laid out as a whole.
pub const MAX_PRETTY_BYTES: usize = 64 << 20;
/// The bytes of a Parquet answer's row group, about: it is encoded in memory before it is sent.
pub const PARQUET_ROW_GROUP_BYTES: usize = 16 << 20;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// An array of objects, one a row.
    Json,
    /// An object a line.
    JsonLines,
    /// Comma-separated values, names in the first line.
    Csv,
    /// A drawn table.
    Pretty,
    /// One Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

/// A format that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("format {0:?} is not known: use json, jsonl, csv, pretty, parquet or arrow")]
pub struct UnknownFormat(String);

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Json, Self::JsonLines, Self::Csv, Self::Pretty, Self::Parquet, Self::Arrow];

    /// The name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Pretty => "pretty",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// The media type of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Pretty => "text/plain; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The answer as bytes, in pieces about as large as its batches ([`Format::Pretty`]: in one piece).
    ///
    /// An error ends the stream; what came before it is then no complete answer.
    pub fn encode(self, result: QueryResult) -> BoxStream<'static, Result<Bytes, QueryError>> {
        let QueryResult { schema, stream } = result;
        let encoding = stream::once(async move { Encoder::new(self, &schema).map(|encoder| (Some(encoder), stream)) });
        let pieces = |(encoder, stream)| stream::try_unfold((encoder, stream), next_piece);
        encoding.map_ok(pieces).try_flatten().boxed()
    }
}

type Encoding = (Option<Encoder>, BoxStream<'static, Result<arrow_array::RecordBatch, QueryError>>);

/// The next bytes, if any are to come.
async fn next_piece((mut encoder, mut batches): Encoding) -> Result<Option<(Bytes, Encoding)>, QueryError> {
    while let Some(mut open) = encoder.take() {
        let (piece, rest) = match batches.next().await.transpose()? {
            Some(batch) => (open.write(&batch)?, Some(open)),
            None => (open.finish()?, None),
        };
        encoder = rest;
        if !piece.is_empty() {
            return Ok(Some((piece, (encoder, batches))));
        }
    }
    Ok(None)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "json_lines" | "jsonlines" | "ndjson" => Ok(Self::JsonLines),
            _ => {
                Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| UnknownFormat(text.to_owned()))
            }
        }
    }
}

//! `ochre query`.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use futures::StreamExt;
use ochre_client::{Answer, Error};
use ochre_query::format::Format;
use ochre_query::{QueryError, QueryResult};
use ochre_types::DatabaseName;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use super::Stop;
use super::client::Remote;

/// Ask a server one SQL query.
#[derive(Debug, Args)]
pub struct Query {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// The form of the answer.
    #[arg(long, default_value = "pretty", value_name = "pretty|csv|json|jsonl|parquet|arrow")]
    format: Format,
    /// Where the answer goes instead of standard output.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The value of $NAME in the query; numbers, true, false and null are taken as such, all else as text.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// The query; standard input if it is - or absent.
    sql: Option<String>,
}

impl Query {
    /// Runs the command.
    pub async fn run(&self) -> Result<(), Stop> {
        let binary = matches!(self.format, Format::Parquet | Format::Arrow);
        if binary && self.file.is_none() && std::io::stdout().is_terminal() {
            return Err(Stop::Usage(format!(
                "{} is not for terminals: name a --file, or redirect the output",
                self.format
            )));
        }
        let flight = self.remote.connect()?.flight();
        let answer = flight.query(&self.database, &self.sql()?, self.named()?).await?;
        let failure = Arc::default();
        let mut pieces = self.format.encode(rows(answer, Arc::clone(&failure)));
        let mut out = match &self.file {
            Some(path) => {
                let file = tokio::fs::File::create(path).await;
                Out::File(file.with_context(|| format!("making {}", path.display()))?)
            }
            None => Out::Standard,
        };
        let mut last = b'\n';
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| ended(failure.lock().take(), error))?;
            last = piece.last().copied().unwrap_or(last);
            out.write(&piece).await?;
        }
        if !binary && last != b'\n' {
            out.write(b"\n").await?;
        }
        Ok(out.finish().await?)
    }

    fn sql(&self) -> Result<String, Stop> {
        match self.sql.as_deref() {
            Some(sql) if sql != "-" => Ok(sql.to_owned()),
            _ => {
                let mut sql = String::new();
                std::io::stdin().read_to_string(&mut sql).context("reading the query from standard input")?;
                Ok(sql)
            }
        }
    }

    fn named(&self) -> Result<serde_json::Map<String, serde_json::Value>, Stop> {
        let pair = |text: &String| {
            let (name, value) =
                text.split_once('=').ok_or_else(|| Stop::Usage(format!("--param is {text:?}: write NAME=VALUE")))?;
            let value = match serde_json::from_str(value) {
                Ok(scalar @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_) | serde_json::Value::Null)) => {
                    scalar
                }
                _ => serde_json::Value::String(value.to_owned()),
            };
            Ok((name.to_owned(), value))
        };
        self.params.iter().map(pair).collect()
    }
}

/// The answer as the formats take it. Why it ended early is put into `failure`.
fn rows(answer: Answer, failure: Arc<Mutex<Option<Error>>>) -> QueryResult {
    let schema = answer.schema().clone();
    let stream = answer.map(move |batch| {
        batch.map_err(|error| {
            let text = error.to_string();
            *failure.lock() = Some(error);
            QueryError::Execution(text)
        })
    });
    QueryResult { schema, stream: stream.boxed() }
}

/// The server's failure if there was one, else that of writing the answer.
fn ended(failure: Option<Error>, error: QueryError) -> anyhow::Error {
    match failure {
        Some(failure) => anyhow::Error::from(failure).context("the answer ended in the middle"),
        None => error.into(),
    }
}

enum Out {
    Standard,
    File(tokio::fs::File),
}

impl Out {
    async fn write(&mut self, piece: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Standard => std::io::stdout().write_all(piece),
            Self::File(file) => file.write_all(piece).await,
        }
    }

    async fn finish(&mut self) -> std::io::Result<()> {
        match self {
            Self::Standard => std::io::stdout().flush(),
            Self::File(file) => {
                file.flush().await?;
                file.sync_all().await
            }
        }
    }
}

//! Batches in: `DoPut`.
//!
//! ```text
//!   message -> memory for it -> decode -> pieces -> the node, one after the other -> one acknowledgement
//! ```
//!
//! The next message is read once the one before it is stored and its acknowledgement is taken, so a client that is
//! faster than the server is held back by gRPC's flow control. Where there is no memory at the moment, the stream waits
//! for some time before it fails.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};
use http::HeaderMap;
use ochre_ingest::arrow::Roles;
use ochre_types::token::Action;
use ochre_types::{DatabaseName, TableName};
use serde_json::json;
use tonic::{Code, Status, Streaming};

use super::Caller;
use super::incoming::{Incoming, Message, Unreadable};
use super::pieces::{Limit, split, written_bytes};
use crate::grpc::status::{self, About, invalid, status_about};
use crate::grpc::{MESSAGE_LIMIT, header};
use crate::http::backend::Stored;
use crate::http::budget::Lease;
use crate::http::failure::{Failure, Kind};
use crate::http::state::App;

/// What goes into the log at a time: a message with more rows is stored in pieces, and acknowledged once.
const PIECE: Limit = Limit { rows: 65_536, bytes: 16 << 20 };
/// Longer messages are decoded away from the async threads.
const INLINE_BYTES: usize = 64 << 10;
/// How long a message may wait for memory in all.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Names the database where the descriptor has a table only.
const DATABASE: &str = "database";
/// Names the columns that are tags, with commas between them.
const TAGS: &str = "ochre-tags";
/// Names the column that is the time.
const TIME: &str = "ochre-time";

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    database: DatabaseName,
    table: TableName,
}

impl Target {
    fn of(descriptor: Option<&FlightDescriptor>, headers: &HeaderMap) -> Result<Self, Status> {
        let path = descriptor.map_or(&[][..], |descriptor| &descriptor.path);
        let (database, table) = match path {
            [database, table] => (database.clone(), table),
            [table] => (header(headers, DATABASE)?.ok_or_else(no_target)?.to_owned(), table),
            _ => return Err(no_target()),
        };
        let bad = |error: ochre_types::NameError| invalid("descriptor.path", error.to_string());
        Ok(Self {
            database: DatabaseName::new(database).map_err(bad)?,
            table: TableName::new(table.as_str()).map_err(bad)?,
        })
    }
}

fn no_target() -> Status {
    invalid(
        "descriptor.path",
        "the first message does not say where the rows go: send a descriptor with the path [database, table], or with \
         [table] and the header database",
    )
}

/// What the headers say of the columns.
fn roles(headers: &HeaderMap) -> Result<Roles, Status> {
    let tags = header(headers, TAGS)?
        .map(|tags| tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect());
    Ok(Roles { tags, time: header(headers, TIME)?.map(|time| time.trim().to_owned()) })
}

/// One stream of batches.
struct Put {
    caller: Caller,
    roles: Roles,
    messages: Streaming<FlightData>,
    incoming: Incoming,
    target: Option<Target>,
}

/// Stores what comes and acknowledges each batch. An error ends the stream; what was acknowledged stays.
pub fn store(
    caller: Caller,
    messages: Streaming<FlightData>,
) -> Result<BoxStream<'static, Result<PutResult, Status>>, Status> {
    let roles = roles(&caller.headers)?;
    let put = Put { caller, roles, messages, incoming: Incoming::default(), target: None };
    Ok(try_unfold(put, |mut put| async move { Ok(put.next().await?.map(|result| (result, put))) }).boxed())
}

impl Put {
    /// Takes messages until one has rows; acknowledges those. `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<PutResult>, Status> {
        loop {
            let message = self.messages.message().await.map_err(|error| unread(&error))?;
            let Some(data) = message else {
                return if self.target.is_some() { Ok(None) } else { Err(no_target()) };
            };
            if self.target.is_none() {
                let target = Target::of(data.flight_descriptor.as_ref(), &self.caller.headers)?;
                let allowed = self.caller.identity.require(Action::Write, &target.database);
                allowed.map_err(|failure| status_about(&failure, About::Database(target.database.as_str())))?;
                self.target = Some(target);
            }
            let mut patience = Patience::new(&self.caller.app);
            let (message, lease) = self.decode(data, &mut patience).await?;
            if let Message::Rows(rows) = message {
                let stored = self.rows(rows, lease, &mut patience).await?;
                let durable = stored.logged && self.caller.app.keeps_log;
                let app_metadata = json!({ "rows": stored.rows, "durable": durable }).to_string().into();
                return Ok(Some(PutResult { app_metadata }));
            }
        }
    }

    /// Decodes a message, and takes the memory for it.
    async fn decode(&mut self, data: FlightData, patience: &mut Patience) -> Result<(Message, Lease), Status> {
        loop {
            let mut lease = self.caller.app.bodies.lease();
            let read = match data.data_body.len() {
                ..=INLINE_BYTES => self.incoming.read(&data, &mut lease),
                _ => {
                    let (mut incoming, data) = (std::mem::take(&mut self.incoming), data.clone());
                    let work = move || {
                        let read = incoming.read(&data, &mut lease);
                        (incoming, read, lease)
                    };
                    let (incoming, read, back) = self.caller.app.compute.run(work).await;
                    (self.incoming, lease) = (incoming, back);
                    read
                }
            };
            match read {
                Ok(message) => return Ok((message, lease)),
                Err(Unreadable::NoMemory(failure)) => patience.wait(failure, About::Call).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Stores the rows of one message, piece by piece.
    async fn rows(&self, rows: RecordBatch, mut lease: Lease, patience: &mut Patience) -> Result<Stored, Status> {
        let target = self.target.as_ref().ok_or_else(no_target)?;
        let about = About::Database(target.database.as_str());
        let (mut all, mut offset) = (Stored { rows: 0, logged: true }, 0);
        for piece in split(rows, PIECE, written_bytes) {
            let stored = loop {
                match self.piece(target, &piece, &mut lease).await {
                    Ok(stored) => break stored,
                    Err(failure) if failure.is_exhausted => patience.wait(failure, about).await?,
                    Err(failure) => return Err(refused(failure, offset, about)),
                }
            };
            offset += piece.num_rows();
            all = Stored { rows: all.rows + stored.rows, logged: all.logged && stored.logged };
        }
        Ok(all)
    }

    async fn piece(&self, target: &Target, rows: &RecordBatch, lease: &mut Lease) -> Result<Stored, Failure> {
        // Keys and views may become more than the message was.
        lease.grow_to(rows.columns().iter().map(written_bytes).fold(0_usize, usize::saturating_add))?;
        let backend = self.caller.app.backend(&self.caller.identity)?;
        backend.put(&target.database, &target.table, rows, &self.roles).await
    }
}

/// Why a piece that begins with the row `offset` was not stored.
fn refused(failure: Failure, offset: usize, database: About<'_>) -> Status {
    if failure.kind != Kind::Invalid {
        return status_about(&failure, database);
    }
    let message = match offset {
        0 => failure.message,
        _ => format!("{} (counted from row {offset}, where a piece of the record batch begins)", failure.message),
    };
    invalid("record_batch", message)
}

/// Waits for memory, and not for ever.
struct Patience {
    clock: Arc<dyn ochre_env::Clock>,
    left: Duration,
}

impl Patience {
    fn new(app: &App) -> Self {
        Self { clock: app.clock.clone(), left: PATIENCE }
    }

    /// Waits before another attempt, or fails because there was no memory for too long.
    async fn wait(&mut self, failure: Failure, about: About<'_>) -> Result<(), Status> {
        let pause = failure.retry_after.unwrap_or(PAUSE).min(PAUSE);
        match self.left.checked_sub(pause) {
            None => Err(status_about(&failure, about)),
            Some(left) => {
                self.left = left;
                self.clock.sleep(pause).await;
                Ok(())
            }
        }
    }
}

/// Why there is no next message. The library says `OUT_OF_RANGE` of one that is too large.
fn unread(error: &Status) -> Status {
    match error.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            let message = format!("a message has more than {MESSAGE_LIMIT} bytes: send smaller batches");
            status::status(&Failure::new(Kind::TooLarge, message))
        }
        _ => error.clone(),
    }
}

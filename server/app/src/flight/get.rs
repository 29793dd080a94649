//! Batches out: `DoGet`, and what `GetFlightInfo` and `GetSchema` say before.

use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, SchemaAsIpc, SchemaResult, Ticket};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_schema::ArrowError;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::HeaderMap;
use ochre_query::{QueryError, QueryResult};
use ochre_types::token::Action;
use tonic::Status;

use super::Caller;
use super::ticket::Ask;
use super::wire::{Types, Wire};
use crate::grpc::header;
use crate::grpc::status::{self, About, status_about};
use crate::http::failure::{Failure, Kind};
use crate::http::node::query_failure;

/// Asks for the engine's own types.
const NATIVE_TYPES: &str = "ochre-native-types";

/// A query that runs, and how its rows are sent.
struct Running {
    result: QueryResult,
    wire: Wire,
    types: Types,
}

async fn run(caller: &Caller, ticket: &[u8]) -> Result<Running, Status> {
    let ask = Ask::read(ticket)?;
    let types = types(&caller.headers)?;
    let asked = async {
        caller.identity.require(Action::Read, &ask.database)?;
        caller.app.backend(&caller.identity)?.query(&ask.database, &ask.sql, &ask.params).await
    };
    let about = About::Database(ask.database.as_str());
    let result = asked.await.map_err(|failure| status_about(&failure, query_about(&failure, about)))?;
    let wire = Wire::new(&result.schema, types);
    Ok(Running { result, wire, types })
}

/// What is wrong with a query is wrong with its text.
fn query_about<'a>(failure: &Failure, database: About<'a>) -> About<'a> {
    match failure.kind {
        Kind::Invalid => About::Field("ticket.sql_query"),
        _ => database,
    }
}

fn types(headers: &HeaderMap) -> Result<Types, Status> {
    match header(headers, NATIVE_TYPES)? {
        None | Some("false") => Ok(Types::Plain),
        Some("true") => Ok(Types::Native),
        Some(other) => {
            Err(status::invalid(NATIVE_TYPES, format!("the header {NATIVE_TYPES} is {other:?}: write true or false")))
        }
    }
}

/// The rows that a ticket asks for: the schema first, then batches as they come. Dropping the stream ends the query.
pub async fn rows(caller: &Caller, ticket: &[u8]) -> Result<BoxStream<'static, Result<FlightData, Status>>, Status> {
    let Running { result, wire, types } = run(caller, ticket).await?;
    let schema = wire.schema().clone();
    let pieces = result.stream.map(move |rows| match rows {
        Ok(rows) => wire.pieces(&rows).map_err(|error| failed(unsendable(&error))),
        Err(error) => Err(failed(ended(error))),
    });
    let pieces = pieces.map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok))).try_flatten();
    let encoder = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        // The pieces are small enough already, and measured as windows, which the encoder does not.
        .with_max_flight_data_size(usize::MAX)
        .with_dictionary_handling(match types {
            Types::Plain => DictionaryHandling::Hydrate,
            Types::Native => DictionaryHandling::Resend,
        });
    Ok(encoder.build(pieces).map_err(Status::from).boxed())
}

fn failed(status: Status) -> FlightError {
    FlightError::Tonic(Box::new(status))
}

fn ended(error: QueryError) -> Status {
    let failure = query_failure(error);
    status_about(&failure, query_about(&failure, About::Call))
}

fn unsendable(error: &ArrowError) -> Status {
    let message = format!(
        "the answer has a value that plain types can't hold ({error}): leave it out, or send the header \
         {NATIVE_TYPES}: true"
    );
    status::invalid("ticket.sql_query", message)
}

/// One endpoint, without a location: the ticket as it was given, for this server.
pub async fn info(caller: &Caller, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    let running = run(caller, command(&descriptor)?).await?;
    let ticket = Ticket { ticket: descriptor.cmd.clone() };
    let info = FlightInfo::new().try_with_schema(running.wire.schema()).map_err(|error| schema_failed(&error))?;
    let info = info.with_endpoint(FlightEndpoint::new().with_ticket(ticket)).with_descriptor(descriptor);
    Ok(info.with_total_records(-1).with_total_bytes(-1))
}

/// The columns that a query would answer with.
pub async fn schema(caller: &Caller, descriptor: &FlightDescriptor) -> Result<SchemaResult, Status> {
    let running = run(caller, command(descriptor)?).await?;
    let options = IpcWriteOptions::default();
    SchemaAsIpc::new(running.wire.schema(), &options).try_into().map_err(|error| schema_failed(&error))
}

fn schema_failed(error: &ArrowError) -> Status {
    status::status(&Failure::new(Kind::Internal, format!("writing the schema: {error}")))
}

/// The ticket within a descriptor.
fn command(descriptor: &FlightDescriptor) -> Result<&[u8], Status> {
    match descriptor.cmd.as_ref() {
        [] => Err(status::invalid(
            "descriptor.cmd",
            "the descriptor has no command: put a ticket there, such as {\"database\": \"mine\", \"sql_query\": \
             \"SELECT 1\"}",
        )),
        cmd => Ok(cmd),
    }
}

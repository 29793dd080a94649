//! Arrow Flight: batches in and out, the way that clients move data in bulk.
//!
//! ```text
//!   DoGet, GetFlightInfo, GetSchema -> ticket -> SQL -> wire (plain types, pieces) -> Arrow IPC
//!   DoPut -> incoming (Arrow IPC from outside) -> pieces -> the node -> an acknowledgement a batch
//!   Handshake -> the token, back to where it came from
//! ```
//!
//! # Invariants
//! 1. Only types that every client understands are sent, unless the engine's own are asked for.
//! 2. A batch is acknowledged once the node has acknowledged it; batches are stored one after the other.
//! 3. No message is decoded before it is known what it will take, and the memory for that is held.
//!
//! # Absent on purpose
//! Flight SQL: it comes with its own issue. `DoExchange`, actions and lists of flights: nothing needs them.

mod get;
mod handshake;
mod incoming;
mod pieces;
mod put;
mod ticket;
mod wire;

use std::sync::Arc;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::HeaderMap;
use tonic::codec::CompressionEncoding;
use tonic::{Extensions, Request, Response, Status, Streaming};

use crate::auth::Identity;
use crate::grpc::MESSAGE_LIMIT;
use crate::grpc::status::status;
use crate::http::failure::{Failure, Kind};
use crate::http::state::App;

/// The service, for the router.
pub fn service(app: Arc<App>) -> FlightServiceServer<Flight> {
    FlightServiceServer::new(Flight { app })
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_LIMIT)
}

/// Arrow Flight over the node.
pub struct Flight {
    app: Arc<App>,
}

/// Who calls, with what headers.
struct Caller {
    app: Arc<App>,
    identity: Identity,
    headers: HeaderMap,
}

impl Flight {
    fn caller(&self, extensions: &Extensions, headers: &HeaderMap) -> Result<Caller, Status> {
        let identity = Identity::of(extensions).map_err(|failure| status(&failure))?;
        Ok(Caller { app: self.app.clone(), identity, headers: headers.clone() })
    }
}

/// What is not served, and what serves instead.
fn not_served(what: &str, instead: &str) -> Status {
    status(&Failure::new(Kind::NotImplemented, format!("{what} is not served: {instead}")))
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        handshake::answer(&self.app, request).await
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(not_served("ListFlights", "ask in SQL, with DoGet; SHOW TABLES lists the tables"))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let caller = self.caller(request.extensions(), request.metadata().as_ref())?;
        get::info(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(not_served("PollFlightInfo", "call GetFlightInfo or DoGet; rows come as they are read"))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let caller = self.caller(request.extensions(), request.metadata().as_ref())?;
        get::schema(&caller, &request.into_inner()).await.map(Response::new)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let caller = self.caller(request.extensions(), request.metadata().as_ref())?;
        get::rows(&caller, &request.into_inner().ticket).await.map(Response::new)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = self.caller(request.extensions(), request.metadata().as_ref())?;
        put::store(caller, request.into_inner()).map(Response::new)
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(not_served("DoExchange", "send batches with DoPut, and ask for them with DoGet"))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let what = format!("the action {:?}", request.into_inner().r#type);
        Err(not_served(&what, "there are no actions; ochre.v1.Management manages the server"))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }
}

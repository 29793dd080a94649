//! gRPC on the one port: its services are mounted in the router of HTTP.
//!
//! ```text
//!   auth (an Identity for all but health) -> admission -> Flight, Management, Storage, reflection
//!                                    \----------------> health
//! ```
//!
//! # Invariants
//! 1. A call holds a place among the requests in flight until it has ended, streams included.
//! 2. A message has at most [`MESSAGE_LIMIT`] bytes, before and after decompression.
//! 3. Answers are compressed only where a client asks for it by [`ACCEPT_GZIP`]: gRPC's libraries announce that they
//!    understand gzip whether or not anybody wants it, and near the server it costs far more than it saves.
//! 4. What went wrong is made into a status in one place, [`status`].

mod call;
pub mod health;
pub mod management;
pub mod status;
pub mod storage;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http::HeaderMap;
use tonic::Status;
use tonic_reflection::server::{Builder, Error};

use crate::flight;
use crate::http::admission;
use crate::http::state::App;

/// The most bytes of one message of a client.
pub const MESSAGE_LIMIT: usize = 64 << 20;

/// The header by which a client asks for answers in gzip.
pub const ACCEPT_GZIP: &str = "ochre-accept-gzip";

/// What a client's library can read.
const LIBRARY_ACCEPTS: &str = "grpc-accept-encoding";

/// The services that have a health of their own to be asked for.
const SERVICES: [&str; 3] = ["arrow.flight.protocol.FlightService", "ochre.v1.Management", "ochre.v1.Storage"];

/// The services.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let operators = Router::new()
        .route_service("/ochre.v1.Management/{*method}", management::service(app.clone()))
        .route_service("/ochre.v1.Storage/{*method}", storage::service(app.clone()))
        .layer(from_fn(management::unknown::refuse));
    reflection()
        .expect("the descriptors are compiled in, and a test asks for them")
        .merge(operators)
        .route_service("/arrow.flight.protocol.FlightService/{*method}", flight::service(app.clone()))
        .layer(from_fn_with_state(app.clone(), admit))
        .route_service("/grpc.health.v1.Health/{*method}", health::service(app.clone()))
}

/// What the services are, for tools such as grpcurl. Flight's own library has no descriptors to show.
fn reflection() -> Result<Router<Arc<App>>, Error> {
    let files = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(ochre_wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{*method}", files().build_v1()?)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{*method}", files().build_v1alpha()?))
}

/// Takes a place for the whole call.
async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if request.headers().get(ACCEPT_GZIP).is_none_or(|asked| asked != "true") {
        request.headers_mut().remove(LIBRARY_ACCEPTS);
    }
    match admission::admit(&app) {
        Ok(place) => place.until_sent(next.run(request).await),
        Err(failure) => status::status(&failure).into_http(),
    }
}

/// A header as text; `None` if it is not there.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Status> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| status::invalid(name, format!("the header {name} is not plain ASCII text")));
    text.map(Some)
}

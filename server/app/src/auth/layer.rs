//! The layer: it comes before every handler and service, and puts an [`Identity`] into the request or refuses it.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, Entry};
use http::{HeaderMap, Uri};

use super::access::Access;
use super::identity::Identity;
use super::refusal::{Api, no_token, unknown_token};
use super::secret::Secret;
use crate::http::failure::Failure;
use crate::http::state::App;

/// What needs no token. One that ends with `/` is all that begins so. (`OPTIONS` never comes this far.)
pub const PUBLIC: [&str; 5] = ["/ping", "/health", "/api/v1/health", "/ready", "/grpc.health.v1.Health/"];

/// What is answered without the node: while that is starting, a wrong token is told before.
const WITHOUT_NODE: [&str; 3] =
    ["/metrics", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// Flight's way to ask for a token with a user and a password, which come in the first message unless they are in a
/// header: only the service can look at them.
const HANDSHAKE: &str = "/arrow.flight.protocol.FlightService/Handshake";

/// Lets a request through with its [`Identity`], or answers it.
pub async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let api = Api::of(request.uri(), request.headers());
    let in_query = if api == Api::V1 { Secret::take_from_query(request.uri_mut()) } else { None };
    hide(request.headers_mut());
    if is_among(&PUBLIC, request.uri()) {
        return next.run(request).await;
    }
    match identify(&app, &request, in_query) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(_) if request.uri().path() == HANDSHAKE && !request.headers().contains_key(AUTHORIZATION) => {
            next.run(request).await
        }
        Err(failure) => {
            tracing::debug!(path = request.uri().path(), %failure, "a request was not let in");
            api.response(&failure)
        }
    }
}

fn identify(app: &App, request: &Request, in_query: Option<Secret>) -> Result<Identity, Failure> {
    if !app.access.asks_for_tokens() {
        return Ok(Identity::anybody());
    }
    let is_known_path = request.extensions().get::<MatchedPath>().is_some();
    if is_known_path && !is_among(&WITHOUT_NODE, request.uri()) {
        // Clients drop a batch on 401, and its token can't be looked up yet.
        app.ready()?;
    }
    let secret = match in_query {
        Some(secret) => secret,
        None => Secret::of_headers(request.headers())?.ok_or_else(no_token)?,
    };
    who_has(app, &secret)
}

/// Whose secret that is.
pub fn who_has(app: &App, secret: &Secret) -> Result<Identity, Failure> {
    let Access::Tokens { operators } = &app.access else { return Ok(Identity::anybody()) };
    let hash = secret.hash();
    if operators.contains(&hash) {
        return Ok(Identity::operator());
    }
    let (name, grants) = app.token(&hash)?.ok_or_else(unknown_token)?;
    Ok(Identity::token(name, grants))
}

fn is_among(paths: &[&str], uri: &Uri) -> bool {
    let path = uri.path();
    paths.iter().any(|known| if known.ends_with('/') { path.starts_with(known) } else { path == *known })
}

/// Whoever prints the headers from here on sees that there is a secret, not which.
fn hide(headers: &mut HeaderMap) {
    if let Entry::Occupied(mut values) = headers.entry(AUTHORIZATION) {
        for value in values.iter_mut() {
            value.set_sensitive(true);
        }
    }
}

//! `Handshake`: clients trade a user and a password for a token. Here the password is the token, so it goes back.

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::{Identity, Secret, who_has};
use crate::grpc::status::{self, status};
use crate::http::state::App;

/// Checks the secret of the header `authorization`, or else of a `BasicAuth` in the first message, and sends it back as
/// `authorization: Bearer <token>`, and to those that sent a message in a message too. A server that asks for no token
/// answers one that shows none without either.
pub async fn answer(
    app: &App,
    request: Request<Streaming<HandshakeRequest>>,
) -> Result<Response<BoxStream<'static, Result<HandshakeResponse, Status>>>, Status> {
    let identity = Identity::of(request.extensions());
    let shown = Secret::of_headers(request.metadata().as_ref()).map_err(|failure| status(&failure))?;
    let secret = match shown {
        Some(secret) => Some(secret),
        None => match request.into_inner().message().await? {
            Some(HandshakeRequest { payload, .. }) if !payload.is_empty() => {
                let basic = BasicAuth::decode(payload).map_err(|error| {
                    let message = format!("the payload is no BasicAuth message with the token as password: {error}");
                    status::invalid("payload", message)
                })?;
                Some(Secret::new(basic.password))
            }
            _ => None,
        },
    };
    let Some(secret) = secret else {
        // The layer lets a call without a secret through, so that there can be one in its first message.
        return identity.map(|_| Response::new(stream::empty().boxed())).map_err(|failure| status(&failure));
    };
    who_has(app, &secret).map_err(|failure| status(&failure))?;
    let answer = HandshakeResponse { payload: secret.reveal().as_bytes().to_vec().into(), ..Default::default() };
    let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
    *response.metadata_mut() = MetadataMap::from_headers([(AUTHORIZATION, bearer(&secret)?)].into_iter().collect());
    Ok(response)
}

fn bearer(secret: &Secret) -> Result<HeaderValue, Status> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.reveal()))
        .map_err(|_| status::invalid("payload", "the password has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

//! Tokens over gRPC, the handshake, and what the port says of itself: health and reflection.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, TimestampNanosecondArray};
use arrow_flight::{BasicAuth, HandshakeRequest};
use futures::stream;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::session::{Session, batch};
use crate::e2e::server::{Server, Start, dir};

async fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(server.url("")).unwrap().connect().await.unwrap()
}

/// The header and the payload that a handshake answers.
async fn handshake(session: &Session, payload: Vec<u8>) -> Result<(String, Vec<u8>), Status> {
    let first = HandshakeRequest { payload: payload.into(), ..HandshakeRequest::default() };
    let response = session.client.clone().handshake(session.request(stream::iter([first]))).await?;
    let header = response.metadata().get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    let answer = response.into_inner().message().await?;
    Ok((header, answer.map_or_else(Vec::new, |answer| answer.payload.to_vec())))
}

#[tokio::test]
async fn every_call_shows_a_token() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).with_tokens().start();
    let session = Session::to(&server).await;
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
    let rows = batch(vec![("time", times), ("v", Arc::new(Int64Array::from(vec![1])))]);
    let (_, ended) = session.put(&["mine", "t"], vec![rows.clone()]).await;
    assert_eq!(ended.unwrap().code(), Code::Unauthenticated);
    let wrong = session.with("authorization", "Bearer nobody-has-this-token-anywhere-at-all");
    assert_eq!(wrong.sql("mine", "SELECT 1").await.unwrap_err().code(), Code::Unauthenticated);
    let token = server.operator_token();
    let right = session.with("authorization", &format!("Bearer {token}"));
    right.store(&["mine", "t"], vec![rows]).await;
    assert_eq!(right.sql("mine", "SELECT v FROM t").await.unwrap().whole().num_rows(), 1);
    assert!(!server.logs().contains(&token));
}

#[tokio::test]
async fn a_handshake_gives_the_token_back() {
    use base64::Engine;
    let dir = dir();
    let server = Start::in_dir(dir.path()).with_tokens().start();
    let session = Session::to(&server).await;
    let token = server.operator_token();
    let bearer = format!("Bearer {token}");
    let answered = Ok((bearer.clone(), token.clone().into_bytes()));
    let text = |result: Result<(String, Vec<u8>), Status>| result.map_err(|status| status.code());

    let basic = base64::engine::general_purpose::STANDARD.encode(format!("me:{token}"));
    let basic = session.with("authorization", &format!("Basic {basic}"));
    assert_eq!(text(handshake(&basic, vec![]).await), answered);
    assert_eq!(text(handshake(&session.with("authorization", &bearer), vec![]).await), answered);
    let payload =
        |password: &str| BasicAuth { username: "me".to_owned(), password: password.to_owned() }.encode_to_vec();
    assert_eq!(text(handshake(&session, payload(&token)).await), answered);

    assert_eq!(text(handshake(&session, payload("wrong")).await), Err(Code::Unauthenticated));
    assert_eq!(text(handshake(&session, vec![]).await), Err(Code::Unauthenticated));
    assert_eq!(text(handshake(&session, b"\xff".to_vec()).await), Err(Code::InvalidArgument));
    let wrong = session.with("authorization", "Bearer wrong");
    assert_eq!(text(handshake(&wrong, payload(&token)).await), Err(Code::Unauthenticated));
    assert!(!server.logs().contains(&token));
}

#[tokio::test]
async fn without_tokens_a_handshake_gives_back_what_it_got() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let session = Session::to(&server).await;
    assert_eq!(handshake(&session, vec![]).await.unwrap(), (String::new(), vec![]));
    let shown = handshake(&session.with("authorization", "Bearer any"), vec![]).await.unwrap();
    assert_eq!(shown, ("Bearer any".to_owned(), b"any".to_vec()));
}

#[tokio::test]
async fn health_needs_no_token() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).with_tokens().start();
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", "arrow.flight.protocol.FlightService", "ochre.v1.Management"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status().as_str_name(), "SERVING", "{service}");
    }
    let unknown = HealthCheckRequest { service: "nobody".to_owned() };
    assert_eq!(health.check(unknown.clone()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(health.watch(unknown).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn the_services_can_be_looked_up() {
    let dir = dir();
    let server = Start::in_dir(dir.path()).start();
    let mut reflection = ServerReflectionClient::new(channel(&server).await);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection.server_reflection_info(stream::iter([list])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["ochre.v1.Management", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
}

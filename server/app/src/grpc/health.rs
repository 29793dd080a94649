//! `grpc.health.v1.Health`: whether the server serves, as `/health` says it. It needs no token.

use std::sync::Arc;

use futures::stream::BoxStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::SERVICES;
use super::status::status;
use crate::http::failure::{Failure, Kind};
use crate::http::state::App;

/// The service, for the router.
pub fn service(app: Arc<App>) -> HealthServer<NodeHealth> {
    HealthServer::new(NodeHealth { app })
}

/// The health of the node; that of each service is the same.
pub struct NodeHealth {
    app: Arc<App>,
}

#[tonic::async_trait]
impl Health for NodeHealth {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !service.is_empty() && !SERVICES.contains(&service.as_str()) {
            return Err(Status::not_found(format!("the service {service:?} is not known here")));
        }
        let serving = match self.app.health() {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        Ok(Response::new(HealthCheckResponse { status: serving.into() }))
    }

    /// The specification allows it not to be there; clients then take the server for healthy. Streams that end only
    /// with the server would hold up its stopping.
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(status(&Failure::new(Kind::NotImplemented, "Watch is not served: call Check from time to time")))
    }
}

//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::decorate::decorate;
use super::state::App;
use super::{health, metrics, v1, v2, v3};
use crate::auth::layer::authenticate;
use crate::grpc;

/// All paths of the server.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/write", post(v1::write))
        .route("/query", get(v1::query).post(v1::query))
        .route("/api/v2/write", post(v2::write))
        .route("/api/v2/delete", post(v2::delete))
        .route("/api/v3/write_lp", post(v3::write))
        .route("/api/v3/query_sql", get(v3::query_get).post(v3::query_post))
        .route("/api/v3/configure/database", get(v3::list).post(v3::create).delete(v3::drop_database))
        .route("/api/v3/configure/table", delete(v3::drop_table))
        .route("/health", get(health::health))
        .route("/api/v1/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/ping", get(health::ping))
        .route("/metrics", get(metrics::metrics))
        .route("/ochre/v1/status", get(health::status))
        .merge(grpc::routes(&app))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), authenticate))
        .layer(from_fn_with_state(app.clone(), decorate))
        .with_state(app)
}

async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    refuse(path, StatusCode::NOT_FOUND, "not found", &format!("the path {path} is not known here"))
}

async fn wrong_method(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("the method {method} is not allowed for {path}");
    refuse(path, StatusCode::METHOD_NOT_ALLOWED, "method not allowed", &message)
}

/// In the form of the API that the path belongs to.
fn refuse(path: &str, status: StatusCode, code: &str, message: &str) -> Response {
    let body = if path.starts_with("/api/v2/") {
        json!({ "code": code, "message": message })
    } else {
        json!({ "error": message })
    };
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

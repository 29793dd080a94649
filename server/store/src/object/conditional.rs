//! Makes every completion of an upload in parts conditional: it must not replace an object.
//!
//! `object_store` completes uploads unconditionally. Its requests pass through here, and the ones that complete an
//! upload get `If-None-Match: *`, which S3 and its like answer with 412 if the name is taken. The header is not part
//! of the signature, as S3 allows.

use async_trait::async_trait;
use http::header::{HeaderValue, IF_NONE_MATCH};
use http::{Method, Uri};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, Result};

/// Connects as usual, and adds the condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditional;

impl HttpConnector for Conditional {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(AddCondition(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct AddCondition(HttpClient);

#[async_trait]
impl HttpService for AddCondition {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if completes_upload(request.method(), request.uri()) {
            request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        self.0.execute(request).await
    }
}

/// Whether a request of the S3 protocol completes an upload in parts.
fn completes_upload(method: &Method, uri: &Uri) -> bool {
    let parameters = uri.query().unwrap_or("").split('&');
    method == Method::POST && parameters.into_iter().any(|parameter| parameter.starts_with("uploadId="))
}

#[test]
fn completions_are_told_from_other_requests() {
    let asks = |method: Method, uri: &str| completes_upload(&method, &uri.parse().unwrap());
    assert!(asks(Method::POST, "http://h/b/k?uploadId=1"));
    assert!(!asks(Method::POST, "http://h/b/k?uploads="));
    assert!(!asks(Method::POST, "http://h/b?delete="));
    assert!(!asks(Method::PUT, "http://h/b/k?partNumber=1&uploadId=1"));
    assert!(!asks(Method::DELETE, "http://h/b/k?uploadId=1"));
}

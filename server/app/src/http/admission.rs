//! The bound on requests in flight. A request holds its place until its answer has been sent to the end.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::failure::Failure;
use super::state::App;

/// A place among the requests in flight.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Takes a place, or says that there is none.
pub fn admit(app: &App) -> Result<Place, Failure> {
    match app.requests.clone().try_acquire_owned() {
        Ok(permit) => Ok(Place { _permit: permit }),
        Err(_) => Err(Failure::exhausted("too many requests are in flight: try again later, or raise --max-requests")),
    }
}

impl Place {
    /// Keeps the place until the body of `response` has been sent or given up.
    pub fn until_sent(self, response: Response) -> Response {
        response.map(|inner| Body::new(Held { inner, _place: self }))
    }
}

struct Held {
    inner: Body,
    _place: Place,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

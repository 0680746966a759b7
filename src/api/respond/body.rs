//! Response bodies: a body that holds a value until it is sent, and a body of which only the size is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::web::Bytes;

/// A body that holds a value until the end of the body is sent, or until the body is dropped.
struct Holding<T> {
    body: BoxBody,
    _held: T,
}

impl<T: Unpin> MessageBody for Holding<T> {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// Holds a value until the response is sent.
pub fn hold<T: Unpin + 'static>(
    response: ServiceResponse<impl MessageBody + 'static>,
    held: T,
) -> ServiceResponse<BoxBody> {
    response.map_body(|_, body| Holding { body: body.boxed(), _held: held }.boxed())
}

/// Only the size of a body, for responses to HEAD.
struct SizeOnly(BodySize);

impl MessageBody for SizeOnly {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}

/// Returns the response without its body. All headers stay the same, including the length.
pub fn size_only(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    response.map_body(|_, body| SizeOnly(body.size()).boxed())
}

//! A request's body that is read on when nobody wants the rest of it.
//!
//! A connection that is closed over bytes that were not read is reset, and a reset may take from the client
//! the answer that was on its way: instead of why its body was refused it would be told that the connection
//! broke. So the rest is read beside the answer and thrown away, as far as that is bearable.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use axum::http::header::EXPECT;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// How long a rest is read: the answer has long arrived by then.
const LINGER: Duration = Duration::from_secs(2);
/// How much of a rest is read, bytes.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// A body whose rest is read when it is dropped.
#[derive(Debug)]
pub(super) struct Lingering {
    /// `None` once it has ended or failed.
    body: Option<Incoming>,
    /// Not where the client waits to be asked for the body: reading would ask for it.
    lingers: bool,
}

impl Lingering {
    /// The same request with such a body.
    pub(super) fn over(request: Request<Incoming>) -> Request<Lingering> {
        let lingers = !request.headers().contains_key(EXPECT);
        request.map(|body| Lingering {
            body: Some(body),
            lingers,
        })
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        if let Some(body) = body.filter(|_| self.lingers) {
            #[expect(
                clippy::disallowed_methods,
                reason = "it ends with its connection, which is joined"
            )]
            tokio::spawn(tokio::time::timeout(LINGER, discard(body)));
        }
    }
}

/// Reads a body to its end, its failure or the bound.
async fn discard(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > LINGER_BYTES_MAX {
            return;
        }
    }
}

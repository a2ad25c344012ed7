//! Requests over real sockets.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::NamedTempFile;
use tidewater::exit::ExitCode;

use super::Tidewater;

/// What a log says behind a mark.
pub(crate) fn after(log: &str, mark: &str) -> String {
    let (_, rest) = log.split_once(mark).unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

/// A file with a new key of the gateway that has this scope.
pub(crate) fn key_file(scope: &str, config: &str) -> NamedTempFile {
    let arguments = [
        "keys", "create", "--json", "--name", scope, "--scope", scope,
    ];
    let made = Tidewater::run(&arguments, config).expect(ExitCode::Success);
    let made: Value = serde_json::from_str(&made.output).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, format!("{}\n", made["key"].as_str().unwrap())).unwrap();
    file
}

/// Whoever speaks to a server, over connections that stay open.
#[derive(Clone)]
pub(crate) struct Client {
    pool: Pool<HttpConnector, Body>,
    address: String,
    pub(crate) key: Option<String>,
}

/// What it is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The same, once it is known to have that status; an error has to be a problem of RFC 9457.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        if status >= 400 {
            assert_eq!(self.header("content-type"), "application/problem+json");
            let problem = self.json();
            assert_eq!(problem["status"], status);
            for member in ["type", "title", "detail"] {
                assert!(problem[member].is_string(), "{self:?}");
            }
        }
        self
    }

    /// The same, once its problem is known to name that field.
    #[track_caller]
    pub(crate) fn names(self, field: &str) -> Answer {
        assert_eq!(self.json()["field"], field, "{self:?}");
        self
    }
}

impl Client {
    pub(crate) fn new(address: &str, key: Option<String>) -> Client {
        Client {
            pool: Pool::builder(TokioExecutor::new()).build_http(),
            address: address.to_owned(),
            key,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        match &self.key {
            Some(key) => request.header(AUTHORIZATION, format!("Bearer {key}")),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = self.request(Method::GET, path).body(Body::empty());
        self.send(request.unwrap()).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        let request = self
            .request(Method::PUT, path)
            .header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body.to_owned()));
        self.send(request.unwrap()).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, kind: &str, body: impl Into<Body>) -> Answer {
        self.try_post(path, kind, body.into()).await.unwrap()
    }

    pub(crate) async fn try_post(
        &self,
        path: &str,
        kind: &str,
        body: Body,
    ) -> Result<Answer, hyper_util::client::legacy::Error> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, kind);
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Answer, hyper_util::client::legacy::Error> {
        let response = self.open(request).await?;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        })
    }

    /// Sends a request whose answer may have no end.
    pub(crate) async fn open(
        &self,
        request: Request<Body>,
    ) -> Result<hyper::Response<hyper::body::Incoming>, hyper_util::client::legacy::Error> {
        self.pool.request(request).await
    }
}

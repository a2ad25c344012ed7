//! Questions to the registry over HTTP or HTTPS, each with a time-out and a bound on its answer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::config::settings::{self, Credentials};
use crate::connection::https;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// More than any schema takes, bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// What stands in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// A subject as part of a path.
pub(super) fn escaped(subject: &str) -> String {
    utf8_percent_encode(subject, PATH).to_string()
}

/// One question.
pub(super) struct Request<'a> {
    doing: &'static str,
    subject: &'a str,
    method: Method,
    path: String,
    body: Bytes,
}

impl<'a> Request<'a> {
    pub(super) fn get(doing: &'static str, subject: &'a str, path: String) -> Self {
        Request {
            doing,
            subject,
            method: Method::GET,
            path,
            body: Bytes::new(),
        }
    }

    /// About an Avro schema.
    pub(super) fn post(doing: &'static str, subject: &'a str, path: String, schema: &str) -> Self {
        let body = serde_json::json!({ "schema": schema, "schemaType": "AVRO" });
        Request {
            doing,
            subject,
            method: Method::POST,
            path,
            body: body.to_string().into(),
        }
    }
}

/// The way to one registry.
#[derive(Debug)]
pub(super) struct Client {
    /// Without a slash at its end.
    url: String,
    authorization: Option<HeaderValue>,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What a registry says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Client {
    pub(super) fn new(settings: &settings::Registry) -> Result<Self, Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(
                https(settings.certificates.as_deref())
                    .map_err(|problem| Error::Settings { problem })?,
            )
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Client {
            url: settings.url.trim_end_matches('/').to_owned(),
            authorization: settings
                .credentials
                .as_ref()
                .map(authorization)
                .transpose()?,
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
        })
    }

    pub(super) async fn ask<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, Error> {
        let unreachable = |source| Error::Unreachable {
            url: self.url.clone(),
            doing: request.doing,
            source,
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.send(request)).await;
        let (status, body) = answer
            .map_err(|elapsed| unreachable(elapsed.into()))?
            .map_err(unreachable)?;
        if !status.is_success() {
            let refusal = serde_json::from_slice::<Refusal>(&body);
            let message = refusal.map_or_else(
                |_| status.canonical_reason().unwrap_or_default().to_owned(),
                |refusal| refusal.message,
            );
            return Err(Error::Status {
                doing: request.doing,
                subject: request.subject.to_owned(),
                status: status.as_u16(),
                message,
            });
        }
        serde_json::from_slice(&body).map_err(|source| Error::Answer {
            url: self.url.clone(),
            doing: request.doing,
            source,
        })
    }

    async fn send(
        &self,
        request: &Request<'_>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(format!("{}/{}", self.url, request.path))
            .header(ACCEPT, MEDIA_TYPE)
            .header(CONTENT_TYPE, MEDIA_TYPE);
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        let response = self
            .http
            .request(builder.body(Full::new(request.body.clone()))?)
            .await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        Ok((status, body.collect().await?.to_bytes()))
    }
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, Error> {
    let text = match credentials {
        Credentials::Basic { user, password } => {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        }
        Credentials::Token(token) => format!("Bearer {token}"),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| Error::Settings {
        problem: "the token holds what no header may".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

//! One delivery: a signed request, and what came of it.
//!
//! Signed as the Standard Webhooks specification says: `webhook-signature` is `v1,` and the base64 of the
//! HMAC-SHA-256, under the secret, of `id.timestamp.body`, with the id of `webhook-id` and the seconds of
//! `webhook-timestamp`. `idempotency-key` is the id too: a code may come more than once.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;
use tower::Service;
use url::{Host, Url};
use uuid::Uuid;

use super::super::error::Error;
use crate::config::settings::Webhook;
use crate::connection::https;
use crate::http::retry_after;

/// Longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Why a delivery failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// What to tell people; holds nothing of the body.
    pub(super) reason: String,
    /// How long the receiver wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

/// The way to the receiver.
#[derive(Debug)]
pub(in super::super) struct Client {
    url: String,
    key: Hmac<Sha256>,
    timeout: Duration,
    http: HttpClient<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
}

impl Client {
    /// An error says what is wrong with the settings.
    pub(in super::super) fn new(settings: &Webhook) -> Result<Client, Error> {
        Client::build(settings).map_err(|problem| Error::Webhook { problem })
    }

    fn build(settings: &Webhook) -> Result<Client, String> {
        let url = Url::parse(&settings.url).map_err(|error| error.to_string())?;
        if let Some(Host::Ipv4(_) | Host::Ipv6(_)) = url.host()
            && !settings.allow_private
        {
            let address = url.host_str().unwrap_or_default();
            let address = address.trim_matches(['[', ']']).parse::<IpAddr>();
            if address.is_ok_and(is_private) {
                return Err(private(url.host_str().unwrap_or_default()));
            }
        }
        let mut http = HttpConnector::new_with_resolver(Resolver {
            allow_private: settings.allow_private,
        });
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(https(settings.certificates.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let key =
            Hmac::new_from_slice(settings.secret.as_bytes()).map_err(|error| error.to_string())?;
        Ok(Client {
            url: settings.url.clone(),
            key,
            timeout: settings.timeout,
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Posts it; the receiver has accepted it if it answers with 200 to 299.
    pub(super) async fn deliver(&self, id: Uuid, body: &str, seconds: i64) -> Result<(), Failed> {
        let failed = |reason: String| Failed {
            reason,
            retry_after: None,
        };
        let id = id.to_string();
        let request = hyper::Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("tidewater/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("idempotency-key", &id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", sign(&self.key, &id, seconds, body))
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| failed(error.to_string()))?;
        let answer = tokio::time::timeout(self.timeout, self.http.request(request)).await;
        let response = answer
            .map_err(|_| failed(format!("no answer within {:?}", self.timeout)))?
            .map_err(|error| failed(crate::telemetry::chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let busy = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        Err(Failed {
            reason: format!("the receiver answered {status}"),
            retry_after: retry_after(response.headers())
                .filter(|_| busy)
                .map(|wait| wait.min(RETRY_AFTER_MAX)),
        })
    }
}

fn sign(key: &Hmac<Sha256>, id: &str, seconds: i64, body: &str) -> String {
    let mut mac = key.clone();
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn private(host: &str) -> String {
    format!(
        "{host} is an address of this host or of a private network: set webhook.allow_private = true if \
         that is meant"
    )
}

/// Whether it is an address that the internet does not route.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let shared = first == 100 && second & 0xC0 == 64;
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast()
                || shared
        }
        IpAddr::V6(address) => {
            address
                .to_ipv4_mapped()
                .is_some_and(|inner| is_private(inner.into()))
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_multicast()
        }
    }
}

/// Looks names up, and keeps what they may not lead to from being connected to: checked here, it holds for
/// the address that is used and not for one that the name had a moment ago.
#[derive(Clone, Debug)]
struct Resolver {
    allow_private: bool,
}

type Lookup = Pin<Box<dyn Future<Output = std::io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Lookup;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Lookup {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (refused, addresses): (Vec<_>, Vec<_>) =
                found.partition(|address| !allow_private && is_private(address.ip()));
            if addresses.is_empty() && !refused.is_empty() {
                return Err(std::io::Error::other(private(name.as_str())));
            }
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_internet_does_not_route_is_private() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("0.0.0.0", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:10.0.0.1", true),
            ("100.128.0.1", false),
            ("8.8.8.8", false),
            ("2606:4700::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the Standard Webhooks libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = Hmac::new_from_slice(&secret).unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = sign(&key, id, 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}

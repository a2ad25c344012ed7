//! The gateway with a certificate of its own: what it shows, what it refuses, and how it is renewed.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::Scene;
use crate::commands::refused;
use crate::support::certificates::self_signed;
use crate::support::until;

const REQUEST: &str = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A new key, and a certificate that it has signed for `localhost`.
fn make(directory: &Path, name: &str) {
    let extensions = [
        "subjectAltName=DNS:localhost",
        "basicConstraints=critical,CA:FALSE",
    ];
    self_signed(directory, name, &extensions);
}

/// What is answered to a client that trusts this certificate alone; `None` if it does not trust what it is shown.
fn ask(address: &str, trusted: &Path) -> Option<String> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(trusted).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    if let Err(error) = stream.write_all(REQUEST.as_bytes()) {
        assert!(error.to_string().contains("certificate"), "{error}");
        return None;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer)
}

fn identity(directory: &Path, certificate: &str, private_key: &str) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    format!(
        "certificate = \"{}\"\nprivate_key = \"{}\"\nheader_timeout = \"1s\"",
        path(certificate),
        path(private_key)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_and_renewed_without_a_restart() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    let file = |name: &str| directory.join(name);
    for name in ["server", "renewed"] {
        make(directory, name);
    }
    let first = file("first.crt");
    fs::copy(file("server.crt"), &first).unwrap();
    let limits = identity(directory, "server.crt", "server.key");
    let mut scene = Scene::start("tls", &limits).await;
    let address = scene.address();
    let answer = ask(&address, &first).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // Whoever speaks in plain text, or says nothing, is not answered, and holds nothing.
    for said in [REQUEST, ""] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{said}");
        }
        assert!(!answer.starts_with(b"HTTP"), "{said}");
    }

    // Half of a renewal is none: the certificate of before is shown until both files are there.
    fs::copy(file("renewed.crt"), file("server.crt")).unwrap();
    until("the half to be seen", async || {
        assert!(ask(&address, &first).is_some());
        scene
            .process
            .log()
            .contains("a changed certificate is not used")
    })
    .await;
    fs::copy(file("renewed.key"), file("server.key")).unwrap();
    until("the renewed certificate to be shown", async || {
        ask(&address, &file("renewed.crt")).is_some()
    })
    .await;
    assert_eq!(ask(&address, &first), None);
    assert!(scene.process.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_is_named() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    for name in ["server", "other"] {
        make(directory, name);
    }
    let scene = Scene::start("tls_refused", "").await;
    let with = |more: &str| format!("{}{more}\n", scene.config);
    for (certificate, private_key, expected) in [
        (
            "absent.crt",
            "server.key",
            ["cannot read a certificate from", "gateway.certificate"],
        ),
        (
            "server.key",
            "server.key",
            ["cannot read a certificate from", "gateway.certificate"],
        ),
        (
            "server.crt",
            "server.crt",
            ["cannot read a private key from", "gateway.private_key"],
        ),
        (
            "server.crt",
            "other.key",
            ["is not that of", "gateway.private_key"],
        ),
    ] {
        let config = with(&identity(directory, certificate, private_key));
        refused(&["gateway"], &config, 2, &expected);
    }
    let config = with("certificate = \"server.crt\"");
    let expected = ["gateway.private_key", "set both for TLS, or neither"];
    refused(&["gateway"], &config, 2, &expected);
}

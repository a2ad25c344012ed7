//! TLS through rustls: libpq's meanings of `sslmode`, client certificates, and the channel binding.
//!
//! | sslmode | chain checked | name checked |
//! |---|---|---|
//! | prefer, require | only with `sslrootcert` | no |
//! | verify-ca | yes | no |
//! | verify-full | yes | yes |
//!
//! The handshake's own signature is checked in every mode.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{Error, Tls, TlsMode};

/// Wraps `stream` in TLS; also gives the `tls-server-end-point` hash of the server's certificate.
pub(super) async fn handshake(
    tls: &Tls,
    host: &str,
    name: &str,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, Option<Vec<u8>>), Error> {
    let failed = |source| Error::Tls {
        host: host.to_owned(),
        source,
    };
    let config = client_config(tls)?;
    let server_name = ServerName::try_from(name.to_owned());
    let server_name =
        server_name.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector
        .connect(server_name, stream)
        .await
        .map_err(failed)?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let end_point = certificates
        .first()
        .and_then(|certificate| end_point(certificate));
    Ok((stream, end_point))
}

fn client_config(tls: &Tls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(tls, Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| file_error("sslmode", Path::new(""), source))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    // The URL parser sees to it that there are both or none.
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = read_certificates("sslcert", certificate)?;
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|source| file_error("sslkey", key, source))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|source| file_error("sslcert", certificate, source))
}

fn read_certificates(
    parameter: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|source| file_error(parameter, path, source))?;
    if certificates.is_empty() {
        return Err(file_error(parameter, path, "it holds no certificate"));
    }
    Ok(certificates)
}

fn file_error(
    parameter: &'static str,
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::TlsFile {
        parameter,
        path: path.to_owned(),
        source: source.into(),
    }
}

/// Checks as much of the server's certificate as the mode asks for.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Trusted roots; `None` when the chain is not checked.
    roots: Option<Roots>,
    name: bool,
}

#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    /// The same, whole: a self-signed server certificate may be its own root.
    certificates: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(tls: &Tls, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let checked = matches!(tls.mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        let roots = match &tls.root_certificate {
            Some(path) => Some(Roots::from_file(path)?),
            None if checked => Some(Roots::of_the_system()?),
            None => None,
        };
        Ok(Verifier {
            provider,
            roots,
            name: tls.mode == TlsMode::VerifyFull,
        })
    }
}

impl Roots {
    fn from_file(path: &Path) -> Result<Self, Error> {
        let certificates = read_certificates("sslrootcert", path)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            let added = store.add(certificate.clone());
            added.map_err(|source| file_error("sslrootcert", path, source))?;
        }
        Ok(Roots {
            store,
            certificates,
        })
    }

    fn of_the_system() -> Result<Self, Error> {
        let certificates = rustls_native_certs::load_native_certs().certs;
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(certificates.iter().cloned());
        if usable == 0 {
            let nothing = "the operating system has no trusted roots: set sslrootcert";
            return Err(file_error("sslrootcert", Path::new("system"), nothing));
        }
        Ok(Roots {
            store,
            certificates,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots.store,
            intermediates,
            now,
            algorithms,
        );
        // webpki refuses a root as the server's own certificate, which openssl accepts; a certificate
        // that was configured byte for byte needs no chain, only to be valid now.
        if let Err(error) = chain {
            if !roots.certificates.iter().any(|root| root == end_entity) {
                return Err(error);
            }
            valid_at(end_entity, now)?;
        }
        if self.name {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn valid_at(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let parsed = Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// RFC 5929, section 4.1: the certificate's hash by its own signature's algorithm, SHA-256 in place of
/// weaker ones; `None` where the algorithm names no single hash.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let hash = match parsed.signature_algorithm.oid.to_string().as_str() {
        // md5, sha1 and sha256 with rsa; ecdsa with sha1 and sha256
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(certificate).to_vec(),
        _ => return None,
    };
    Some(hash)
}

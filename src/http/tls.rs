//! TLS of a listener. Its certificate is read again when the files change, so that one that is renewed needs no
//! restart; open connections keep the one they began with.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::settings::Identity;
use crate::telemetry;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read, or holds nothing of that kind.
    #[error("cannot read {what} from {file} ({section}.{key}): it has to be in PEM")]
    Unreadable {
        /// `a certificate` or `a private key`.
        what: &'static str,
        /// Where it should be.
        file: String,
        /// The server's section.
        section: &'static str,
        /// The setting that names the file.
        key: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// They do not fit each other.
    #[error(
        "the private key {private_key} ({section}.private_key) is not that of {certificate} \
         ({section}.certificate), or of a kind that tls has not"
    )]
    Mismatch {
        /// One file.
        private_key: String,
        /// The other.
        certificate: String,
        /// The server's section.
        section: &'static str,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// How TLS is spoken with whoever connects, and HTTP/1.1 within.
pub(super) fn server(
    identity: Identity,
    section: &'static str,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let renewed = Renewed::read(identity, section)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "both versions are compiled in")]
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of tls");
    let mut config = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(renewed));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// When both files were written last.
type Written = [Option<SystemTime>; 2];

/// A certificate that follows its files.
#[derive(Debug)]
struct Renewed {
    identity: Identity,
    section: &'static str,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    written: Written,
    looked: Instant,
}

impl Renewed {
    fn read(identity: Identity, section: &'static str) -> Result<Renewed, IdentityError> {
        let written = written(&identity);
        let key = Arc::new(read(&identity, section)?);
        let looked = Instant::now();
        Ok(Renewed {
            identity,
            section,
            current: Mutex::new(Current {
                key,
                written,
                looked,
            }),
        })
    }

    /// The certificate of now; while the files are not whole, the one before.
    fn at(&self, now: Instant) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(current.looked) >= LOOK_EVERY {
            current.looked = now;
            self.look(&mut current);
        }
        Arc::clone(&current.key)
    }

    /// Takes up files that have changed, once they fit each other.
    fn look(&self, current: &mut Current) {
        let written = written(&self.identity);
        if written == current.written {
            return;
        }
        match read(&self.identity, self.section) {
            Ok(key) => {
                (current.key, current.written) = (Arc::new(key), written);
                tracing::info!(section = self.section, "the certificate was renewed");
            }
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::warn!(%error, "a changed certificate is not used");
            }
        }
    }
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Instant::now()))
    }
}

fn written(identity: &Identity) -> Written {
    let time = |file: &Path| file.metadata().and_then(|data| data.modified()).ok();
    [time(&identity.certificate), time(&identity.private_key)]
}

fn read(identity: &Identity, section: &'static str) -> Result<CertifiedKey, IdentityError> {
    let unreadable = |what, key, file: &Path| {
        let file = file.display().to_string();
        move |source| IdentityError::Unreadable {
            what,
            file,
            section,
            key,
            source,
        }
    };
    let chain = CertificateDer::pem_file_iter(&identity.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                return Err(pem::Error::NoItemsFound);
            }
            Ok(chain)
        });
    let chain = chain.map_err(unreadable(
        "a certificate",
        "certificate",
        &identity.certificate,
    ))?;
    let private_key = PrivateKeyDer::from_pem_file(&identity.private_key);
    let private_key = private_key.map_err(unreadable(
        "a private key",
        "private_key",
        &identity.private_key,
    ))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, private_key, &provider).map_err(|source| {
        IdentityError::Mismatch {
            private_key: identity.private_key.display().to_string(),
            certificate: identity.certificate.display().to_string(),
            section,
            source,
        }
    })
}

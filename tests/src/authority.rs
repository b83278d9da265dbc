//! Certificates for scripted servers: one that fits, and one for each way not to. The real servers have theirs from `setup/certificates.sh`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `localhost` and `127.0.0.1`.
    Localhost,
    /// `elsewhere.example`.
    Elsewhere,
    /// `localhost` and `127.0.0.1`, until the end of 2020.
    Expired,
}

/// A certificate with its key, as a server uses it.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
}

impl Authority {
    /// A new one; two are strangers to each other.
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(1);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each its own name: by the name a client finds the key to check with.
        let name = format!("a test's authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("the authority's certificate can be made");
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// What a client has to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate.
    pub fn issue(&self, subject: Subject) -> Identity {
        let names = match subject {
            Subject::Localhost | Subject::Expired => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            Subject::Elsewhere => vec!["elsewhere.example".to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("the names are good");
        params.not_before = date_time_ymd(2020, 1, 1);
        if subject == Subject::Expired {
            params.not_after = date_time_ymd(2020, 12, 31);
        }
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("the certificate can be made");
        Identity::of(certificate.der().clone(), &PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

impl Identity {
    /// Any certificate with its key, also one that no careful program would take.
    pub fn of(certificate: CertificateDer<'static>, key: &PrivateKeyDer<'_>) -> Self {
        let key = rustls::crypto::ring::sign::any_supported_type(key).expect("a key of a usual kind");
        let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        Self { config: Arc::new(config) }
    }

    /// What `openssl req -x509` makes: the server's own certificate, which says that it is an authority. With its PEM.
    pub fn self_signed(name: &str) -> (Self, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("the name is good");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("the certificate can be made");
        let identity = Self::of(certificate.der().clone(), &PrivateKeyDer::Pkcs8(key.serialize_der().into()));
        (identity, certificate.pem())
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection that a server answers on.
pub(crate) trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// The server's end of an accepted connection. The handshake happens with the first read.
pub(crate) fn accept(stream: TcpStream, identity: Option<&Identity>) -> io::Result<Box<dyn Duplex>> {
    let Some(identity) = identity else { return Ok(Box::new(stream)) };
    let connection = ServerConnection::new(Arc::clone(&identity.config)).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

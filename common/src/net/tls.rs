//! TLS settings turned into what a client needs: roots, own certificate, whether to check. No connection is made here.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::files::{SECRET_LIMIT, read_bytes};
use crate::process::settings::Tls;

/// What the certificate files hold, read once.
#[derive(Debug)]
pub struct Material {
    /// The roots of `CA_FILE`, which replace the bundled ones; `None` = the bundled ones.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The client's chain and key.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Reads and checks the certificate files.
pub fn read(tls: &Tls) -> Result<Material> {
    let roots = tls.ca_file.as_deref().map(certificates).transpose()?;
    let client = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => Some((certificates(cert)?, private_key(key)?)),
        _ => None,
    };
    Ok(Material { roots, client })
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    read_bytes(path, SECRET_LIMIT).map_err(anyhow::Error::msg)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    let found = found.with_context(|| format!("{} is not PEM", path.display()))?;
    if found.is_empty() {
        bail!("{} holds no certificate: it must be PEM with BEGIN CERTIFICATE", path.display());
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&bytes(path)?)
        .with_context(|| format!("{} holds no usable private key: it must be unencrypted PEM", path.display()))
}

/// A rustls configuration for connections that are not HTTP.
pub fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>> {
    let material = read(tls)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("ring supports the default protocol versions")?;
    let verifier: Arc<dyn ServerCertVerifier> = if tls.insecure {
        Arc::new(Unchecked(provider))
    } else {
        let mut roots = RootCertStore::empty();
        let own = material.roots.unwrap_or_default();
        for root in &own {
            roots.add(root.clone()).context("CA_FILE holds a certificate that cannot be a root")?;
        }
        if own.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Arc::new(Checked { chain, roots: own, any_name: tls.any_name })
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match material.client {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            rustls::Error::InvalidCertificate(bad) => anyhow!("CERT_FILE cannot be used: {}", refused(&bad)),
            other => anyhow!("CERT_FILE and KEY_FILE do not belong together ({other})"),
        })?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// A sentence for a TLS error, and whether it is one that waiting cannot change.
#[must_use]
pub fn explain(error: &rustls::Error) -> (String, bool) {
    use rustls::{AlertDescription as Alert, Error};
    match error {
        Error::InvalidCertificate(bad) => {
            (format!("the server's certificate was not accepted: {}", refused(bad)), true)
        }
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::AccessDenied
            | Alert::HandshakeFailure,
        ) => (
            format!(
                "the server refused the TLS handshake ({error}): does it want a client certificate (…_CERT_FILE and …_KEY_FILE) that it trusts?"
            ),
            true,
        ),
        Error::InvalidMessage(_) => {
            ("the server does not speak TLS on this port: is it a plain-text port?".into(), false)
        }
        other => (format!("TLS failed: {other}"), false),
    }
}

/// Why a certificate cannot be used, and what to do about it.
fn refused(bad: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Bad;
    let inside = |bad: &rustls::OtherError| bad.0.downcast_ref::<webpki::Error>().cloned();
    match bad {
        Bad::UnknownIssuer => {
            "its issuer is not trusted: set …_CA_FILE to the PEM file of the authority that signed it".into()
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            format!("it is for another name ({bad}): use a name that the certificate lists")
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "it has expired: renew it (or set this machine's clock)".into(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "it is not valid yet: is this machine's clock right?".into()
        }
        Bad::Other(other) => match inside(other) {
            Some(webpki::Error::UnsupportedCertVersion) => {
                "it is of X.509 version 1: make one of version 3, with the server's name as its subject alternative name"
                    .into()
            }
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "it is an authority's own: give …_CA_FILE exactly this certificate, or have the authority sign one for the server".into()
            }
            Some(other) => format!("it cannot be used ({other})"),
            None => "it cannot be used".into(),
        },
        Bad::BadSignature => "its signature does not hold, or is of a kind that is not taken any more".into(),
        Bad::BadEncoding => "it cannot be read".into(),
        other => format!("{other}"),
    }
}

/// Finds a TLS error inside an I/O error.
#[must_use]
pub fn inside(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// Checks the chain, and the name unless any will do. A certificate that is itself one of the roots given is trusted, also where it is an
/// authority's: that is how people make their first one (`openssl req -x509`), and Kafka's own clients take it.
#[derive(Debug)]
struct Checked {
    chain: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
    any_name: bool,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError as Bad;
        let checked = if self.roots.iter().any(|root| root == cert) {
            let parsed = ParsedCertificate::try_from(cert)?;
            verify_server_name(&parsed, name).map(|()| ServerCertVerified::assertion())
        } else {
            self.chain.verify_server_cert(cert, intermediates, name, stapled, now)
        };
        match checked {
            // The name is what is looked at last: all else holds.
            Err(rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }))
                if self.any_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Accepts any certificate: `…_INSECURE=true`, warned about on every run.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Whoever is not checked need not prove either that the key is theirs; and only certificates of version 3 could be asked.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

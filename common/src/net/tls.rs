//! TLS settings turned into what a client needs: roots, own certificate, whether to check. No connection is made here.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::files::{SECRET_LIMIT, read_bytes};
use crate::process::settings::{Check, Tls};

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

/// A rustls configuration for the connections to one server.
pub fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("ring supports the default protocol versions")?;
    let verifier: Arc<dyn ServerCertVerifier> = match tls.check {
        Check::Nothing => Arc::new(Unchecked(provider)),
        Check::Everything | Check::Chain => Arc::new(Checked::new(tls, provider)?),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(|error| match error {
                rustls::Error::InvalidCertificate(bad) => {
                    anyhow::anyhow!("CERT_FILE cannot be used: {}", why_not(&bad))
                }
                _ => anyhow::anyhow!("CERT_FILE and KEY_FILE do not belong together"),
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// A sentence for a TLS error, and whether it is one that waiting cannot change.
#[must_use]
pub fn explain(error: &rustls::Error) -> (String, bool) {
    use rustls::{AlertDescription as Alert, Error};
    match error {
        Error::InvalidCertificate(bad) => {
            (format!("the server's certificate was not accepted: {}", why_not(bad)), true)
        }
        Error::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::AccessDenied
            | Alert::HandshakeFailure),
        ) => (
            format!(
                "the server refused the TLS handshake ({}): does it want a client certificate (…_CERT_FILE and …_KEY_FILE) that it trusts?",
                words(alert)
            ),
            true,
        ),
        Error::AlertReceived(alert) => (format!("the server broke off the TLS handshake ({})", words(alert)), false),
        Error::InvalidMessage(_) => {
            ("the server does not speak TLS on this port: is it a plain-text port?".into(), false)
        }
        Error::PeerIncompatible(why) => {
            (format!("the server speaks no TLS that is spoken here ({})", words(why)), false)
        }
        Error::PeerMisbehaved(why) => (format!("the server does not keep to TLS ({})", words(why)), false),
        other => (format!("TLS failed: {other}"), false),
    }
}

/// Why a certificate is not accepted, and what to do about it.
fn why_not(bad: &CertificateError) -> String {
    use CertificateError as Bad;
    match bad {
        Bad::UnknownIssuer => {
            "its issuer is not trusted: set …_CA_FILE to the PEM file of the authority that signed it".to_owned()
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            format!(
                "it is for another name ({bad}): use a name that the certificate lists, or accept any name with …_VERIFY_HOSTNAME=false"
            )
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "it has expired: renew it (or set this machine's clock)".into(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "it is not valid yet: is this machine's clock right?".into()
        }
        Bad::BadSignature => "its signature is wrong: did another authority of the same name sign it?".into(),
        Bad::BadEncoding => "it cannot be read: is it an X.509 certificate of version 3?".into(),
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "it is not for servers: issue one with the extended key usage serverAuth".into()
        }
        Bad::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::UnsupportedCertVersion) => {
                "it is of X.509 version 1: make one of version 3, with the server's name as its subject alternative name".into()
            }
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "it is an authority's own (CA:TRUE): put this very certificate into …_CA_FILE, or issue one for the server".into()
            }
            Some(why) => words(why),
            None => other.0.to_string(),
        },
        other => words(other),
    }
}

/// The name of a variant as words: `NoCipherSuitesInCommon` is "no cipher suites in common".
fn words(variant: &impl std::fmt::Debug) -> String {
    let name = format!("{variant:?}");
    let name = name.split(['(', '{', ' ']).next().unwrap_or_default();
    let mut words = String::new();
    for (index, c) in name.char_indices() {
        if c.is_ascii_uppercase() && index > 0 {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// Finds a TLS error inside an I/O error.
#[must_use]
pub fn inside(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// Checks a server's certificate, with what people have: no name where that was asked for, and the server's own certificate as its root.
#[derive(Debug)]
struct Checked {
    inner: Arc<WebPkiServerVerifier>,
    check: Check,
    /// The certificates of `…_CA_FILE`, as they stand there.
    own: Vec<CertificateDer<'static>>,
}

impl Checked {
    fn new(tls: &Tls, provider: Arc<CryptoProvider>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let mut own = Vec::new();
        match &tls.ca_file {
            Some(file) => {
                own = certificates(file)?;
                for root in &own {
                    roots
                        .add(root.clone())
                        .with_context(|| format!("{} holds a certificate that cannot be a root", file.display()))?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { inner, check: tls.check, own })
    }
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::{CertificateError as Bad, Error};
        let verdict = match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // `openssl req -x509` makes CA:TRUE: as the very certificate that is trusted, it may be the server's. The dates are checked before.
            Err(Error::InvalidCertificate(Bad::Other(why)))
                if why.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
                    && self.own.iter().any(|own| own == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)
                    .map(|()| ServerCertVerified::assertion())
            }
            verdict => verdict,
        };
        match verdict {
            // The name is what is looked at last.
            Err(Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }))
                if self.check == Check::Chain =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts any certificate, of any version: `…_INSECURE=true`, warned about on every run. Whoever may bring any certificate may sign with
/// any key, so that signatures are not checked either.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_words() {
        assert_eq!(words(&rustls::PeerIncompatible::NoCipherSuitesInCommon), "no cipher suites in common");
        assert_eq!(words(&CertificateError::Revoked), "revoked");
        let other = |error: webpki::Error| CertificateError::Other(rustls::OtherError(Arc::new(error)));
        assert!(why_not(&other(webpki::Error::UnsupportedCertVersion)).contains("version 1"));
        assert!(why_not(&other(webpki::Error::CaUsedAsEndEntity)).contains("CA:TRUE"));
        assert_eq!(why_not(&other(webpki::Error::BadDerTime)), "bad der time");
    }
}

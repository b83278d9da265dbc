//! What a client needs before it can connect: names, certificates, the header that logs in.

use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::files::{SECRET_LIMIT, read_bytes};
use crate::net::lookup;
use crate::net::tls;
use crate::process::settings::{Login, Tls};

pub(super) fn authorization(login: &Login) -> Option<String> {
    match login {
        Login::Anonymous => None,
        Login::Basic(user, password) => {
            let pair = format!("{user}:{}", password.reveal());
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            // A careless proxy says back the headers that it was sent.
            crate::output::secret::hide(&encoded);
            Some(format!("Basic {encoded}"))
        }
        Login::Bearer(token) => Some(format!("Bearer {}", token.reveal())),
    }
}

pub(super) fn tls_config(tls: &Tls) -> Result<ureq::tls::TlsConfig> {
    use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
    let material = tls::read(tls)?;
    let own = |der: &[u8]| Certificate::from_der(der).to_owned();
    let mut builder = TlsConfig::builder().disable_verification(tls.insecure);
    if let Some(roots) = material.roots {
        let roots: Vec<Certificate<'static>> = roots.iter().map(|der| own(der)).collect();
        builder = builder.root_certs(RootCerts::Specific(Arc::new(roots)));
    }
    if let (Some((chain, _)), Some(path)) = (&material.client, &tls.key_file) {
        let chain: Vec<Certificate<'static>> = chain.iter().map(|der| own(der)).collect();
        let pem = read_bytes(path, SECRET_LIMIT).map_err(anyhow::Error::msg)?;
        let key =
            PrivateKey::from_pem(&pem).with_context(|| format!("{} holds no usable private key", path.display()))?;
        builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(builder.build())
}

/// Looks names up by [`lookup::resolve`].
#[derive(Debug)]
pub(super) struct Names;

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let found = lookup::resolve(host, port, *timeout.after).map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(16) {
            addresses.push(address);
        }
        Ok(addresses)
    }
}

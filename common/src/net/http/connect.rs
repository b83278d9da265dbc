//! What a client needs before it can connect: names, and the header that logs in.

use base64::Engine;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::net::lookup;
use crate::process::settings::Login;

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

//! When Grafana is ready: healthy, an authenticated answer, and from 12 on the resource API. Nothing here writes.

use std::time::{Duration, Instant};

use common::net::http::{Client, PROBE_LIMIT, Reply};
use common::net::wait::{PASSWORD_TRIES, Probe};
use serde_json::Value;

/// What readiness found out about the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// `12.4.0`; empty when the server hides it.
    pub(crate) version: String,
    /// The organization that answers.
    pub(crate) org: i64,
    /// The preferred version of the dashboard resource; `None` where there is no such API.
    pub(crate) resources: Option<String>,
}

impl Found {
    /// Major and minor version; a server that hides its version is taken for a new one if it has resources.
    pub(crate) fn number(&self) -> (u32, u32) {
        let mut parts = self.version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        match (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) {
            (0, _) if self.resources.is_some() => (12, 0),
            (0, _) => (11, 6),
            number => number,
        }
    }

    /// Says so when the server is older than what is tested.
    pub(crate) fn warn_if_old(&self) {
        let (major, _) = self.number();
        if !(10..=13).contains(&major) {
            let text = format!("the server is Grafana {}; tested are 10 to 12, 13 by its documentation", self.version);
            log::warn!(detail = text; "server");
        }
    }
}

/// One probe: a handful of requests. The first that needs credentials is one that an anonymous visitor may not ask: where the server
/// lets visitors in, it takes whoever gives a wrong password for one (11.6, 12.4). It comes first, for each refused answer counts
/// towards the lock of the login.
pub(crate) fn probe(client: &Client, limit: Duration) -> Result<Found, Probe> {
    let end = Instant::now() + limit;
    let health = ask(client, "/api/health", end)?;
    if health["database"] != "ok" {
        return Err(Probe::NotReady(format!("{} says that its database is {}", client.base(), health["database"])));
    }
    let mut found = Found { version: health["version"].as_str().unwrap_or_default().to_owned(), ..Found::default() };
    if client.logs_in() {
        let (path, mut let_in) = ("/api/user", false);
        let answer = client.ask(path, PROBE_LIMIT, end, |reply| {
            // Who may not see the profile, a service account for one, has logged in all the same.
            let_in = matches!(reply.status, 403 | 404) && !reply.is_html();
            refused(client.base(), client.login_tries(), path, reply)
        });
        if !let_in {
            answer?;
        }
    }
    let org = ask(client, "/api/org", end)?;
    found.org = org["id"].as_i64().unwrap_or_default();
    if found.org == 0 {
        return Err(Probe::NotReady(format!("{} answers, but not as Grafana does", client.base())));
    }
    if found.version.is_empty() {
        // `hide_version` hides it from strangers only.
        let settings = ask(client, "/api/frontend/settings", end)?;
        settings["buildInfo"]["version"].as_str().unwrap_or_default().clone_into(&mut found.version);
    }
    if found.version.is_empty() || found.number().0 >= 12 {
        found.resources = match ask(client, "/apis/dashboard.grafana.app/", end) {
            Ok(group) => Some(group["preferredVersion"]["version"].as_str().unwrap_or("v1beta1").to_owned()),
            // A server without a version may well be an 11, which has no such API.
            Err(_) if found.version.is_empty() => None,
            Err(probe) => return Err(probe),
        };
    }
    Ok(found)
}

fn ask(client: &Client, path: &str, end: Instant) -> Result<Value, Probe> {
    client.ask(path, PROBE_LIMIT * 32, end, |reply| refused(client.base(), client.login_tries(), path, reply))
}

const LOCKS: &str =
    " After five failures Grafana locks a login for five minutes and refuses the right password as well";

fn refused(base: &str, tries: u32, path: &str, reply: &Reply) -> Probe {
    let status = reply.status;
    if (300..400).contains(&status) {
        let to = reply.location.as_deref().unwrap_or("elsewhere");
        let who = if to.contains("login") { "is that a login page?" } else { "is GRAFANA_URL the address behind it?" };
        return Probe::NotReady(format!("{base} redirects {path} to {to}: {who}"));
    }
    if reply.is_html() {
        return Probe::NotReady(format!(
            "{base} answers {path} with a web page (status {status}, {}), not with the API: does a proxy or login page stand in between?",
            reply.content_type
        ));
    }
    let words = reply.words(crate::dialect::explain);
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    match status {
        401 => Probe::Denied(format!(
            "{base} refuses these credentials (401{words}): are GRAFANA_USERNAME and GRAFANA_PASSWORD, or GRAFANA_TOKEN, right?{}",
            if tries == PASSWORD_TRIES { LOCKS } else { "" }
        )),
        403 => Probe::Denied(format!(
            "{base} forbids GET {path} (403{words}): is GRAFANA_ORG_ID an organization that this user is in?"
        )),
        _ => Probe::NotReady(format!("{base} answers {status} to {path}{words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let says = |status, content_type: &str, location: Option<&str>, body: &str| {
            let location = location.map(str::to_owned);
            let content_type = content_type.to_owned();
            refused(
                "http://g",
                PASSWORD_TRIES,
                "/api/org",
                &Reply { status, body: body.into(), content_type, location, retry_after: None },
            )
        };
        assert!(matches!(says(302, "", Some("/login"), ""), Probe::NotReady(why) if why.contains("login page")));
        assert!(matches!(says(200, "text/html", None, "<html>"), Probe::NotReady(why) if why.contains("web page")));
        assert!(
            matches!(says(401, "", None, r#"{"message":"no"}"#), Probe::Denied(why) if why.contains("401: no") && why.contains("locks a login"))
        );
        assert!(
            matches!(says(503, "", None, "{\"message\":\"x\"}"), Probe::NotReady(why) if why.ends_with("/api/org: x"))
        );
    }

    #[test]
    fn hidden_versions_are_guessed_by_the_resource_api() {
        let of = |version: &str, resources: Option<&str>| {
            Found { version: version.into(), org: 1, resources: resources.map(str::to_owned) }.number()
        };
        assert_eq!(of("10.4.3", None), (10, 4));
        assert_eq!(of("12.4.0-pre", Some("v1beta1")), (12, 4));
        assert_eq!(of("", Some("v1")), (12, 0));
        assert_eq!(of("", None), (11, 6));
    }
}

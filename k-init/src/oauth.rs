//! Tokens for OAUTHBEARER: one that somebody else fetched, or those that a token endpoint gives for a client's id and secret. What a broker
//! says to a token is not known here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::engine::change::{Class, Failure};
use common::net::http::{Attempt, Call, Client, Dialect, Limits};
use common::net::retry::Deadline;
use common::output::secret::Secret;
use common::process::settings::{Env, Login, Server};
use serde_json::Value;

/// Where tokens come from, and what is said beside them.
pub(crate) struct Tokens {
    source: Source,
    extensions: String,
}

enum Source {
    Fixed(Secret),
    Endpoint { client: Box<Client>, form: String, host: String, held: Mutex<Option<(Secret, Deadline)>> },
}

/// The endpoint has that long to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// `KAFKA_OAUTH_…`, or the same keys of a Java client's file.
pub(crate) fn settings(env: &mut Env, file: &BTreeMap<String, String>) -> Option<Tokens> {
    const NAMES: [&str; 4] =
        ["KAFKA_OAUTH_TOKEN_URL", "KAFKA_OAUTH_CLIENT_ID", "KAFKA_OAUTH_SCOPE", "KAFKA_OAUTH_EXTENSIONS"];
    let [url, id, scope, extensions] = NAMES.map(|name| env.text(name).or_else(|| file.get(name).cloned()));
    let secret = "KAFKA_OAUTH_CLIENT_SECRET";
    let secret = env.secret(secret).or_else(|| file.get(secret).map(Secret::new));
    let Some(url) = url else {
        if id.is_some() || secret.is_some() || scope.is_some() || extensions.is_some() {
            env.problem("KAFKA_OAUTH_… is set without KAFKA_OAUTH_TOKEN_URL");
        }
        return None;
    };
    let (Some(id), Some(secret)) = (id, secret) else {
        env.problem("KAFKA_OAUTH_TOKEN_URL needs KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET");
        return None;
    };
    let mut said = String::new();
    for pair in extensions.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((name, value))
                if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()) && name != "auth" =>
            {
                said += &format!("{name}={value}\x01");
            }
            _ => env.problem("KAFKA_OAUTH_EXTENSIONS: name=value, several with commas, and names of letters"),
        }
    }
    let tls = env.tls("KAFKA_OAUTH");
    let split = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(host) =
        split.map(|rest| rest.split(['/', '?']).next().unwrap_or_default()).filter(|host| !host.contains('@'))
    else {
        env.problem("KAFKA_OAUTH_TOKEN_URL: must be an http:// or https:// URL without a user");
        return None;
    };
    let host = host.to_owned();
    let server = Server { urls: vec![url.trim_end_matches('/').to_owned()], login: Login::Basic(id, secret), tls };
    let dialect = Dialect { judge: |_, _, _| None, explain: |_| None, code: |_| None };
    let limits = Limits { request: LIMIT, retries: 0 };
    let client = match Client::new(&server, limits, dialect, Arc::default()) {
        Ok(client) => Box::new(client),
        Err(error) => {
            env.problem(format!("KAFKA_OAUTH_…_FILE: {error:#}"));
            return None;
        }
    };
    let mut form = "grant_type=client_credentials".to_owned();
    if let Some(scope) = scope {
        form +=
            &format!("&scope={}", percent_encoding::utf8_percent_encode(&scope, percent_encoding::NON_ALPHANUMERIC));
    }
    Some(Tokens { source: Source::Endpoint { client, form, host, held: Mutex::default() }, extensions: said })
}

impl Tokens {
    /// A token that somebody else fetched.
    pub(crate) fn fixed(token: Secret) -> Self {
        Self { source: Source::Fixed(token), extensions: String::new() }
    }

    /// Names and values that go beside the token, each with its end.
    pub(crate) fn extensions(&self) -> &str {
        &self.extensions
    }

    /// A token that is good for a while. What the endpoint refuses is [`Class::Auth`]; all else may be asked again.
    pub(crate) fn token(&self) -> Result<Secret, Failure> {
        let (client, form, host, held) = match &self.source {
            Source::Fixed(token) => return Ok(token.clone()),
            Source::Endpoint { client, form, host, held } => (client, form, host, held),
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until)) = held.as_ref()
            && !until.passed()
        {
            return Ok(token.clone());
        }
        let call = Call::post("", form.clone()).header("content-type", "application/x-www-form-urlencoded").reads();
        let (status, body) = match client.attempt(&call, LIMIT) {
            Attempt::Answered(reply) => (reply.status, reply.body),
            Attempt::NotSent(why) | Attempt::Lost(why) | Attempt::Impossible(why) | Attempt::Nonsense(why) => {
                let text = format!("no token from {host}: {why}");
                return Err(Failure::new(Class::Again, text));
            }
        };
        let said: Value = serde_json::from_str(&body).unwrap_or_default();
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        if let (200, Some(token)) = (status, text("access_token")) {
            let token = Secret::new(token);
            // Half of its life: what is left must do for a login, and for the broker's own look at it.
            let seconds = said.get("expires_in").and_then(Value::as_u64).unwrap_or(60) / 2;
            *held = Some((token.clone(), Deadline::after(Duration::from_secs(seconds))));
            return Ok(token);
        }
        let class = if matches!(status, 400 | 401 | 403) { Class::Auth } else { Class::Again };
        let why = text("error").filter(|error| error.len() < 60).unwrap_or("it gives no token");
        Err(Failure::new(
            class,
            format!(
                "no token from {host}: status {status}: {why}; check KAFKA_OAUTH_CLIENT_ID, its secret and KAFKA_OAUTH_SCOPE"
            ),
        ))
    }
}

/// For [`crate::sasl::Login`], which is compared and shown where it is told apart.
impl PartialEq for Tokens {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Tokens {}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

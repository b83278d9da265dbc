//! The connection's settings: `KAFKA_*`, and a Java client's properties file where one is named. Checked whole; no connection is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::files::foreign::Declared;
use common::net::rotation::Rotation;
use common::net::tls;
use common::output::secret::Secret;
use common::process::settings::{Check, Env, Server, Tls};
use rustls::ClientConfig;

use crate::client::{Access, Address};
use crate::jaas;
use crate::oauth::{self, Tokens};
use crate::properties;
use crate::sasl::{Login, Scram};
use crate::strimzi::create_topics;

/// For `--help`.
pub(crate) const HELP: &str =
    "  KAFKA_BOOTSTRAP_SERVERS=kafka:9092 KAFKA_SECURITY_PROTOCOL=PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL
  KAFKA_SASL_MECHANISM=PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER KAFKA_USERNAME KAFKA_PASSWORD KAFKA_TOKEN
  KAFKA_OAUTH_TOKEN_URL KAFKA_OAUTH_CLIENT_ID KAFKA_OAUTH_CLIENT_SECRET KAFKA_OAUTH_SCOPE KAFKA_OAUTH_EXTENSIONS
  KAFKA_CA_FILE KAFKA_CERT_FILE KAFKA_KEY_FILE KAFKA_INSECURE=false KAFKA_VERIFY_HOSTNAME=true KAFKA_CLIENT_CONFIG
  MIN_BROKERS KAFKA_VERIFY_SERVERS SEED_SCAN_MAX=100000 KAFKA_CREATE_TOPICS=name:partitions:replicas:policy
  SECRETS_DIR=/run/secrets
  KAFKA_CONNECT_URL KAFKA_CONNECT_USERNAME KAFKA_CONNECT_PASSWORD KAFKA_CONNECT_CA_FILE";

/// What k-init is told of its cluster.
pub(crate) struct Settings {
    pub(crate) bootstrap: Vec<Address>,
    pub(crate) access: Access,
    /// `MIN_BROKERS`.
    pub(crate) min_brokers: Option<u32>,
    /// Where a declared user's password can be proven by logging in.
    pub(crate) verify: Option<Door>,
    /// `SEED_SCAN_MAX`.
    pub(crate) scan_max: u64,
    /// `KAFKA_CONNECT_URL`.
    pub(crate) connect: Option<Server>,
    /// `SECRETS_DIR`.
    pub(crate) secrets: PathBuf,
    /// `KAFKA_CREATE_TOPICS`.
    pub(crate) created: Vec<Declared>,
}

/// Servers, and whether they want TLS.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) addresses: Rotation<Address>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Protocol {
    tls: bool,
    sasl: bool,
}

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("PLAINTEXT", Protocol { tls: false, sasl: false }),
    ("SSL", Protocol { tls: true, sasl: false }),
    ("SASL_PLAINTEXT", Protocol { tls: false, sasl: true }),
    ("SASL_SSL", Protocol { tls: true, sasl: true }),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram(Scram),
    Bearer,
}

const MECHANISMS: [(&str, Mechanism); 4] = [
    ("PLAIN", Mechanism::Plain),
    ("SCRAM-SHA-256", Mechanism::Scram(Scram::Sha256)),
    ("SCRAM-SHA-512", Mechanism::Scram(Scram::Sha512)),
    ("OAUTHBEARER", Mechanism::Bearer),
];

const KNOWN: [&str; 4] =
    ["KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_CA_FILE"];

/// Reads the settings; what is wrong with them is noted in the environment.
pub(crate) fn read(env: &mut Env) -> Option<Settings> {
    let before = env.problems().len();
    let file = env.text("KAFKA_CLIENT_CONFIG").map(PathBuf::from);
    let file = file.map(|path| client_config(env, &path)).unwrap_or_default();
    let [bootstrap, protocol, mechanism, _] = KNOWN;

    let servers = env.text(bootstrap).or_else(|| file.get(bootstrap).cloned()).unwrap_or_else(|| "kafka:9092".into());
    let bootstrap = addresses(env, bootstrap, &servers);
    let protocol = chosen(env, &file, protocol, &PROTOCOLS).unwrap_or(PROTOCOLS[0].1);
    let mechanism = chosen(env, &file, mechanism, &MECHANISMS);
    let user = env.secret_text("KAFKA_USERNAME").or_else(|| file.get("KAFKA_USERNAME").cloned());
    let password = env.secret("KAFKA_PASSWORD").or_else(|| file.get("KAFKA_PASSWORD").map(Secret::new));
    let token = env.secret("KAFKA_TOKEN");
    let oauth = oauth::settings(env, &file);
    let delegated = file.contains_key(jaas::DELEGATION_TOKEN);
    let mut files = env.tls("KAFKA");
    let from_file = |name: &str| file.get(name).map(PathBuf::from);
    files.ca_file = files.ca_file.or_else(|| from_file("KAFKA_CA_FILE"));
    if files.cert_file.is_none() && files.key_file.is_none() {
        (files.cert_file, files.key_file) = (from_file("KAFKA_CERT_FILE"), from_file("KAFKA_KEY_FILE"));
    }

    let by_name = chosen(env, &file, "KAFKA_VERIFY_HOSTNAME", &[("true", true), ("false", false)]);
    if files.check == Check::Everything && by_name == Some(false) {
        files.check = Check::Chain;
        env.any_name("KAFKA");
    }

    unused(env, protocol, mechanism, (&user, &password, &token, &oauth), &files);
    let login = if protocol.sasl { login(env, mechanism, user, password, token, oauth) } else { None };
    let login = match login {
        Some(Login::Scram { scram, user, password, .. }) => Some(Login::Scram { scram, user, password, delegated }),
        other => other,
    };
    let config = if protocol.tls || files.ca_file.is_some() { tls_config(env, &files) } else { None };
    let access = Access { tls: config.clone().filter(|_| protocol.tls), login };

    let verify = match env.text("KAFKA_VERIFY_SERVERS") {
        Some(servers) => verify_door(env, &servers, protocol, config, &files),
        None if protocol.sasl => Some(Door { addresses: Rotation::new(bootstrap.clone()), tls: access.tls.clone() }),
        None => None,
    };
    let min_brokers = env.number("MIN_BROKERS");
    if min_brokers == Some(0) {
        env.problem("MIN_BROKERS must be at least 1");
    }
    let scan_max = env.number("SEED_SCAN_MAX").map_or(100_000, u64::from);
    let connect = env.server("KAFKA_CONNECT", None);
    let secrets = PathBuf::from(env.text("SECRETS_DIR").unwrap_or_else(|| "/run/secrets".into()));
    let created = env.text(create_topics::VARIABLE).map(|list| create_topics::declared(&list)).transpose();
    let created = created.unwrap_or_else(|error| {
        env.problem(format!("{}: {error}", create_topics::VARIABLE));
        None
    });
    let created = created.unwrap_or_default();
    let settings = Settings { bootstrap, access, min_brokers, verify, scan_max, connect, secrets, created };
    (env.problems().len() == before).then_some(settings)
}

/// A setting of a fixed set of words, from the environment or else from the Java client's file.
fn chosen<T: Clone>(env: &mut Env, file: &BTreeMap<String, String>, name: &str, choices: &[(&str, T)]) -> Option<T> {
    if let Some(found) = env.choice(name, choices) {
        return Some(found);
    }
    let value = file.get(name)?;
    let found = choices.iter().find(|(word, _)| word == value).map(|(_, choice)| choice.clone());
    if found.is_none() {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        env.problem(format!("KAFKA_CLIENT_CONFIG: {name} must be one of {}", words.join(", ")));
    }
    found
}

fn client_config(env: &mut Env, path: &Path) -> BTreeMap<String, String> {
    let (settings, problems) = properties::read(path);
    for problem in problems {
        env.problem(format!("KAFKA_CLIENT_CONFIG {}: {problem}", path.display()));
    }
    settings
}

/// What the protocol would not use is a mistake somewhere else: a login that never happens, a certificate that is never shown.
fn unused(
    env: &mut Env,
    protocol: Protocol,
    mechanism: Option<Mechanism>,
    (user, password, token, oauth): (&Option<String>, &Option<Secret>, &Option<Secret>, &Option<Tokens>),
    tls: &Tls,
) {
    if !protocol.sasl {
        let set = [
            ("KAFKA_SASL_MECHANISM", mechanism.is_some()),
            ("KAFKA_USERNAME", user.is_some()),
            ("KAFKA_PASSWORD", password.is_some()),
            ("KAFKA_TOKEN", token.is_some()),
            ("KAFKA_OAUTH_TOKEN_URL", oauth.is_some()),
        ];
        let set: Vec<&str> = set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect();
        if !set.is_empty() {
            let text = format!(
                "{} set, but KAFKA_SECURITY_PROTOCOL is one without a login: set it to SASL_SSL or SASL_PLAINTEXT",
                if set.len() == 1 { format!("{} is", set[0]) } else { format!("{} are", set.join(", ")) }
            );
            env.problem(text);
        }
    }
    let verifies = env.text("KAFKA_VERIFY_SERVERS").is_some();
    if !protocol.tls {
        let set = [
            ("KAFKA_CA_FILE", tls.ca_file.is_some() && !verifies),
            ("KAFKA_CERT_FILE", tls.cert_file.is_some()),
            ("KAFKA_INSECURE", tls.check == Check::Nothing && !verifies),
            ("KAFKA_VERIFY_HOSTNAME", tls.check == Check::Chain && !verifies),
        ];
        for (name, _) in set.into_iter().filter(|(_, set)| *set) {
            env.problem(format!(
                "{name} is set, but KAFKA_SECURITY_PROTOCOL is one without TLS: set it to SSL or SASL_SSL"
            ));
        }
    }
}

fn login(
    env: &mut Env,
    mechanism: Option<Mechanism>,
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    oauth: Option<Tokens>,
) -> Option<Login> {
    let Some(mechanism) = mechanism else {
        let words: Vec<&str> = MECHANISMS.iter().map(|(word, _)| *word).collect();
        env.problem(format!(
            "KAFKA_SECURITY_PROTOCOL wants a login: set KAFKA_SASL_MECHANISM to one of {}",
            words.join(", ")
        ));
        return None;
    };
    if mechanism != Mechanism::Bearer && oauth.is_some() {
        env.problem("KAFKA_OAUTH_TOKEN_URL is used by OAUTHBEARER only: set KAFKA_SASL_MECHANISM, or remove it");
        return None;
    }
    match (mechanism, user, password, token) {
        (Mechanism::Bearer, None, None, token) => match (token, oauth) {
            (Some(token), None) => Some(Login::Bearer { tokens: Arc::new(Tokens::fixed(token)) }),
            (None, Some(tokens)) => Some(Login::Bearer { tokens: Arc::new(tokens) }),
            (Some(_), Some(_)) => {
                env.problem("KAFKA_TOKEN and KAFKA_OAUTH_TOKEN_URL are both set: keep one of them");
                None
            }
            (None, None) => {
                env.problem(
                    "OAUTHBEARER needs KAFKA_TOKEN, KAFKA_TOKEN_FILE, or KAFKA_OAUTH_TOKEN_URL with its client",
                );
                None
            }
        },
        (Mechanism::Bearer, ..) => {
            env.problem("OAUTHBEARER uses a token alone: KAFKA_USERNAME and KAFKA_PASSWORD would not be used");
            None
        }
        (_, _, _, Some(_)) => {
            env.problem("KAFKA_TOKEN is used by OAUTHBEARER only: set KAFKA_SASL_MECHANISM, or remove it");
            None
        }
        (Mechanism::Plain, Some(user), Some(password), None) => Some(Login::Plain { user, password }),
        (Mechanism::Scram(scram), Some(user), Some(password), None) => {
            Some(Login::Scram { scram, user, password, delegated: false })
        }
        (_, user, password, None) => {
            let missing = if user.is_none() { "KAFKA_USERNAME" } else { "KAFKA_PASSWORD" };
            let both = if user.is_none() && password.is_none() { " and KAFKA_PASSWORD are" } else { " is" };
            env.problem(format!("the login lacks what it needs: {missing}{both} not set"));
            None
        }
    }
}

fn tls_config(env: &mut Env, files: &Tls) -> Option<Arc<ClientConfig>> {
    match tls::client_config(files) {
        Ok(config) => Some(config),
        Err(error) => {
            env.problem(format!("KAFKA_…_FILE: {error:#}"));
            None
        }
    }
}

/// `KAFKA_VERIFY_SERVERS`: `host:port,…` on a listener with TLS if ours has it; `SASL_SSL://` or `SASL_PLAINTEXT://` before it says which.
fn verify_door(
    env: &mut Env,
    servers: &str,
    protocol: Protocol,
    config: Option<Arc<ClientConfig>>,
    files: &Tls,
) -> Option<Door> {
    let (encrypted, list) = match servers.split_once("://") {
        Some(("SASL_SSL", list)) => (true, list),
        Some(("SASL_PLAINTEXT", list)) => (false, list),
        Some((other, _)) => {
            env.problem(format!("KAFKA_VERIFY_SERVERS: {other}:// must be SASL_SSL:// or SASL_PLAINTEXT://"));
            return None;
        }
        None => (protocol.tls, servers),
    };
    let addresses = Rotation::new(addresses(env, "KAFKA_VERIFY_SERVERS", list));
    let tls = match (encrypted, config) {
        (false, _) => None,
        (true, Some(config)) => Some(config),
        (true, None) => Some(tls_config(env, files)?),
    };
    Some(Door { addresses, tls })
}

fn addresses(env: &mut Env, name: &str, list: &str) -> Vec<Address> {
    let mut found = Vec::new();
    // A password may have a comma: nothing is quoted of a list that may hold one.
    let quotable = !list.contains('@') && !list.contains("//");
    for (index, one) in list.split(',').map(str::trim).filter(|one| !one.is_empty()).enumerate() {
        match address(one) {
            Ok(address) => found.push(address),
            Err(error) if quotable => env.problem(format!("{name}: {one}: {error}")),
            Err(error) => env.problem(format!("{name}: entry {}: {error}", index + 1)),
        }
    }
    if found.is_empty() && !list.chars().any(|c| !c.is_whitespace() && c != ',') {
        env.problem(format!("{name} names no server"));
    }
    found
}

fn address(text: &str) -> Result<Address, String> {
    let wrong = || "must be host:port".to_owned();
    if text.contains("://") || text.contains('/') || text.contains('@') {
        return Err("must be host:port, without a scheme, a user or a path".into());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if host.is_empty() || bare.is_none() && host.contains(':') {
        return Err("must be host:port; an IPv6 address stands in brackets, as in [::1]:9092".into());
    }
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    Ok(Address { host: bare.unwrap_or(host).to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut env = Env::of_pairs(pairs);
        let settings = read(&mut env);
        assert_eq!(settings.is_some(), env.problems().is_empty());
        env.problems().to_vec()
    }

    #[test]
    fn addresses_are_host_and_port() {
        let shown = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(shown("kafka:9092").as_deref(), Ok("kafka:9092"));
        assert_eq!(shown("[::1]:9092").as_deref(), Ok("[::1]:9092"));
        for wrong in [
            "kafka",
            "kafka:",
            ":9092",
            "::1:9092",
            "kafka:0",
            "kafka:99999",
            "http://kafka:9092",
            "PLAINTEXT://kafka:9092",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_quoted() {
        for servers in ["SASL_SSL://u:S3cr3t@h:9092", "u:S3cr3t@h:9092", "a:1,u:S3cr3t@"] {
            let found = problems(&[("KAFKA_BOOTSTRAP_SERVERS", servers)]);
            assert!(found.len() == 1 && !found[0].contains("S3cr3t"), "{found:?}");
        }
    }

    #[test]
    fn the_default_is_a_plain_broker() {
        let settings = read(&mut Env::of_pairs(&[])).expect("nothing is wrong with nothing");
        assert_eq!(settings.bootstrap, [Address { host: "kafka".into(), port: 9092 }]);
        assert!(settings.access.tls.is_none() && settings.access.login.is_none() && settings.verify.is_none());
        assert_eq!(settings.scan_max, 100_000);
    }

    #[test]
    fn what_would_not_be_used_is_an_error() {
        let found = problems(&[("KAFKA_USERNAME", "admin"), ("KAFKA_PASSWORD", "a-secret-of-ours")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("KAFKA_USERNAME, KAFKA_PASSWORD are set"), "{found:?}");
        let found = problems(&[("KAFKA_CERT_FILE", "/c"), ("KAFKA_KEY_FILE", "/k")]);
        assert!(found[0].contains("KAFKA_CERT_FILE is set"), "{found:?}");
        let found = problems(&[("KAFKA_CERT_FILE", "/c")]);
        assert!(found[0].contains("go together"), "{found:?}");
    }

    #[test]
    fn a_login_needs_its_parts() {
        let found = problems(&[("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")]);
        assert!(found[0].contains("set KAFKA_SASL_MECHANISM"), "{found:?}");
        let plain = [("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"), ("KAFKA_SASL_MECHANISM", "PLAIN")];
        assert!(problems(&plain)[0].contains("KAFKA_USERNAME and KAFKA_PASSWORD are not set"));
        assert!(problems(&[plain[0], ("KAFKA_SASL_MECHANISM", "OAUTHBEARER")])[0].contains("KAFKA_TOKEN"));
        let oauth = ("KAFKA_OAUTH_TOKEN_URL", "http://idp/token");
        assert!(
            problems(&[plain[0], ("KAFKA_SASL_MECHANISM", "OAUTHBEARER"), oauth])[0].contains("KAFKA_OAUTH_CLIENT_ID")
        );
        assert!(problems(&[("KAFKA_OAUTH_CLIENT_ID", "id")])[0].contains("KAFKA_OAUTH_TOKEN_URL"));
        assert!(problems(&[plain[0], ("KAFKA_SASL_MECHANISM", "GSSAPI")])[0].contains("must be one of"));
        let good = [plain[0], plain[1], ("KAFKA_USERNAME", "admin"), ("KAFKA_PASSWORD", "a-secret-of-ours")];
        assert_eq!(problems(&good), [""; 0]);
    }

    #[test]
    fn a_verify_listener_may_differ_from_ours() {
        let mut env = Env::of_pairs(&[("KAFKA_VERIFY_SERVERS", "SASL_PLAINTEXT://a:1,b:2")]);
        let door = read(&mut env).and_then(|settings| settings.verify).expect("a door");
        assert_eq!((door.addresses.count(), door.tls.is_none()), (2, true));
        assert!(problems(&[("KAFKA_VERIFY_SERVERS", "SSL://a:1")])[0].contains("SASL_SSL://"));
    }
}

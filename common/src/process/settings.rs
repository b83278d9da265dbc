//! Settings: the environment read once, checked whole, every problem named. Raw values stop here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::read_secret;
use crate::output::secret::Secret;

mod common;
mod value;

pub use common::Common;
pub use value::{parse_duration, quoted, show};

use value::parse_url;

/// The environment, and what was found wrong with it so far.
#[derive(Debug, Default)]
pub struct Env {
    vars: BTreeMap<String, String>,
    known: BTreeSet<String>,
    problems: Vec<String>,
    warnings: Vec<String>,
    alarms: Vec<String>,
}

/// How to reach one HTTP server.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Base URLs in the order in which they are tried, each with scheme, host and port, perhaps a path, no trailing slash.
    pub urls: Vec<String>,
    /// How to log in.
    pub login: Login,
    /// Certificates.
    pub tls: Tls,
}

/// How to log in to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// Not at all.
    #[default]
    Anonymous,
    /// A user's name and password.
    Basic(String, Secret),
    /// A bearer token.
    Bearer(Secret),
}

/// Certificates for one server.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM file of the roots to trust in place of the bundled ones.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate chain, with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
    /// What is asked of the server's certificate.
    pub check: Check,
}

/// What is asked of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Its chain, its dates and its name.
    #[default]
    Everything,
    /// All but the name (`…_VERIFY_HOSTNAME=false`).
    Chain,
    /// Nothing (`…_INSECURE=true`).
    Nothing,
}

impl Env {
    /// The process's own environment. Values that are not UTF-8 are a problem only where a setting is read from them.
    #[must_use]
    pub fn of_process() -> Self {
        let mut env = Self::default();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().map(str::to_owned) else { continue };
            match value.into_string() {
                // An empty variable counts as unset: Compose passes `${X:-}` that way.
                Ok(value) if value.is_empty() => {}
                Ok(value) => drop(env.vars.insert(name, value)),
                Err(_) => drop(env.vars.insert(name, "\u{fffd}".into())),
            }
        }
        env
    }

    /// An environment made of the pairs given, for tests.
    #[must_use]
    pub fn of_pairs(pairs: &[(&str, &str)]) -> Self {
        let vars = pairs.iter().filter(|(_, value)| !value.is_empty());
        Self { vars: vars.map(|(name, value)| ((*name).into(), (*value).into())).collect(), ..Self::default() }
    }

    /// Lets a flag of the command line take the place of a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    /// Notes a problem with the settings.
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// Notes something about the settings that does not stop the run.
    pub fn warning(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// A plain setting.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.known.insert(name.to_owned());
        let value = self.vars.get(name).cloned();
        if value.as_deref().is_some_and(|value| value.contains('\u{fffd}')) {
            self.problem(format!("{name} is not valid UTF-8"));
        }
        value
    }

    /// A setting of a fixed set of words.
    pub fn choice<T: Clone>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.text(name)?;
        let found = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| choice.clone());
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.problem(format!("{name}={}: must be one of {}", quoted(&value), words.join(", ")));
        }
        found
    }

    /// A boolean: `true`, `false`, `1`, `0`.
    pub fn flag(&mut self, name: &str) -> bool {
        self.choice(name, &[("true", true), ("false", false), ("1", true), ("0", false)]).unwrap_or(false)
    }

    /// A duration: `500ms`, `10s`, `2m`, `1h`, or a number of seconds.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        let Some(value) = self.text(name) else { return default };
        parse_duration(&value).unwrap_or_else(|error| {
            self.problem(format!("{name}={}: {error}", quoted(&value)));
            default
        })
    }

    /// A whole number.
    pub fn number(&mut self, name: &str) -> Option<u32> {
        let value = self.text(name)?;
        let number = value.trim().parse().ok();
        if number.is_none() {
            self.problem(format!("{name}={}: must be a whole number", quoted(&value)));
        }
        number
    }

    /// A secret: `NAME`, or the content of the file that `NAME_FILE` names, less one trailing newline.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.secret_text(name).map(Secret::new)
    }

    /// A setting that may come from a file as secrets do, without being one.
    pub fn secret_text(&mut self, name: &str) -> Option<String> {
        let file_name = format!("{name}_FILE");
        match (self.text(name), self.text(&file_name)) {
            (Some(_), Some(_)) => {
                self.problem(format!("both {name} and {file_name} are set: keep one of them"));
                None
            }
            (Some(value), None) => Some(value),
            (None, Some(path)) => match read_secret(Path::new(&path)) {
                Ok(value) => Some(value),
                // What is no absolute path may be the secret itself, put into the wrong variable.
                Err(_) if !path.starts_with('/') || path.matches('/').count() < 2 => {
                    crate::output::secret::hide(&path);
                    let length = path.chars().count();
                    self.problem(format!("{file_name} must be the absolute path of a file that can be read; what is there ({length} characters, not shown) is none"));
                    None
                }
                Err(error) => {
                    self.problem(format!("{file_name}: {error}"));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// An HTTP server by its prefix: `X_URL`, `X_USERNAME`, `X_PASSWORD`, `X_TOKEN` and the certificates.
    pub fn server(&mut self, prefix: &str, default_url: Option<&str>) -> Option<Server> {
        let name = format!("{prefix}_URL");
        let login = self.login(prefix);
        let tls = self.tls(prefix);
        let list = match self.text(&name) {
            Some(list) => list,
            None => default_url?.to_owned(),
        };
        let mut server = Server { urls: Vec::new(), login, tls };
        let urls: Vec<&str> = list.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
        if urls.is_empty() {
            self.problem(format!("{name} names no server"));
        }
        let (mut user, mut broken) = (None, false);
        for (index, url) in urls.iter().enumerate() {
            let place =
                if urls.len() == 1 { name.clone() } else { format!("{name}, URL {} of {}", index + 1, urls.len()) };
            match parse_url(url) {
                Ok((base, found)) => {
                    server.urls.push(base);
                    if user.is_some() && found.is_some() && user != found {
                        self.problem(format!("{place}: has another user than the URL before it, and all URLs of a list share one: give {prefix}_USERNAME and {prefix}_PASSWORD"));
                    }
                    user = user.or(found);
                }
                Err(rule) => {
                    // Whatever it is, it was meant to be a URL, perhaps with a password.
                    crate::output::secret::hide(url);
                    self.problem(format!("{place}: {rule}"));
                    broken = true;
                }
            }
        }
        if broken {
            // A comma in a password makes a host of its first half: nobody is told anything there, nor is it looked up.
            server.urls.clear();
        }
        if let Some((user, password)) = user {
            let in_url = Login::Basic(user, Secret::new(password));
            if server.login != Login::Anonymous && server.login != in_url {
                self.problem(format!(
                    "{name} holds a user name, and so do {prefix}_USERNAME or {prefix}_TOKEN: keep one of them"
                ));
            }
            server.login = in_url;
        }
        if let Login::Basic(user, _) = &server.login
            && user.contains(':')
        {
            self.problem(format!("{prefix}_USERNAME: a user name cannot hold a colon: the server would take what follows for the password"));
        }
        Some(server)
    }

    /// The login settings of a prefix.
    pub fn login(&mut self, prefix: &str) -> Login {
        let user = self.secret_text(&format!("{prefix}_USERNAME"));
        let password = self.secret(&format!("{prefix}_PASSWORD"));
        let token = self.secret(&format!("{prefix}_TOKEN"));
        match (user, password, token) {
            (None, None, None) => Login::Anonymous,
            (None, None, Some(token)) => Login::Bearer(token),
            (Some(user), Some(password), None) => Login::Basic(user, password),
            (Some(_), None, None) => {
                self.problem(format!("{prefix}_USERNAME is set without {prefix}_PASSWORD"));
                Login::Anonymous
            }
            (None, Some(_), None) => {
                self.problem(format!("{prefix}_PASSWORD is set without {prefix}_USERNAME"));
                Login::Anonymous
            }
            (_, _, Some(_)) => {
                self.problem(format!(
                    "{prefix}_TOKEN and {prefix}_USERNAME or {prefix}_PASSWORD are set: keep one way to log in"
                ));
                Login::Anonymous
            }
        }
    }

    /// The certificate settings of a prefix.
    pub fn tls(&mut self, prefix: &str) -> Tls {
        let mut file = |name: &str| self.text(&format!("{prefix}_{name}")).map(PathBuf::from);
        let (ca_file, cert_file, key_file) = (file("CA_FILE"), file("CERT_FILE"), file("KEY_FILE"));
        let insecure = self.flag(&format!("{prefix}_INSECURE"));
        if cert_file.is_some() != key_file.is_some() {
            self.problem(format!("{prefix}_CERT_FILE and {prefix}_KEY_FILE go together: set both"));
        }
        let words = [("true", true), ("false", false), ("1", true), ("0", false)];
        let by_name = self.choice(&format!("{prefix}_VERIFY_HOSTNAME"), &words).unwrap_or(true);
        let check = match (insecure, by_name) {
            (true, _) => Check::Nothing,
            (false, true) => Check::Everything,
            (false, false) => Check::Chain,
        };
        match check {
            Check::Everything => {}
            Check::Chain => self.any_name(prefix),
            Check::Nothing => self.alarms.push(format!("{prefix}_INSECURE is set: no certificate is checked, anybody in between can read and change what is sent")),
        }
        Tls { ca_file, cert_file, key_file, check }
    }

    /// Notes, for every `LOG_LEVEL`, that a certificate's name is not looked at.
    pub fn any_name(&mut self, prefix: &str) {
        self.alarms.push(format!("{prefix}_VERIFY_HOSTNAME is false: a certificate of the same authority for any other server is taken as well"));
    }

    /// Everything wrong with the settings.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What is said at every `LOG_LEVEL`: protection that was switched off.
    #[must_use]
    pub fn alarms(&self) -> &[String] {
        &self.alarms
    }

    /// Warnings, with those about variables that look like a known one misspelt. Call it when all settings were read.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        for name in self.vars.keys().filter(|name| !self.known.contains(*name)) {
            if let Some(known) = self.known.iter().find(|known| known.len() > 4 && near(known, name)) {
                warnings.push(format!("unknown variable {name} is ignored: did you mean {known}?"));
            }
        }
        warnings
    }
}

/// Whether two names are at most two letters apart. Hardly any are, and that their letters differ shows it for a hundredth of what the exact
/// distance costs: a pod has hundreds of variables, and each is compared with each known one.
fn near(known: &str, name: &str) -> bool {
    let mut letters = [0_i32; 128];
    for (text, sign) in [(known, 1), (name, -1)] {
        // Two letters in one place only hide a difference.
        text.chars().for_each(|letter| letters[letter as usize % 128] += sign);
    }
    // One edit changes two letters at most.
    let apart: u32 = letters.iter().map(|count| count.unsigned_abs()).sum();
    apart <= 4 && strsim::damerau_levenshtein(known, name) <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn names_are_near_whose_exact_distance_is_at_most_two(known in "[A-D_]{0,7}", name in "[A-D_Ä]{0,7}") {
            proptest::prop_assert_eq!(near(&known, &name), strsim::damerau_levenshtein(&known, &name) <= 2);
        }
    }

    #[test]
    fn durations_are_read_as_documented() {
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000), ("7", 7000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "s", "1.5s", "-1", "2d", "99999999999999999999", "18446744073709551615h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_an_error_never_a_default() {
        let mut env =
            Env::of_pairs(&[("WAIT_TIMEOUT", "soon"), ("STRICT", "yes"), ("MAX_RETRIES", "-1"), ("LOG_LEVEL", "loud")]);
        Common::read(&mut env);
        assert_eq!(env.problems().len(), 4, "{:?}", env.problems());
    }

    #[test]
    fn a_misspelt_variable_is_pointed_out_and_a_foreign_one_is_not() {
        let mut env = Env::of_pairs(&[("WAIT_TIMOUT", "5s"), ("PATH", "/bin"), ("HOME", "/")]);
        Common::read(&mut env);
        assert_eq!(env.warnings(), ["unknown variable WAIT_TIMOUT is ignored: did you mean WAIT_TIMEOUT?"]);
    }

    #[test]
    fn urls_are_taken_apart() {
        let mut env = Env::of_pairs(&[("X_URL", "https://u%40x:p%3Aw-long@h:9200/os/, http://[::1]:9200")]);
        let server = env.server("X", None).expect("set");
        assert_eq!(server.urls, ["https://h:9200/os", "http://[::1]:9200"]);
        assert_eq!(server.login, Login::Basic("u@x".into(), Secret::new("p:w-long")));
        for bad in [
            "h:9200",
            "ftp://h",
            "http://",
            "http://:9200",
            "http://h?x=1",
            "http://h h",
            "http://h:99999",
            "http://h:92oo",
            "http://h:",
            "http://h:0",
            "http://h:+80",
            "http://[::1]9200",
            "http://[::1",
            "http://[h]:80",
            "http://::1:9200",
            "http://a%3Ab:c@h",
            "http://only-a-user@h",
            "http://a:b@h1,http://c:d@h2",
            ",",
        ] {
            let mut env = Env::of_pairs(&[("X_URL", bad)]);
            env.server("X", None);
            assert_eq!(env.problems().len(), 1, "{bad}: {:?}", env.problems());
        }
    }

    #[test]
    fn no_part_of_a_password_that_breaks_its_url_is_shown() {
        let (first, second) = ("Zq7xKabc", "Kx9wWvde");
        let mut tried = 0;
        for odd in ["#", "?", "/", "@", ":", ",", " ", "%", "%zz", "[", "]", "\\", "\"", "é", "://", "//"] {
            for shape in [
                "http://admin:PW@host:9200",
                "https://:PW@[::1]:9200/path",
                "admin:PW@host:9200",
                "PW",
                "http://PW",
                "ftp://PW@h",
            ] {
                let url = shape.replace("PW", &format!("{first}{odd}{second}"));
                // A word by itself may be quoted where no secret belongs.
                let mut pairs = vec![("X_URL", url.as_str())];
                if shape != "PW" {
                    pairs.extend(["WAIT_TIMEOUT", "LOG_LEVEL", "MAX_RETRIES"].map(|name| (name, url.as_str())));
                }
                let mut env = Env::of_pairs(&pairs);
                Common::read(&mut env);
                env.server("X", None);
                let said = format!("{:?} {:?}", env.problems(), env.warnings());
                assert!(!said.contains("Zq7xK") && !said.contains("Kx9wW"), "{url}: {said}");
                tried += 1;
            }
        }
        assert_eq!(tried, 96);
    }

    #[test]
    fn one_login_for_all_urls_of_a_list() {
        let problems = |pairs: &[(&str, &str)]| {
            let mut env = Env::of_pairs(pairs);
            env.server("X", None);
            env.problems().to_vec()
        };
        assert_eq!(problems(&[("X_URL", "http://a:b@h1,http://a:b@h2,http://h3")]), [""; 0]);
        let both = problems(&[("X_URL", "http://h1,http://a:b@h2"), ("X_USERNAME", "c"), ("X_PASSWORD", "d")]);
        assert_eq!(both, ["X_URL holds a user name, and so do X_USERNAME or X_TOKEN: keep one of them"]);
        let colon = problems(&[("X_URL", "http://h"), ("X_USERNAME", "a:b"), ("X_PASSWORD", "d")]);
        assert!(colon[0].starts_with("X_USERNAME: a user name cannot hold a colon"), "{colon:?}");
    }

    #[test]
    fn a_secret_in_place_of_its_file_is_not_shown() {
        let mut env = Env::of_pairs(&[("X_PASSWORD_FILE", "hunter-secret-1"), ("Y_PASSWORD_FILE", "/no/such/file")]);
        assert!(env.secret("X_PASSWORD").is_none() && env.secret("Y_PASSWORD").is_none());
        let said = env.problems().join("\n");
        assert!(!said.contains("hunter") && said.contains("/no/such/file"), "{said}");
    }

    #[test]
    fn secrets_come_from_one_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("s");
        std::fs::write(&file, "from-file\n").expect("write");
        let path = file.to_str().expect("UTF-8");
        let mut env = Env::of_pairs(&[("A_PASSWORD_FILE", path), ("B_PASSWORD", "x"), ("B_PASSWORD_FILE", path)]);
        assert_eq!(env.secret("A_PASSWORD").expect("set").reveal(), "from-file");
        assert!(env.secret("B_PASSWORD").is_none());
        assert_eq!(env.problems(), ["both B_PASSWORD and B_PASSWORD_FILE are set: keep one of them"]);
        std::fs::write(&file, "\n").expect("write");
        assert!(read_secret(&file).expect_err("empty").ends_with("is empty"));
    }
}

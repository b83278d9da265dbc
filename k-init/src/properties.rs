//! A Java client's `.properties` file as our settings. Only what decides about the connection is read; what we cannot honor is an error
//! with the way out, and what tunes a Java client is passed over.

use std::collections::BTreeMap;
use std::path::Path;

use common::files::read_text;

const LIMIT: u64 = 1 << 20;

/// The settings by our own names, and what is wrong.
pub(crate) fn read(path: &Path) -> (BTreeMap<String, String>, Vec<String>) {
    match read_text(path, LIMIT) {
        Ok(text) => settings(&parse(&text)),
        Err(error) => (BTreeMap::new(), vec![error]),
    }
}

fn settings(properties: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    let mut set = |name: &str, value: &str| drop(found.insert(name.to_owned(), value.to_owned()));
    let store_type = |which: &str| properties.get(&format!("ssl.{which}.type")).map_or("JKS", String::as_str);
    for (key, value) in properties.iter().filter(|(_, value)| !value.is_empty()) {
        match key.as_str() {
            "bootstrap.servers" => set("KAFKA_BOOTSTRAP_SERVERS", value),
            "security.protocol" => set("KAFKA_SECURITY_PROTOCOL", value),
            "sasl.mechanism" => set("KAFKA_SASL_MECHANISM", value),
            "sasl.jaas.config" => match jaas(value) {
                Ok((user, password)) => {
                    set("KAFKA_USERNAME", &user);
                    set("KAFKA_PASSWORD", &password);
                }
                Err(problem) => problems.push(format!("{key}: {problem}")),
            },
            "ssl.truststore.location" if store_type("truststore") == "PEM" => set("KAFKA_CA_FILE", value),
            "ssl.keystore.location" if store_type("keystore") == "PEM" => {
                // Kafka's PEM key store holds key and chain in one file; each reader takes its own part of it.
                set("KAFKA_CERT_FILE", value);
                set("KAFKA_KEY_FILE", value);
            }
            "ssl.truststore.location" => problems.push(format!(
                "{key}: a {} trust store cannot be read; `keytool -exportcert -rfc -keystore {value} -alias ALIAS > ca.pem` makes a file \
                 for ssl.truststore.type=PEM or KAFKA_CA_FILE",
                store_type("truststore")
            )),
            "ssl.keystore.location" => problems.push(format!(
                "{key}: a {} key store cannot be read; `keytool -importkeystore -srckeystore {value} -destkeystore k.p12 -deststoretype \
                 PKCS12` and `openssl pkcs12 -in k.p12 -nodes -out client.pem` make a file for ssl.keystore.type=PEM or KAFKA_CERT_FILE \
                 and KAFKA_KEY_FILE",
                store_type("keystore")
            )),
            "ssl.truststore.certificates" | "ssl.keystore.certificate.chain" | "ssl.keystore.key" => {
                problems.push(format!("{key}: certificates inside the file are not read: put them into a PEM file and name it"));
            }
            "ssl.key.password" => {
                problems.push(format!("{key}: an encrypted key cannot be read; `openssl pkcs8 -in key.pem -out plain.pem` decrypts it"));
            }
            "ssl.endpoint.identification.algorithm" if !value.eq_ignore_ascii_case("https") => {
                problems.push(format!("{key}={value}: set KAFKA_INSECURE=true if no certificate shall be checked"));
            }
            "sasl.login.callback.handler.class" | "sasl.client.callback.handler.class" => {
                problems.push(format!("{key}: classes cannot be run; put a token into KAFKA_TOKEN_FILE and use OAUTHBEARER"));
            }
            _ => {}
        }
    }
    (found, problems)
}

/// User and password out of `…PlainLoginModule required username="u" password="p";`.
fn jaas(text: &str) -> Result<(String, String), String> {
    let mut words = words(text).into_iter();
    let module = words.next().unwrap_or_default();
    let class = module.rsplit('.').next().unwrap_or_default();
    if !matches!(class, "PlainLoginModule" | "ScramLoginModule") {
        return Err(format!(
            "{class}: only PlainLoginModule and ScramLoginModule are known; for a token set KAFKA_TOKEN_FILE"
        ));
    }
    let options: BTreeMap<String, String> = words
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    match (options.get("username"), options.get("password")) {
        (Some(user), Some(password)) => Ok((user.clone(), password.clone())),
        _ => Err(r#"needs username="…" and password="…""#.into()),
    }
}

/// Words at blanks, where quotes hold one together; a `;` outside of quotes ends.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let last = words.last_mut().expect("there is always one");
        match (quote, c) {
            (Some(_), '\\') => last.extend(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ';') => break,
            (None, c) if c.is_whitespace() => words.push(String::new()),
            (_, c) => last.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `java.util.Properties`: comments, continued lines, `=`, `:` or a blank between key and value, and its escapes.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while (logical.len() - logical.trim_end_matches('\\').len()) % 2 == 1 {
            logical.pop();
            logical += lines.next().unwrap_or_default().trim_start();
        }
        let (key, value) = split(&logical);
        found.insert(unescape(key), unescape(value));
    }
    found
}

fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || c.is_whitespace());
        escaped = !escaped && c == '\\';
        ends
    });
    let Some(end) = end else { return (line, "") };
    let rest = line[end..].trim_start();
    (&line[..end], rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                plain.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: &Expect) {
        let (found, problems) = settings(&parse(text));
        let mut shown: Vec<String> = found.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        shown.extend(problems.iter().map(|problem| format!("! {problem}")));
        expected.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn a_clients_file_is_understood() {
        check(
            "# a comment\nbootstrap.servers=a:9092,b:9092\nsecurity.protocol : SASL_SSL\nsasl.mechanism SCRAM-SHA-512\n\
             sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n   username=\"app\" \\\n   password='p=; x';\n\
             ssl.truststore.type=PEM\nssl.truststore.location=/ca.pem\nacks=all\n",
            &expect![[r"
                KAFKA_BOOTSTRAP_SERVERS = a:9092,b:9092
                KAFKA_CA_FILE = /ca.pem
                KAFKA_PASSWORD = p=; x
                KAFKA_SASL_MECHANISM = SCRAM-SHA-512
                KAFKA_SECURITY_PROTOCOL = SASL_SSL
                KAFKA_USERNAME = app"]],
        );
    }

    #[test]
    fn what_cannot_be_read_says_how_to_convert_it() {
        check(
            "ssl.truststore.location=/t.jks\nssl.keystore.type=PKCS12\nssl.keystore.location=/k.p12\n\
             sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required;\n",
            &expect![[r"
                ! sasl.jaas.config: Krb5LoginModule: only PlainLoginModule and ScramLoginModule are known; for a token set KAFKA_TOKEN_FILE
                ! ssl.keystore.location: a PKCS12 key store cannot be read; `keytool -importkeystore -srckeystore /k.p12 -destkeystore k.p12 -deststoretype PKCS12` and `openssl pkcs12 -in k.p12 -nodes -out client.pem` make a file for ssl.keystore.type=PEM or KAFKA_CERT_FILE and KAFKA_KEY_FILE
                ! ssl.truststore.location: a JKS trust store cannot be read; `keytool -exportcert -rfc -keystore /t.jks -alias ALIAS > ca.pem` makes a file for ssl.truststore.type=PEM or KAFKA_CA_FILE"]],
        );
    }

    #[test]
    fn escapes_are_those_of_java() {
        let found = parse("a\\:b=c\\\\d\nx=\\u00e9\\n\nempty\nk = v = w \n");
        assert_eq!(found["a:b"], "c\\d");
        assert_eq!(found["x"], "é\n");
        assert_eq!(found["empty"], "");
        assert_eq!(found["k"], "v = w ");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z=:\\\\\"; \n#u0-9é]{0,60}") {
            let _ = settings(&parse(&text));
        }
    }
}

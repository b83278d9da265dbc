//! A Java client's `.properties` file as our settings. Only what decides about the connection is read; what we cannot honor is an error
//! with the way out, and what tunes a Java client is passed over. No value is quoted: it may be a password.

use std::collections::BTreeMap;
use std::path::Path;

use common::files::read_text;
use common::ordered;
use common::output::secret::Secret;

use crate::jaas;

const LIMIT: u64 = 1 << 20;

/// The settings by our own names, and what is wrong.
pub(crate) fn read(path: &Path) -> (BTreeMap<String, String>, Vec<String>) {
    match read_text(path, LIMIT) {
        Ok(text) => settings(&parse(&text)),
        Err(error) => (BTreeMap::new(), vec![error]),
    }
}

/// Keys whose value is a setting of ours as it stands.
const SAME: [(&str, &str); 7] = [
    ("sasl.mechanism", "KAFKA_SASL_MECHANISM"),
    ("sasl.oauthbearer.token.endpoint.url", "KAFKA_OAUTH_TOKEN_URL"),
    ("sasl.oauthbearer.client.credentials.client.id", "KAFKA_OAUTH_CLIENT_ID"),
    ("sasl.oauthbearer.client.credentials.client.secret", "KAFKA_OAUTH_CLIENT_SECRET"),
    ("sasl.oauthbearer.scope", "KAFKA_OAUTH_SCOPE"),
    ("ssl.truststore.location", "KAFKA_CA_FILE"),
    ("ssl.keystore.location", "KAFKA_CERT_FILE"),
];

fn settings(properties: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    let mut properties = properties.clone();
    provided(&mut properties, &mut problems);
    let mut set = |name: &str, value: &str| drop(found.insert(name.to_owned(), value.to_owned()));
    let store_type = |which: &str| properties.get(&format!("ssl.{which}.type")).map_or("JKS", |kind| kind.trim());
    for (key, value) in &properties {
        // Kafka takes the blanks off every value but a password's.
        let value = if key == "sasl.jaas.config" { value } else { value.trim() };
        match key.as_str() {
            // Empty means that the chain is checked and the name is not.
            "ssl.endpoint.identification.algorithm" if value.is_empty() => set("KAFKA_VERIFY_HOSTNAME", "false"),
            _ if value.is_empty() => {}
            "bootstrap.servers" => {
                let servers = value.split(',').map(str::trim);
                let bare = servers.map(|server| server.split_once("://").map_or(server, |(_, bare)| bare));
                set("KAFKA_BOOTSTRAP_SERVERS", &bare.collect::<Vec<_>>().join(","));
            }
            "security.protocol" => set("KAFKA_SECURITY_PROTOCOL", &value.to_ascii_uppercase()),
            "sasl.jaas.config" => match jaas::login(value) {
                Ok(login) => login.into_iter().for_each(|(name, value)| set(name, &value)),
                Err(problem) => problems.push(format!("{key}: {problem}")),
            },
            "sasl.oauthbearer.token.endpoint.url" if value.starts_with("file:") => {
                problems.push(format!("{key}: name the token's file in KAFKA_TOKEN_FILE"));
            }
            "ssl.truststore.location" if store_type("truststore") != "PEM" => problems.push(format!(
                "{key}: a {} trust store cannot be read; `keytool -exportcert -rfc -keystore {value} -alias ALIAS > ca.pem` makes a file \
                 for ssl.truststore.type=PEM or KAFKA_CA_FILE",
                store_type("truststore")
            )),
            "ssl.keystore.location" if store_type("keystore") != "PEM" => problems.push(format!(
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
                problems.push(format!("{key}: only https, or nothing, which checks the chain and not the name"));
            }
            "sasl.login.callback.handler.class" if value.ends_with(".OAuthBearerLoginCallbackHandler") => {}
            "sasl.login.callback.handler.class" | "sasl.client.callback.handler.class" => {
                problems.push(format!("{key}: classes cannot be run; put a token into KAFKA_TOKEN_FILE and use OAUTHBEARER"));
            }
            _ => {
                if let Some((_, name)) = SAME.iter().find(|(same, _)| same == key) {
                    set(name, value);
                }
            }
        }
    }
    // Kafka's PEM key store holds key and chain in one file; each reader takes its own part of it.
    if let Some(file) = found.get("KAFKA_CERT_FILE").cloned() {
        found.insert("KAFKA_KEY_FILE".to_owned(), file);
    }
    (found, problems)
}

/// Puts in what `config.providers` stand for: `${name:path:key}`.
fn provided(properties: &mut BTreeMap<String, String>, problems: &mut Vec<String>) {
    let names = properties.get("config.providers").cloned().unwrap_or_default();
    let class =
        |name: &str| properties.get(&format!("config.providers.{name}.class")).map(|class| class.trim().to_owned());
    let declared = names.split(',').map(str::trim).filter_map(|name| Some((name.to_owned(), class(name)?)));
    let providers = ordered::map(declared);
    if providers.is_empty() {
        return;
    }
    for (key, value) in properties.iter_mut().filter(|(key, _)| !key.starts_with("config.providers")) {
        let mut text = String::new();
        let mut rest = value.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            text += before;
            rest = after;
            let Some((inside, after)) = after.split_once('}') else {
                text += "${";
                break;
            };
            let place = inside.split_once(':').and_then(|(name, place)| Some((providers.get(name)?, name, place)));
            match place.map(|(class, name, place)| (name, fetched(class, place))) {
                None => text += &format!("${{{inside}}}"),
                Some((_, Ok(fetched))) => text += Secret::new(fetched).reveal(),
                Some((name, Err(why))) => problems.push(format!("{key}: config.providers {name}: {why}")),
            }
            rest = after;
        }
        text += rest;
        *value = text;
    }
}

/// What one of Kafka's own providers gives for `path:key`.
fn fetched(class: &str, place: &str) -> Result<String, String> {
    let (path, key) = place.rsplit_once(':').unwrap_or(("", place));
    match class.rsplit('.').next().unwrap_or_default() {
        "FileConfigProvider" => {
            let text = read_text(Path::new(path), LIMIT)?;
            parse(&text).remove(key).ok_or_else(|| format!("{path} has no {key}"))
        }
        "DirectoryConfigProvider" if key.contains('/') => Err("a key is a file's name".into()),
        "DirectoryConfigProvider" => read_text(&Path::new(path).join(key), LIMIT),
        "EnvVarConfigProvider" => std::env::var(key).map_err(|_| format!("the variable {key} is not set")),
        _ => Err("only FileConfigProvider, DirectoryConfigProvider and EnvVarConfigProvider can be asked".into()),
    }
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
    use common::testing::damaged;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: &Expect) {
        let (found, problems) = settings(&parse(text));
        let mut shown: Vec<String> = found.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        shown.extend(problems.iter().map(|problem| format!("! {problem}")));
        expected.assert_eq(&shown.join("\n"));
    }

    const CLIENT: &str = "# a comment\nbootstrap.servers=a:9092,b:9092\nsecurity.protocol : SASL_SSL\nsasl.mechanism SCRAM-SHA-512\n\
         sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n   username=\"app\" \\\n   password='p=; x';\n\
         ssl.truststore.type=PEM\nssl.truststore.location=/ca.pem\nacks=all\n";
    const PROVIDED: &str = "config.providers=e,f,d\nconfig.providers.e.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider\n\
         config.providers.f.class=a.FileConfigProvider\nconfig.providers.d.class=DirectoryConfigProvider\n\
         sasl.oauthbearer.scope=a${e:PATH}b${f:/no/such:key}${d:/no/such:name}\\u00e9\n";

    #[test]
    fn a_clients_file_is_understood() {
        check(
            CLIENT,
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
                ! sasl.jaas.config: com.sun.security.auth.module.Krb5LoginModule: only PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule are known
                ! ssl.keystore.location: a PKCS12 key store cannot be read; `keytool -importkeystore -srckeystore /k.p12 -destkeystore k.p12 -deststoretype PKCS12` and `openssl pkcs12 -in k.p12 -nodes -out client.pem` make a file for ssl.keystore.type=PEM or KAFKA_CERT_FILE and KAFKA_KEY_FILE
                ! ssl.truststore.location: a JKS trust store cannot be read; `keytool -exportcert -rfc -keystore /t.jks -alias ALIAS > ca.pem` makes a file for ssl.truststore.type=PEM or KAFKA_CA_FILE"]],
        );
    }

    #[test]
    fn javas_own_liberties_are_taken() {
        check(
            "security.protocol=sasl_plaintext  \nbootstrap.servers=SASL_PLAINTEXT://a:1 , b:2\nsasl.mechanism=OAUTHBEARER \n\
             ssl.endpoint.identification.algorithm=\nsasl.oauthbearer.token.endpoint.url=https://idp/token\n\
             sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n\
             sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId = 'id' \
             clientSecret=\"not-for-the-log\" scope=\"a b\" extension_logicalCluster=\"lkc-1\" extension_identityPoolId=\"p\";\n",
            &expect![[r"
                KAFKA_BOOTSTRAP_SERVERS = a:1,b:2
                KAFKA_OAUTH_CLIENT_ID = id
                KAFKA_OAUTH_CLIENT_SECRET = not-for-the-log
                KAFKA_OAUTH_EXTENSIONS = identityPoolId=p,logicalCluster=lkc-1
                KAFKA_OAUTH_SCOPE = a b
                KAFKA_OAUTH_TOKEN_URL = https://idp/token
                KAFKA_SASL_MECHANISM = OAUTHBEARER
                KAFKA_SECURITY_PROTOCOL = SASL_PLAINTEXT
                KAFKA_VERIFY_HOSTNAME = false"]],
        );
    }

    #[test]
    fn config_providers_are_asked_or_named() {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let file = folder.path().join("secrets.properties");
        std::fs::write(&file, "password=from-the-file\n").expect("the folder can be written");
        let text = format!(
            "config.providers=file,vault\nconfig.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider\n\
             config.providers.vault.class=com.example.Vault\nsasl.mechanism=${{vault:a:b}}\n\
             sasl.jaas.config=a.PlainLoginModule required username=\"${{none:x}}\" password=\"${{file:{}:password}}\";\n",
            file.display()
        );
        check(
            &text,
            &expect![[r"
                KAFKA_PASSWORD = from-the-file
                KAFKA_USERNAME = ${none:x}
                ! sasl.mechanism: config.providers vault: only FileConfigProvider, DirectoryConfigProvider and EnvVarConfigProvider can be asked"]],
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

        #[test]
        fn damaged_properties_never_panic(client in damaged(CLIENT), provided in damaged(PROVIDED)) {
            let _ = settings(&parse(&client));
            let _ = settings(&parse(&provided));
        }
    }
}

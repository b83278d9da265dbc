//! The one line of a Java client's file that holds its login: `sasl.jaas.config`, taken apart as Java does it. Nothing of it but a class
//! name is ever quoted: the rest may be a password.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// The login by our own names.
pub(crate) fn login(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut tokens = Tokens(text.chars().peekable());
    let class = tokens.word().ok_or("no login module is named")?;
    tokens.word().ok_or("the login module's control flag (required) is missing")?;
    let mut options = BTreeMap::new();
    loop {
        match tokens.next() {
            Some(Token::Sign(';')) => break,
            Some(Token::Text(name)) => {
                let value = (tokens.next() == Some(Token::Sign('='))).then(|| tokens.word()).flatten();
                options.insert(name, value.ok_or("an option has no value: name=\"value\"")?);
            }
            Some(_) => return Err("an option has no name: name=\"value\"".into()),
            None => return Err("it does not end with a semicolon".into()),
        }
    }
    if tokens.next().is_some() {
        return Err("something stands after the semicolon: one login module is used".into());
    }
    let mut option = |name: &str| options.remove(name);
    match class.rsplit('.').next().unwrap_or_default() {
        "PlainLoginModule" | "ScramLoginModule" => {
            let (Some(user), Some(password)) = (option("username"), option("password")) else {
                return Err(r#"needs username="…" and password="…""#.into());
            };
            let mut login = vec![("KAFKA_USERNAME", user), ("KAFKA_PASSWORD", password)];
            if option("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
                login.push((DELEGATION_TOKEN, "true".into()));
            }
            Ok(login)
        }
        "OAuthBearerLoginModule" => {
            let names = [
                ("clientId", "KAFKA_OAUTH_CLIENT_ID"),
                ("clientSecret", "KAFKA_OAUTH_CLIENT_SECRET"),
                ("scope", "KAFKA_OAUTH_SCOPE"),
            ];
            let mut login: Vec<_> = names.into_iter().filter_map(|(name, ours)| Some((ours, option(name)?))).collect();
            let extensions = options.iter().filter_map(|(name, value)| Some((name.strip_prefix("extension_")?, value)));
            let extensions: Vec<String> = extensions.map(|(name, value)| format!("{name}={value}")).collect();
            if !extensions.is_empty() {
                login.push(("KAFKA_OAUTH_EXTENSIONS", extensions.join(",")));
            }
            Ok(login)
        }
        _ => {
            let named = class.chars().all(|c| c.is_ascii_alphanumeric() || "_.$".contains(c));
            let class = if named { class.as_str() } else { "the login module" };
            Err(format!("{class}: only PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule are known"))
        }
    }
}

/// Under this name a file says that its user is a delegation token's id, and its password the token's HMAC.
pub(crate) const DELEGATION_TOKEN: &str = "delegation token";

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    /// A number outside of quotes, which Java takes for no text.
    Number,
    Sign(char),
}

/// `java.io.StreamTokenizer` as Kafka sets it up.
struct Tokens<'t>(Peekable<Chars<'t>>);

impl Tokens<'_> {
    fn word(&mut self) -> Option<String> {
        match self.next() {
            Some(Token::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<Token> {
        let first = loop {
            let c = self.0.next()?;
            match c {
                '\0'..=' ' => {}
                '/' if self.0.peek() == Some(&'*') => self.comment(),
                // Also a single one: to the end of the line.
                '/' => drop(self.0.by_ref().find(|c| *c == '\n')),
                _ => break c,
            }
        };
        Some(match first {
            '"' | '\'' => Token::Text(self.quoted(first)),
            c if c.is_ascii_digit() || matches!(c, '.' | '-') => {
                while self.0.next_if(|c| c.is_ascii_digit() || *c == '.').is_some() {}
                Token::Number
            }
            c if letter(c) => {
                let mut text = String::from(c);
                while let Some(c) = self.0.next_if(|c| letter(*c) || c.is_ascii_digit() || matches!(c, '.' | '-')) {
                    text.push(c);
                }
                Token::Text(text)
            }
            sign => Token::Sign(sign),
        })
    }

    fn comment(&mut self) {
        let mut before = ' ';
        self.0.next();
        for c in self.0.by_ref() {
            if before == '*' && c == '/' {
                return;
            }
            before = c;
        }
    }

    /// Up to the same quote, or the end of the line.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.0.next_if(|c| !matches!(c, '\n' | '\r')) {
            if c == quote {
                break;
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some(escaped) = self.0.next() else { break };
            text.push(match escaped {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                '0'..='7' => self.octal(escaped),
                other => other,
            });
        }
        text
    }

    /// Three digits at most, two where the first is above 3.
    fn octal(&mut self, first: char) -> char {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..if first > '3' { 1 } else { 2 } {
            let Some(digit) = self.0.next_if(|c| c.is_digit(8)).and_then(|c| c.to_digit(8)) else { break };
            value = value * 8 + digit;
        }
        char::from_u32(value).unwrap_or('?')
    }
}

fn letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c >= '\u{a0}' || matches!(c, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::testing::damaged;

    fn shown(text: &str) -> Result<String, String> {
        let login = login(text)?;
        Ok(login.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | "))
    }

    const LINE: &str = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username = "u\"\101" /* none */ password='p;x' tokenauth="true" // the end
        extension_a=b1-2.x$_;"#;

    const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

    #[test]
    fn a_line_is_read_as_java_reads_it() {
        for (options, expected) in [
            (r#"username="u" password="p";"#, "u | p"),
            (r#"username = "u" password= 'p;x' ;"#, "u | p;x"),
            (r#"username=u password="a\"b\\c\101\x" ;"#, "u | a\"b\\cAx"),
            (
                r#"username="u" /* none */ password="p" // the end
               ;"#,
                "u | p",
            ),
            (r#"username="u" password="p" tokenauth="true";"#, "u | p | true"),
            (r#"username="ü" password=p1-2.x$_;"#, "ü | p1-2.x$_"),
        ] {
            assert_eq!(shown(&format!("{SCRAM} required {options}")).as_deref(), Ok(expected), "{options}");
        }
    }

    #[test]
    fn what_java_refuses_is_refused_and_nothing_is_quoted() {
        for (options, part) in [
            (r#"username="u" password="S3cr3t""#, "semicolon"),
            (r#"username="u" password;"#, "no value"),
            (r#"username="u" password=12345;"#, "no value"),
            (r#"username="u";"#, "needs username"),
            (r#"username="u" password="S3cr3t"; other required;"#, "after the semicolon"),
        ] {
            let error = shown(&format!("{SCRAM} required {options}")).expect_err(options);
            assert!(error.contains(part) && !error.contains("S3cr3t"), "{error}");
        }
        let whole = format!(r#""{SCRAM} required username=\"app\" password=\"S3cr3t\";""#);
        let error = shown(&whole).expect_err("the whole line is one string");
        assert!(!error.contains("S3cr3t") && error.contains("control flag"), "{error}");
        let error = shown(r#""x password=S3cr3t" required;"#).expect_err("no class");
        assert!(!error.contains("S3cr3t") && error.starts_with("the login module: only"), "{error}");
        assert!(shown("").is_err_and(|error| error.contains("no login module")));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z=:\\\\\"; \n/*#u0-9é]{0,60}") {
            let _ = login(&text);
        }

        #[test]
        fn damaged_lines_never_panic(text in damaged(LINE)) {
            let _ = login(&text);
        }
    }
}

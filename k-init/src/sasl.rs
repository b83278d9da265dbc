//! Logging in: what each SASL mechanism says in which step. Talks through a function that carries one message; knows no frames.

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::engine::change::Failure;
use common::output::secret::Secret;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2};

use crate::oauth::Tokens;

/// A SCRAM hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub(crate) enum Scram {
    /// SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256,
    /// SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512,
}

impl Scram {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Its number in Kafka's requests.
    pub(crate) fn number(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    pub(crate) fn of_number(number: i8) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|scram| scram.number() == number)
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// The salted password (RFC 5802's `Hi`). Kafka's own clients take the password's UTF-8 as it is, without `SASLprep`.
    pub(crate) fn salted(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let (algorithm, length) = match self {
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            Self::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        };
        let mut salted = vec![0; length];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// `PLAIN`.
    Plain { user: String, password: Secret },
    /// `SCRAM-SHA-256` or `-512`; delegated: the user is a delegation token's id, and the password its HMAC.
    Scram { scram: Scram, user: String, password: Secret, delegated: bool },
    /// `OAUTHBEARER`.
    Bearer { tokens: Arc<Tokens> },
}

/// Why a login did not come about.
#[derive(Debug)]
pub(crate) enum Refused<E> {
    /// The carrier failed, or the broker refused.
    Carrier(E),
    /// What the broker said makes no sense, or does not prove that it knows the password.
    Protocol(String),
    /// There is no token to log in with: its server refused, or may be asked again.
    Token(Failure),
}

impl<E> From<E> for Refused<E> {
    fn from(error: E) -> Self {
        Self::Carrier(error)
    }
}

impl Login {
    /// The mechanism's name.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { scram, .. } => scram.name(),
            Self::Bearer { .. } => "OAUTHBEARER",
        }
    }

    /// Who logs in, for messages.
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Plain { user, .. } | Self::Scram { user, .. } => user,
            Self::Bearer { .. } => "the token's subject",
        }
    }

    /// Goes through the mechanism's steps; `carry` sends one message and returns the broker's.
    pub(crate) fn run<E>(&self, mut carry: impl FnMut(Vec<u8>) -> Result<Vec<u8>, E>) -> Result<(), Refused<E>> {
        match self {
            Self::Plain { user, password } => {
                carry(format!("\0{user}\0{}", password.reveal()).into_bytes())?;
                Ok(())
            }
            Self::Bearer { tokens } => {
                let (token, extensions) = (tokens.token().map_err(Refused::Token)?, tokens.extensions());
                let hello = format!("n,,\x01auth=Bearer {}\x01{extensions}\x01", token.reveal());
                let answer = carry(hello.into_bytes())?;
                if answer.is_empty() {
                    return Ok(());
                }
                // RFC 7628: a refusal comes as JSON and wants one more message before the broker says no.
                // It says invalid_token and what the token lacks; the token itself is masked wherever it stands.
                let text = String::from_utf8_lossy(&answer).into_owned();
                drop(carry(vec![1]));
                Err(Refused::Protocol(format!(
                    "the broker refused the token: {text}; check its issuer, audience, scope and expiry"
                )))
            }
            Self::Scram { scram, user, password, delegated } => {
                let mut nonce = [0; 18];
                ring::rand::SystemRandom::new()
                    .fill(&mut nonce)
                    .map_err(|_| Refused::Protocol("the system has no randomness".to_owned()))?;
                let dialog = Dialog::new(*scram, user, &BASE64.encode(nonce), *delegated);
                let first = carry(dialog.first().into_bytes())?;
                let (last, expected) = dialog.last(password.reveal(), &first).map_err(Refused::Protocol)?;
                let proof = carry(last.into_bytes())?;
                let said = String::from_utf8_lossy(&proof);
                if said.split(',').any(|part| part.strip_prefix("v=") == Some(expected.as_str())) {
                    return Ok(());
                }
                Err(Refused::Protocol(
                    "the broker did not prove that it knows the password: is it the right server?".into(),
                ))
            }
        }
    }
}

/// One SCRAM exchange (RFC 5802 without channel binding).
struct Dialog {
    scram: Scram,
    nonce: String,
    bare: String,
}

/// What a broker may ask for. Fewer rounds than Kafka allows would give a stranger a proof to guess the password by in no time; more than any
/// broker takes would only keep us busy (Kafka allows 4096 to 16384).
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// The server's first message, read.
struct Asked<'s> {
    text: &'s str,
    nonce: &'s str,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl Dialog {
    fn new(scram: Scram, user: &str, nonce: &str, delegated: bool) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let extension = if delegated { ",tokenauth=true" } else { "" };
        Self { scram, nonce: nonce.to_owned(), bare: format!("n={user},r={nonce}{extension}") }
    }

    fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// What the server's first message asks for: its nonce, salt and iterations.
    fn asked<'s>(&self, server: &'s [u8]) -> Result<Asked<'s>, String> {
        let text = std::str::from_utf8(server).map_err(|_| "the broker's SCRAM message is no text".to_owned())?;
        if text.starts_with("m=") {
            return Err("the broker's SCRAM message wants an extension that is not known (m=)".into());
        }
        let part = |name: &str| {
            let found = text.split(',').find_map(|part| part.strip_prefix(name));
            found.ok_or_else(|| format!("the broker's SCRAM message lacks {name}"))
        };
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the broker's SCRAM message does not repeat our nonce".into());
        }
        let salt = BASE64.decode(salt).map_err(|_| "the broker's SCRAM salt is no base64".to_owned())?;
        if salt.is_empty() {
            return Err("the broker's SCRAM salt is empty".into());
        }
        let iterations = iterations.parse::<NonZeroU32>().ok().filter(|count| ITERATIONS.contains(&count.get()));
        let iterations = iterations.ok_or_else(|| {
            format!(
                "the broker's SCRAM iterations make no sense: {} to {} are taken",
                ITERATIONS.start(),
                ITERATIONS.end()
            )
        })?;
        Ok(Asked { text, nonce, salt, iterations })
    }

    /// Our last message, and the signature by which the server proves itself.
    fn last(&self, password: &str, server: &[u8]) -> Result<(String, String), String> {
        let Asked { text, nonce, salt, iterations } = self.asked(server)?;
        let salted = self.scram.salted(password, &salt, iterations);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(self.scram.hmac(), key), text);
        let client_key = sign(&salted, b"Client Key");
        let stored = digest::digest(self.scram.digest(), client_key.as_ref());
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{text},{without_proof}", self.bare);
        let signature = sign(stored.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let expected = sign(sign(&salted, b"Server Key").as_ref(), message.as_bytes());
        Ok((format!("{without_proof},p={}", BASE64.encode(proof)), BASE64.encode(expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::testing::damaged;

    /// The example of RFC 7677.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let dialog = Dialog::new(Scram::Sha256, "user", "rOprNGfwEbeRWgbNEkqO", false);
        assert_eq!(dialog.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, expected) = dialog.last("pencil", server).expect("a good message");
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(expected, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(Dialog::new(Scram::Sha512, "a=b,c", "N", false).first(), "n,,n=a=3Db=2Cc,r=N");
        assert_eq!(Dialog::new(Scram::Sha512, "id", "N", true).first(), "n,,n=id,r=N,tokenauth=true");
    }

    #[test]
    fn nonsense_is_named_and_costs_nothing() {
        let dialog = Dialog::new(Scram::Sha512, "user", "N", false);
        for (server, part) in [
            ("r=Nx,s=AAAA", "lacks i="),
            ("r=other,s=AAAA,i=4096", "nonce"),
            ("r=N,s=AAAA,i=4096", "nonce"),
            ("r=Nx,s=?,i=4096", "base64"),
            ("r=Nx,s=AAAA,i=0", "iterations"),
            ("r=Nx,s=AAAA,i=1", "iterations"),
            ("r=Nx,s=AAAA,i=4095", "iterations"),
            ("r=Nx,s=,i=4096", "salt is empty"),
            ("m=x,r=Nx,s=AAAA,i=4096", "m="),
            ("r=Nx,s=AAAA,i=4294967295", "iterations"),
        ] {
            let error = dialog.last("secret", server.as_bytes()).expect_err(server);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let login = Login::Scram {
            scram: Scram::Sha256,
            user: "u".into(),
            password: Secret::new("a password of ours"),
            delegated: false,
        };
        let mut nonce = String::new();
        let result = login.run(|message: Vec<u8>| -> Result<Vec<u8>, ()> {
            let text = String::from_utf8(message).expect("text");
            if let Some((_, ours)) = text.split_once(",,n=u,r=") {
                ours.clone_into(&mut nonce);
                return Ok(format!("r={nonce}xyz,s=AAAA,i=4096").into_bytes());
            }
            Ok(b"v=AAAA".to_vec())
        });
        assert!(matches!(result, Err(Refused::Protocol(text)) if text.contains("did not prove")));
    }

    proptest::proptest! {
        #[test]
        fn cut_messages_never_panic(server in ".{0,40}") {
            let _ = Dialog::new(Scram::Sha256, "user", "N", false).last("secret", server.as_bytes());
        }

        #[test]
        fn damaged_dialogs_never_panic(server in damaged("r=Nxyz,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")) {
            let _ = Dialog::new(Scram::Sha256, "user", "N", false).asked(server.as_bytes());
        }
    }
}

//! A token of a service account and its file. It is shown once: it is written whole, and proven by using it.
//!
//! | token file        | its name on the server | then                                           |
//! |-------------------|------------------------|------------------------------------------------|
//! | lets in           | –                      | unchanged                                      |
//! | refused, missing  | free                   | a new token of that name                       |
//! | lets in, no right | –                      | unchanged: the account's role is its own matter |
//! | is of elsewhere   | –                      | as one that is refused: another organization's token is none |
//! | refused, missing  | taken                  | a new token `<name>-<n>`, with a warning        |

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use common::engine::change::Failure;
use common::engine::document::Request;
use common::net::http::Call;
use common::output::secret::Secret;
use common::process::settings::Login;
use serde_json::{Value, json};

use crate::scope::Scope;
use crate::step::post;

/// Whether the token in a file lets in. One of a disabled account cannot be tried; that it is there has to do.
pub(super) fn proven(scope: &Scope, file: &str, disabled: bool) -> Result<bool, Failure> {
    let key = match fs::read_to_string(file) {
        Ok(key) => key.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Failure::rejected(format!("cannot read the token file {file}: {error}"))),
    };
    if key.is_empty() {
        return Ok(false);
    }
    if disabled {
        return Ok(true);
    }
    let client = scope.client().with_login(&Login::Bearer(Secret::new(key)));
    let reply = client.send(&Call::get("/api/org").accept(401).accept(403))?;
    // 403 knows whose token it is: an account of the role None may read nothing, and its token is as good as any.
    Ok(match reply.status {
        401 => false,
        403 => true,
        // One of another organization lets in as well, but not here.
        _ => scope.is_number(&reply.json()?["id"]),
    })
}

/// The token's name, or the first of `<name>-2`, `<name>-3`, … that is free among the account's tokens, as a number.
pub(super) fn free(list: &Value, name: &str) -> u64 {
    let names: Vec<&Value> = list.as_array().into_iter().flatten().map(|token| &token["name"]).collect();
    let mut number = 1;
    while names.iter().any(|held| **held == named(name, number)) {
        number += 1;
    }
    number
}

fn named(name: &str, number: u64) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

/// The request for a token of that number. `enabled`: only now can the one in the file be tried, once the account is enabled.
pub(super) fn request(account: &str, token: &Value, number: u64, file: &str, enabled: bool) -> Request {
    let name = token["name"].as_str().unwrap_or_default();
    let mut body = json!({"name": named(name, number)});
    if let Some(seconds) = token.get("secondsToLive") {
        body["secondsToLive"] = seconds.clone();
    }
    let about = json!({"name": name, "number": number, "file": file, "enabled": enabled});
    Request { about, ..post(format!("{account}/tokens"), &body) }
}

/// Makes a token and writes its file. If the file cannot be written the token is lost, and the next run makes another.
pub(super) fn make(scope: &Scope, call: &Call, about: &Value) -> Result<(), Failure> {
    let text = |field: &str| about[field].as_str().unwrap_or_default();
    let (name, file) = (text("name"), text("file"));
    if about["enabled"] == true && proven(scope, file, false)? {
        return Ok(());
    }
    let mut body: Value = serde_json::from_slice(call.body.as_deref().unwrap_or_default())
        .map_err(|error| Failure::fatal(format!("the request for a token is no JSON: {error}")))?;
    let first = about["number"].as_u64().unwrap_or(1);
    for number in first..first + 100 {
        let wanted = named(name, number);
        body["name"] = json!(wanted);
        let sent = Call { body: Some(body.to_string().into_bytes()), ..call.clone() };
        // Names are unique in the organization: another account's token may bear this one.
        let reply = match scope.client().send(&sent.accept(400).accept(409))? {
            reply if reply.status < 300 => reply.json()?,
            reply if reply.body.contains("ErrTokenAlreadyExists") || reply.status == 409 => continue,
            reply => {
                let words = crate::dialect::explain(&reply.body).unwrap_or(reply.body);
                return Err(Failure::rejected(format!("POST {}: status {}: {words}", call.path, reply.status)));
            }
        };
        let key = Secret::new(reply["key"].as_str().ok_or_else(|| Failure::fatal("the new token has no key"))?);
        if number > 1 {
            let text = format!("the token {name} exists, but its file {file} does not let in: made {wanted}");
            log::warn!(detail = text; "service account");
        }
        return keep(Path::new(file), key.reveal())
            .map_err(|error| Failure::rejected(format!("cannot write the token file {file}: {error}")));
    }
    let last = named(name, first + 99);
    Err(Failure::rejected(format!("the token names {name} to {last} are all taken: delete some of them in Grafana")))
}

/// Written under another name and renamed: there whole, or not at all.
fn keep(file: &Path, key: &str) -> std::io::Result<()> {
    let partial = partial(file);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    let kept = out.write_all(key.as_bytes()).and_then(|()| out.sync_all()).and_then(|()| fs::rename(&partial, file));
    if kept.is_err() {
        // Half a token is none; what went wrong with it is said.
        let _ = fs::remove_file(&partial);
    }
    kept
}

/// A name of this run's own: two runs with one volume would take each other's file away.
fn partial(file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(format!(".{:016x}.partial", RandomState::new().build_hasher().finish()));
    file.with_file_name(name)
}

/// Tries to write beside the file: a token that could not be kept would be lost.
pub(super) fn can_be_kept(file: &Path) -> std::io::Result<()> {
    let probe = partial(file);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
    fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn runs_that_share_a_volume_do_not_take_each_others_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("token");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    can_be_kept(&file).expect("the folder can be written to");
                    keep(&file, "glsa_whole").expect("it is kept");
                });
            }
        });
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "glsa_whole");
        assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder can be read").count(), 1);
    }
}

//! Single values: durations, URLs, secrets in files. Each error is the rest of a sentence that begins with the setting's name.

use std::time::Duration;

/// Parses `500ms`, `10s`, `2m`, `1h`, or a number of seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || "must be a duration such as 500ms, 10s, 2m or 1h".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(wrong()),
    };
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

/// Shows a duration the way it is written.
#[must_use]
pub fn show(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "0s".into(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

/// A value as it may stand in an error: what may be, or hold, a password is not shown.
///
/// ```
/// assert_eq!(common::process::settings::quoted("soon"), "soon");
/// assert_eq!(common::process::settings::quoted("http://u:p@h"), "(a value of 12 characters, not shown)");
/// ```
#[must_use]
pub fn quoted(value: &str) -> String {
    let count = value.chars().count();
    if count <= 40 && !value.contains(['@', ':']) {
        value.to_owned()
    } else {
        format!("(a value of {count} characters, not shown)")
    }
}

/// User name and password out of a URL.
pub(super) type User = Option<(String, String)>;

/// Takes a URL apart: the base without trailing slash and user information, and the user. The error is a rule and quotes nothing: where a
/// URL does not parse because of its password, nobody knows which part of it the password is.
pub(super) fn parse_url(url: &str) -> Result<(String, User), &'static str> {
    const CODES: &str = "in a user name or password, @ : / ? # , and % are written %40 %3A %2F %3F %23 %2C %25";
    let (scheme, rest) = url.split_once("://").ok_or("must begin with http:// or https://")?;
    if !matches!(scheme, "http" | "https") {
        return Err("must begin with http:// or https://");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if path.contains('@') {
        return Err(CODES);
    }
    if path.contains(['?', '#']) {
        return Err("a query or fragment has no place in a base URL");
    }
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(parse_user(user)?), host),
        None => (None, authority),
    };
    check_host(host)?;
    let base = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
    let uri: Result<ureq::http::Uri, _> = base.parse();
    uri.map_err(|_| "has characters that a URL cannot hold: they are percent-encoded")?;
    Ok((base, user))
}

fn parse_user(user: &str) -> Result<(String, String), &'static str> {
    let (name, password) = user.split_once(':').ok_or("the user information needs user:password@")?;
    let decode = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8();
        text.map(std::borrow::Cow::into_owned).map_err(|_| "the user information is not percent-encoded UTF-8")
    };
    Ok((decode(name)?, decode(password)?))
}

/// A name or address, perhaps with a port. What cannot be a port is none: a client would take the default and send the credentials there.
fn check_host(host: &str) -> Result<(), &'static str> {
    const PORT: &str = "the port must be a number from 1 to 65535";
    let (name, rest) = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or("an IPv6 address stands in brackets: [::1]:9200")?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if name.is_empty() {
        return Err("has no host");
    }
    if host.starts_with('[') && name.parse::<std::net::Ipv6Addr>().is_err() {
        return Err("has no IPv6 address in its brackets");
    }
    if rest.matches(':').count() > 1 {
        return Err("an IPv6 address stands in brackets: [::1]:9200");
    }
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok(()),
        None => Err(PORT),
        Some(port) => {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            if digits && port.parse::<u16>().is_ok_and(|port| port > 0) { Ok(()) } else { Err(PORT) }
        }
    }
}

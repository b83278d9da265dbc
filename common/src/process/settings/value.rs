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

/// User name and password out of a URL.
pub(super) type User = Option<(String, String)>;

/// Takes a URL apart: the base without trailing slash and user information, and the user.
pub(super) fn parse_url(url: &str) -> Result<(String, User), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Without a scheme nobody knows where a password would end: what comes before the last @ is not shown.
        let shown = url.rsplit('@').next().unwrap_or_default();
        return Err(format!("{shown}: must begin with http:// or https://"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(format!(
            "{}://…: must begin with http:// or https://",
            scheme.rsplit('@').next().unwrap_or_default()
        ));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let user = match user {
        None => None,
        Some(user) => {
            let (name, password) = user.split_once(':').ok_or("the user information needs user:password@")?;
            let decode =
                |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
            let wrong = |_| "the user information is not percent-encoded UTF-8".to_owned();
            Some((decode(name).map_err(wrong)?, decode(password).map_err(wrong)?))
        }
    };
    if host.is_empty() || host.starts_with(':') {
        return Err(format!("{scheme}://{host}: has no host"));
    }
    if path.contains(['?', '#']) {
        return Err(format!("{scheme}://{host}: a query or fragment has no place in a base URL"));
    }
    let base = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
    let parsed: Result<ureq::http::Uri, _> = base.parse();
    if let Err(error) = parsed {
        return Err(format!("{base}: {error}"));
    }
    Ok((base, user))
}

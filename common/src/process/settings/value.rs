//! Single values: durations, URLs, secrets in files. Each error is the rest of a sentence that begins with the setting's name.

use std::path::Path;
use std::time::Duration;

/// Reads a secret from a file: one trailing newline is dropped, an empty file is an error.
pub fn read_secret(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| cannot_read(path, &error))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(text.to_owned())
}

/// Why a file cannot be read, with owner, mode and remedy where rights are the reason.
#[must_use]
pub fn cannot_read(path: &Path, error: &std::io::Error) -> String {
    use std::os::unix::fs::MetadataExt;
    let shown = path.display();
    if error.kind() != std::io::ErrorKind::PermissionDenied {
        return format!("cannot read {shown}: {error}");
    }
    // The effective ids as the kernel tells them; asking libc would need an unsafe call.
    let me =
        std::fs::metadata("/proc/self").map_or_else(|_| "this user".into(), |me| format!("{}:{}", me.uid(), me.gid()));
    match std::fs::metadata(path) {
        Ok(file) => format!(
            "cannot read {shown}: permission denied, it belongs to {}:{} with mode {:04o} and this process runs as {me}; \
             make it readable for that user (chmod {}, or chown to {me}), or run as its owner",
            file.uid(),
            file.gid(),
            file.mode() & 0o7777,
            if file.is_dir() { "o+rx" } else { "o+r" }
        ),
        Err(_) => {
            format!("cannot read {shown}: permission denied for {me}; a folder above it is not open to that user")
        }
    }
}

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

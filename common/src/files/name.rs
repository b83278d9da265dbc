//! Names of objects as names of files. Knows nothing of kinds.

/// Decodes a file name: `%XX` strictly, UTF-8, no NUL; `+` is literal.
pub fn decode(name: &str) -> Result<String, String> {
    let hex = |at: usize| name.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if let Some((at, _)) = name.match_indices('%').find(|(at, _)| !hex(at + 1) || !hex(at + 2)) {
        return Err(format!("the name has a % at byte {at} that is not %XX: write %25 for a literal %"));
    }
    let decoded = percent_encoding::percent_decode_str(name)
        .decode_utf8()
        .map_err(|_| "the name does not decode to UTF-8".to_owned())?;
    if decoded.contains('\0') {
        return Err("the name holds a NUL".into());
    }
    if decoded.is_empty() {
        return Err("the name is empty".into());
    }
    Ok(decoded.into_owned())
}

/// Encodes an object's name as a file's, so that `decode` gives it back and it cannot leave its folder.
#[must_use]
pub fn encode(name: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const UNSAFE: AsciiSet =
        CONTROLS.add(b'/').add(b'\\').add(b'%').add(b':').add(b'*').add(b'?').add(b'"').add(b'<').add(b'>').add(b'|');
    // What is not ASCII stays: encoded, a name of thirty Chinese characters would be longer than file systems take.
    let plain = |c: char| !c.is_ascii() && !c.is_control();
    let show =
        |c: char| if plain(c) { c.to_string() } else { utf8_percent_encode(&c.to_string(), &UNSAFE).to_string() };
    let encoded: String = name.chars().map(show).collect();
    // A leading dot would hide the file, or be `..`; a leading underscore is free.
    match encoded.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => encoded,
    }
}

//! Durations as the alerting API reads and shows them.

/// A duration in Prometheus' form, "5m" for "300s".
pub(super) fn duration(text: &str) -> Option<String> {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, true),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    let mut left = milliseconds(text)?;
    if left == 0 {
        return Some("0s".to_owned());
    }
    let mut shown = String::new();
    for (unit, size, exact) in UNITS {
        // Prometheus shows years, weeks and days only where nothing remains.
        if (exact && !left.is_multiple_of(size)) || left < size {
            continue;
        }
        shown.push_str(&format!("{}{unit}", left / size));
        left %= size;
    }
    Some(shown)
}

fn milliseconds(text: &str) -> Option<u64> {
    let mut total = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    Some(total)
}

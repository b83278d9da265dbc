//! Time zones by their names in the tz database: whether a name can be one. A newer server may know a zone that this list lacks; so only
//! a name whose area is none, or that is nearly one of the list, is wrong for certain.

use common::files::nearest;

/// Each area with its zones; `-` stands for no area. After the tz database of 2025.
const ZONES: &str = include_str!("zones.txt");

/// What is thought of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    Known,
    /// Not in the list, but it may be newer.
    Unknown,
    /// No zone; the text says what is wrong.
    Wrong(String),
}

/// Judges a name as Go's `time.LoadLocation` reads it.
pub(crate) fn zone(name: &str) -> Zone {
    let (area, city) = name.split_once('/').unwrap_or(("-", name));
    let line = ZONES.lines().find_map(|line| line.split_once(' ').filter(|(known, _)| *known == area));
    let Some((_, cities)) = line else {
        return Zone::Wrong(format!("{name:?} is no time zone: expected a name such as Europe/Berlin or UTC"));
    };
    // Go's name for the server's own zone.
    if name == "Local" || cities.split(' ').any(|known| known == city) {
        return Zone::Known;
    }
    match nearest(city, cities.split(' ')) {
        Some(near) if area == "-" => Zone::Wrong(format!("{name:?} is no time zone: did you mean {near}?")),
        Some(near) => Zone::Wrong(format!("{name:?} is no time zone: did you mean {area}/{near}?")),
        None => Zone::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_none_is_wrong() {
        for known in ["Europe/Berlin", "UTC", "Local", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert_eq!(zone(known), Zone::Known, "{known}");
        }
        let wrong = |name: &str| match zone(name) {
            Zone::Wrong(why) => why,
            other => panic!("{name}: {other:?}"),
        };
        assert!(wrong("Nowhere/X").contains("expected a name"));
        assert!(wrong("Europe/Berln").ends_with("did you mean Europe/Berlin?"));
        assert!(wrong("utc").ends_with("did you mean UTC?"));
        assert_eq!(zone("Europe/Neustadt-an-der-Weinstrasse"), Zone::Unknown);
    }
}

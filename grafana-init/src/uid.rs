//! Uids: the rule by which an object without one of its own gets one, and what Grafana allows.

use ring::digest::{SHA256, digest};

/// The longest uid that Grafana takes.
pub(crate) const LONGEST: usize = 40;
const SLUG: usize = 31;

/// The uid of what lies at a path: its slug, cut to 31 characters, and 8 hex digits of the path's hash.
/// Folders get another hash than dashboards of the same path: up to 11 both are rows of one table.
pub(crate) fn of_path(parts: &[String], folder: bool) -> String {
    let path = parts.join("/") + if folder { "/" } else { "" };
    let mut slug = String::new();
    for c in path.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(SLUG);
    let hash: String =
        digest(&SHA256, path.as_bytes()).as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    match slug.trim_matches('-') {
        "" => hash,
        slug => format!("{slug}-{hash}"),
    }
}

/// What is wrong with a uid, if anything.
pub(crate) fn wrong(uid: &str) -> Option<String> {
    if uid.is_empty() {
        return Some("a uid cannot be empty".to_owned());
    }
    if uid.len() > LONGEST {
        return Some(format!("the uid {uid:?} has {} characters, Grafana takes at most {LONGEST}", uid.len()));
    }
    let bad = uid.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))?;
    Some(format!("the uid {uid:?} contains {bad:?}: only letters, digits, - and _ are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(path: &str) -> String {
        of_path(&path.split('/').map(str::to_owned).collect::<Vec<_>>(), false)
    }

    #[test]
    fn a_path_becomes_a_readable_uid() {
        assert_eq!(of("Platform/Kafka/Broker overview"), "platform-kafka-broker-overview-a1f5087f");
        assert_eq!(of("Über uns"), "ber-uns-b7defbf9");
        assert_eq!(of("日本").len(), 8);
    }

    #[test]
    fn a_folder_and_a_dashboard_of_one_path_differ() {
        let parts = ["a".to_owned(), "b".to_owned()];
        assert_ne!(of_path(&parts, false), of_path(&parts, true));
    }

    #[test]
    fn grafanas_limits_are_known() {
        assert_eq!(wrong("a-B_9"), None);
        assert!(wrong("b d!").is_some_and(|why| why.contains("' '")));
        assert!(wrong(&"u".repeat(41)).is_some_and(|why| why.contains("41")));
        assert!(wrong("").is_some());
    }

    proptest! {
        #[test]
        fn every_path_gives_a_good_uid(parts in prop::collection::vec(".{0,40}", 1..5), folder in any::<bool>()) {
            let uid = of_path(&parts, folder);
            prop_assert_eq!(wrong(&uid), None);
        }
    }
}

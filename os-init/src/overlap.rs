//! Templates and policies that claim the same indices with the same priority: the server refuses the later one, so they are found before
//! the first write. The writes are gone through in order, because two files that swap priorities collide half-way. Pure.

/// Who claims which index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The template's or policy's name.
    pub(crate) name: String,
    /// Each priority with its patterns; a policy may have several.
    pub(crate) rules: Vec<(i64, Vec<String>)>,
}

/// Goes through the writes in order over what the server holds; says for each that would be refused who is in its way.
pub(crate) fn collisions(mut held: Vec<Claim>, writes: &[Claim]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for write in writes {
        if let Some(why) = within(write).or_else(|| against(write, &held, writes)) {
            found.push((write.name.clone(), why));
        }
        held.retain(|claim| claim.name != write.name);
        held.push(write.clone());
    }
    found
}

fn within(write: &Claim) -> Option<String> {
    for (index, (priority, patterns)) in write.rules.iter().enumerate() {
        for (other, others) in &write.rules[index + 1..] {
            if let Some((a, b)) = meeting(patterns, others).filter(|_| priority == other) {
                return Some(format!("its patterns {a} and {b} overlap with the same priority {priority}"));
            }
        }
    }
    None
}

fn against(write: &Claim, held: &[Claim], writes: &[Claim]) -> Option<String> {
    for claim in held.iter().filter(|claim| claim.name != write.name) {
        for (priority, patterns) in &write.rules {
            for (other, others) in &claim.rules {
                let Some((a, b)) = meeting(patterns, others).filter(|_| priority == other) else { continue };
                let name = &claim.name;
                let later = writes.iter().find(|later| later.name == *name && later.rules != claim.rules);
                let advice = if later.is_some() {
                    format!(
                        "{name} is to change too, but only afterwards: give one of them a priority that is free, and the other one's in a second run"
                    )
                } else {
                    "give one of them another priority".to_owned()
                };
                return Some(format!(
                    "its pattern {a} overlaps {b} of {name} with the same priority {priority}: {advice}"
                ));
            }
        }
    }
    None
}

/// Two patterns that some name matches both of. Lists with exclusions are for the server to judge.
fn meeting<'p>(mine: &'p [String], others: &'p [String]) -> Option<(&'p str, &'p str)> {
    if mine.iter().chain(others).any(|pattern| pattern.starts_with('-')) {
        return None;
    }
    mine.iter().find_map(|a| others.iter().find(|b| overlap(a, b)).map(|b| (a.as_str(), b.as_str())))
}

/// Whether some name matches both patterns, `*` standing for anything.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // reach[j]: whether a[..i] and b[..j] can be names' common beginning.
    let mut reach = vec![false; b.len() + 1];
    for i in 0..=a.len() {
        let before = reach.clone();
        for j in 0..=b.len() {
            let star_a = i > 0 && a[i - 1] == '*';
            let star_b = j > 0 && b[j - 1] == '*';
            reach[j] = (i == 0 && j == 0)
                || (star_a && (before[j] || (j > 0 && reach[j - 1])))
                || (star_b && ((j > 0 && reach[j - 1]) || (i > 0 && before[j])))
                || (i > 0 && j > 0 && a[i - 1] == b[j - 1] && before[j - 1]);
        }
    }
    reach[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(name: &str, priority: i64, patterns: &[&str]) -> Claim {
        Claim { name: name.into(), rules: vec![(priority, patterns.iter().map(|p| (*p).to_owned()).collect())] }
    }

    #[test]
    fn patterns_overlap_when_a_name_matches_both() {
        for (a, b) in [("a-*", "a-b-*"), ("*", "x"), ("*-x", "a-*"), ("a*c", "ab*"), ("a", "a"), ("a*b*c", "*bc")] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("a-*", "b-*"), ("a", "ab"), ("a*c", "a*d"), ("", "a"), ("logs-app-*", "logs-db-*")] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }

    #[test]
    fn the_same_priority_collides_and_another_does_not() {
        let held = vec![claim("old", 5, &["logs-*"])];
        let found = collisions(held.clone(), &[claim("new", 5, &["logs-app-*"])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].1.contains("overlaps logs-* of old with the same priority 5"), "{found:?}");
        assert_eq!(collisions(held.clone(), &[claim("new", 6, &["logs-app-*"])]), []);
        assert_eq!(collisions(held, &[claim("old", 5, &["logs-app-*"])]), []);
    }

    #[test]
    fn a_swap_is_found() {
        let held = vec![claim("a", 1, &["x-*"]), claim("b", 2, &["x-*"])];
        let found = collisions(held, &[claim("a", 2, &["x-*"]), claim("b", 1, &["x-*"])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].1.contains("second run"), "{found:?}");
    }

    #[test]
    fn a_chain_that_frees_each_priority_in_time_is_none() {
        let held = vec![claim("a", 1, &["x-*"]), claim("b", 2, &["x-*"])];
        assert_eq!(collisions(held, &[claim("a", 3, &["x-*"]), claim("b", 1, &["x-*"])]), []);
    }

    #[test]
    fn a_policy_may_collide_with_itself() {
        let own = Claim { name: "p".into(), rules: vec![(1, vec!["a-*".into()]), (1, vec!["*".into()])] };
        assert_eq!(collisions(Vec::new(), &[own]).len(), 1);
    }

    fn matches(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| matches(rest, &name[n..])),
            Some((first, rest)) => name.first() == Some(first) && matches(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_common_name_means_an_overlap(a in "[ab*]{0,4}", b in "[ab*]{0,4}", name in "[ab]{0,5}") {
            if matches(a.as_bytes(), name.as_bytes()) && matches(b.as_bytes(), name.as_bytes()) {
                prop_assert!(overlap(&a, &b));
            }
        }

        #[test]
        fn a_literal_overlaps_what_matches_it(a in "[ab*]{0,4}", name in "[ab]{0,5}") {
            prop_assert_eq!(overlap(&a, &name), matches(a.as_bytes(), name.as_bytes()));
        }
    }
}

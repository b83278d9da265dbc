//! Templates and policies that claim the same indices with the same priority: the server refuses the later one, so they are found before
//! the first write. The writes are gone through in order, because two files that swap priorities collide half-way. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Who claims which index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The template's or policy's name.
    pub(crate) name: String,
    /// Each priority with its patterns; a policy may have several.
    pub(crate) rules: Vec<(i64, Vec<String>)>,
}

/// Goes through the writes in order over what the server holds; says for each that would be refused who is in its way.
pub(crate) fn collisions(held: Vec<Claim>, writes: &[Claim]) -> Vec<(String, String)> {
    let later: BTreeMap<&str, &Claim> = writes.iter().map(|write| (write.name.as_str(), write)).collect();
    let mut claims = Claims::default();
    for claim in held {
        claims.put(claim);
    }
    let mut found = Vec::new();
    for write in writes {
        if let Some(why) = within(write).or_else(|| claims.against(write, &later)) {
            found.push((write.name.clone(), why));
        }
        claims.put(write.clone());
    }
    found
}

/// Claims by priority and pattern.
#[derive(Default)]
struct Claims {
    all: BTreeMap<String, Claim>,
    /// Of each priority the patterns, and who has them.
    patterns: BTreeMap<i64, BTreeMap<String, BTreeSet<String>>>,
}

impl Claims {
    /// Takes the place of what had the name.
    fn put(&mut self, claim: Claim) {
        for (priority, pattern) in self.all.get(&claim.name).into_iter().flat_map(patterns) {
            if let Some(holders) = self.patterns.get_mut(&priority).and_then(|patterns| patterns.get_mut(pattern)) {
                holders.remove(&claim.name);
            }
        }
        for (priority, pattern) in patterns(&claim) {
            let patterns = self.patterns.entry(priority).or_default();
            patterns.entry(pattern.to_owned()).or_default().insert(claim.name.clone());
        }
        self.all.insert(claim.name.clone(), claim);
    }

    fn against(&self, write: &Claim, later: &BTreeMap<&str, &Claim>) -> Option<String> {
        let meets = |(priority, mine)| {
            let met = near(self.patterns.get(&priority)?, mine).filter(|(theirs, _)| overlap(mine, theirs));
            let other = met.flat_map(|(theirs, names)| names.iter().map(move |name| (theirs, name)));
            other.filter(|(_, name)| **name != write.name).map(|(theirs, name)| (priority, mine, theirs, name)).next()
        };
        let (priority, mine, theirs, name) = patterns(write).find_map(meets)?;
        let advice = if later.get(name.as_str()).is_some_and(|later| later.rules != self.all[name].rules) {
            format!(
                "{name} is to change too, but only afterwards: give one of them a priority that is free, and the other one's in a second run"
            )
        } else {
            "give one of them another priority".to_owned()
        };
        Some(format!("its pattern {mine} overlaps {theirs} of {name} with the same priority {priority}: {advice}"))
    }
}

/// The patterns of a claim, each with its priority. Lists with exclusions are for the server to judge.
fn patterns(claim: &Claim) -> impl Iterator<Item = (i64, &str)> {
    let judged = claim.rules.iter().filter(|(_, patterns)| !excludes(patterns));
    judged.flat_map(|(priority, patterns)| patterns.iter().map(|pattern| (*priority, pattern.as_str())))
}

/// Of sorted patterns those that can meet one: that begin like it, or whose `*` comes before they differ.
pub(crate) fn near<'s, V>(
    sorted: &'s BTreeMap<String, V>,
    pattern: &str,
) -> impl Iterator<Item = (&'s String, &'s V)> + use<'s, V> {
    let beginning = beginning(pattern);
    let shorter = (0..beginning.len()).filter_map(|end| beginning.get(..end)).map(|start| format!("{start}*"));
    let starts: Vec<String> = shorter.chain([beginning.to_owned()]).collect();
    starts
        .into_iter()
        .flat_map(move |start| sorted.range(start.clone()..).take_while(move |(known, _)| known.starts_with(&start)))
}

fn excludes(patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| pattern.starts_with('-'))
}

/// What stands before the first `*`.
fn beginning(pattern: &str) -> &str {
    pattern.split('*').next().unwrap_or_default()
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

/// Two patterns that some name matches both of.
fn meeting<'p>(mine: &'p [String], others: &'p [String]) -> Option<(&'p str, &'p str)> {
    if excludes(mine) || excludes(others) {
        return None;
    }
    mine.iter().find_map(|a| others.iter().find(|b| overlap(a, b)).map(|b| (a.as_str(), b.as_str())))
}

/// Whether some name matches both patterns, `*` standing for anything.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    if beginning(a).bytes().zip(beginning(b).bytes()).any(|(a, b)| a != b) {
        return false;
    }
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
    fn of_many_the_one_in_the_way_is_found() {
        let held: Vec<Claim> = (0..20_000).map(|n| claim(&format!("p{n}"), 5, &[&format!("p{n:05}-*")])).collect();
        let mut writes = held.clone();
        writes.extend([claim("short", 5, &["p0*"]), claim("long", 5, &["p19999-a-*"]), claim("end", 5, &["*-z"])]);
        let found = collisions(held, &writes);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["short", "long", "end"]);
        assert!(found[1].1.contains("overlaps p19999-* of p19999"), "{found:?}");
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

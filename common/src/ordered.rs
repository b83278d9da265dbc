//! Maps and sets of what an iterator gives, put in one after the other. No other collection, and no judgment.
//!
//! `collect` sorts first, by code that each type has of its own: 3 kB of a program for each. Every size that occurs here is as fast without.

use std::collections::{BTreeMap, BTreeSet};

/// The entries as a map; of equal keys the last one stays, as with `collect`.
pub fn map<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(entries);
    map
}

/// The items as a set.
pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(items);
    set
}

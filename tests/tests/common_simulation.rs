//! Lives of the runner in a simulated world: a sample of what `faults_simulation` does, and each rule broken on purpose.

use kit::simulation::{MUTANTS, Mutant, lives};

#[test]
fn no_life_ends_in_a_false_success() {
    let (tally, result) = lives(0, 1000, Mutant::None, || true);
    assert_eq!(result, Ok(()));
    assert_eq!(tally.lives, 1000);
    // A simulation that meets no fault proves nothing.
    assert!(tally.faults.len() >= 10 && tally.faults.values().all(|met| *met > 20), "{:?}", tally.faults);
    assert!(
        ["ok", "killed", "auth", "unavailable"].iter().all(|end| tally.ended.contains_key(*end)),
        "{:?}",
        tally.ended
    );
}

#[test]
fn each_rule_that_is_broken_on_purpose_is_found_within_a_thousand_lives() {
    for mutant in MUTANTS {
        let (tally, result) = lives(0, 1000, mutant, || true);
        assert!(result.is_err(), "{mutant:?} is not found in {} lives", tally.lives);
    }
}

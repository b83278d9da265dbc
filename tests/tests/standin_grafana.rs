//! The Grafana stand-in against the recorded answers of real servers: every question of every list, in its order, gets the recorded
//! status, content type and body.

use kit::grafana::{Profile, replay};

#[track_caller]
fn answers_as_recorded(profile: Profile) {
    for (name, questions) in profile.transcripts() {
        assert!(questions.len() > 50, "{name} is whole");
        let differences = replay(profile, &questions);
        assert!(differences.is_empty(), "{name}: {} answers differ:\n{}", differences.len(), differences.join("\n"));
    }
}

#[test]
fn version_10_answers_as_recorded() {
    answers_as_recorded(Profile::V10);
}

#[test]
fn version_11_answers_as_recorded() {
    answers_as_recorded(Profile::V11);
}

#[test]
fn version_12_answers_as_recorded() {
    answers_as_recorded(Profile::V12);
}

#[test]
fn the_comparison_tells_neighboring_versions_apart() {
    // The first lists differ from each other in about 90 and 105 answers.
    let first = |profile: Profile| profile.transcripts().swap_remove(0).1;
    assert!(replay(Profile::V10, &first(Profile::V11)).len() > 80);
    assert!(replay(Profile::V11, &first(Profile::V12)).len() > 80);
}

//! What the read-back makes of an object that was written: one pure table. When to read, to pause and to write is in `write`.
//!
//! | read back as                                   | its write was      | then                                                       |
//! |------------------------------------------------|--------------------|------------------------------------------------------------|
//! | equal, or with the drift that was left on purpose | anything        | settled: the read-back is the proof                        |
//! | equal but for keys that the server added        | good               | settled, with one warning: they are the server's defaults  |
//! | different                                      | good               | lags until the kind's `settles_within` is over, then failed |
//! | different                                      | again or ambiguous | sent again, `MAX_RETRIES` times at most                    |
//! | not there, or as different as before           | taken              | lags, then failed: it would be refused again               |
//! | there, and different                           | taken, to make it  | sent again, as a change of what somebody else made         |
//! | different, and cannot be changed in place      | again or ambiguous | left with `ON_DRIFT=warn`, and the rest sent again; lags, then failed otherwise |
//! | different                                      | refused            | failed, for the reason that the write gave                 |
//! | unreadable, and that may pass                  | not refused        | lags                                                       |
//! | unreadable                                     | anything           | failed                                                     |

use super::{OnDrift, drift_text};
use crate::engine::change::{Action, Change, Class, Difference, Failure, Shown};

/// What is to be done about one object that was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is as declared; with what a person should know.
    Settled(Vec<String>),
    /// Look again: the server may not show it yet.
    Lagging,
    /// Send it again.
    Again,
    /// It is not as declared, and nothing more is done about it.
    Failed(Failure),
}

/// How far an object has come when it is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'s> {
    /// What was to be done before the first write.
    pub(super) before: &'s Change,
    /// What the last write came back with.
    pub(super) write: &'s Result<(), Failure>,
    /// Whether the kind's `settles_within` is over.
    pub(super) late: bool,
    /// Whether `MAX_RETRIES` allows one more write.
    pub(super) may_repeat: bool,
    /// Whether drift that was there before is left.
    pub(super) on_drift: OnDrift,
}

/// Judges what was read back.
pub(super) fn judge(standing: Standing<'_>, verdict: &Result<Change, Failure>) -> Next {
    let left = match (verdict, standing.write) {
        (Ok(left), _) => left,
        (Err(_), Err(refusal)) if !refusal.class.recovers() && refusal.class != Class::Taken => {
            return Next::Failed(refusal.clone());
        }
        (Err(failure), _) if failure.class.recovers() => return Next::Lagging,
        (Err(failure), _) => return Next::Failed(failure.clone().context("cannot read it back")),
    };
    let left_on_purpose = standing.on_drift == OnDrift::Warn && was_drift(standing.before, left);
    if left.action == Action::None || left_on_purpose {
        return Next::Settled(left.notes.clone());
    }
    match standing.write {
        Err(failure) if failure.class == Class::Taken => match left.action == standing.before.action {
            false if standing.may_repeat => Next::Again,
            true if !standing.late => Next::Lagging,
            _ => Next::Failed(failure.clone()),
        },
        // The server refused it for good, or a twin was quicker: nothing that is sent again can make it so.
        Err(failure)
            if failure.class.recovers() && left.drifted() && (standing.on_drift == OnDrift::Fail || !left.writes()) =>
        {
            if !standing.late {
                return Next::Lagging;
            }
            Next::Failed(Failure { class: Class::Rejected, ..failure.clone() }.context(drift_text(left)))
        }
        Err(failure) if failure.class.recovers() && standing.may_repeat => Next::Again,
        Err(failure) => Next::Failed(failure.clone()),
        // What was to go and is still there may only lag; what nobody ever saw before is the server's own.
        Ok(()) if only_added(left) && (standing.late || !only_added(standing.before)) => {
            let paths: Vec<&str> = left.differences.iter().map(|difference| difference.path.as_str()).collect();
            let mut notes = left.notes.clone();
            notes.push(format!("the server added {}, which no file names: taken as its default", paths.join(", ")));
            Next::Settled(notes)
        }
        Ok(()) if !standing.late => Next::Lagging,
        Ok(()) => Next::Failed(not_kept(left)),
    }
}

/// Whether all that is left was drift before the first write.
fn was_drift(before: &Change, left: &Change) -> bool {
    let known = |difference: &Difference| {
        !difference.fixable && before.differences.iter().any(|old| !old.fixable && old.path == difference.path)
    };
    left.action == Action::Update && left.differences.iter().all(known)
}

fn only_added(change: &Change) -> bool {
    change.action == Action::Update
        && change.locked.is_none()
        && change.differences.iter().all(|difference| difference.to == Shown::Absent && difference.fixable)
}

fn not_kept(left: &Change) -> Failure {
    match left.action {
        Action::Create => Failure::rejected("the server took it, but it is not there"),
        _ => Failure::rejected(format!("the server did not keep {}", left.detail())),
    }
}

/// What is said of an object that was not settled when `APPLY_TIMEOUT` ran out.
pub(super) fn out_of_time(write: &Result<(), Failure>, last: Option<&Failure>) -> Failure {
    match (write, last) {
        (Err(failure), _) if !failure.class.recovers() => failure.clone(),
        (Err(failure), _) | (Ok(()), Some(failure)) => {
            Failure { class: Class::Timeout, ..failure.clone() }.context("APPLY_TIMEOUT ran out")
        }
        (Ok(()), None) => Failure::new(Class::Timeout, "APPLY_TIMEOUT ran out before it was read back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(path: &str, to: Shown) -> Difference {
        Difference::new(path, Shown::text("a"), to)
    }

    fn left(path: &str, to: Shown) -> Change {
        Change::update(vec![difference(path, to)])
    }

    #[track_caller]
    fn check(before: &Change, write: &Result<(), Failure>, verdict: &Result<Change, Failure>, late: bool, next: &str) {
        let found = judge(Standing { before, write, late, may_repeat: true, on_drift: OnDrift::Warn }, verdict);
        let word = match &found {
            Next::Settled(notes) => format!("settled {}", notes.join("; ")),
            Next::Lagging => "lagging".into(),
            Next::Again => "again".into(),
            Next::Failed(failure) => format!("failed {failure}"),
        };
        assert_eq!(word.trim_end(), next);
    }

    #[test]
    fn each_row_of_the_table_holds() {
        let create = Change::create();
        let lost = Err(Failure::new(Class::Ambiguous, "connection lost"));
        let refused = Err(Failure::rejected("not like this"));
        let unreadable = Err(Failure::new(Class::Again, "busy"));
        check(&create, &lost, &Ok(Change::none()), false, "settled");
        check(&create, &refused, &Ok(Change::none()), false, "settled");
        check(&create, &Ok(()), &Ok(Change::create()), false, "lagging");
        check(&create, &Ok(()), &Ok(Change::create()), true, "failed the server took it, but it is not there");
        check(
            &create,
            &Ok(()),
            &Ok(left("/v", Shown::text("b"))),
            true,
            "failed the server did not keep /v: \"a\" -> \"b\"",
        );
        check(&create, &lost, &Ok(Change::create()), false, "again");
        let fixed = Difference { fixable: false, ..difference("/v", Shown::text("b")) };
        let kept = Ok(Change::update(vec![fixed.clone()]));
        let said = "failed /v: \"a\" -> \"b\" (cannot be changed in place): connection lost";
        check(&create, &lost, &kept, false, "lagging");
        check(&create, &lost, &kept, true, said);
        check(&Change::update(vec![fixed.clone()]), &lost, &kept, false, "settled");
        let rest = Ok(Change::update(vec![fixed, difference("/w", Shown::text("b"))]));
        check(&create, &lost, &rest, false, "again");
        check(&create, &refused, &Ok(Change::create()), false, "failed not like this");
        check(&create, &Ok(()), &unreadable, false, "lagging");
        let taken = Err(Failure::new(Class::Taken, "the name is taken"));
        check(&create, &taken, &Ok(Change::none()), false, "settled");
        check(&create, &taken, &Ok(Change::create()), false, "lagging");
        check(&create, &taken, &Ok(Change::create()), true, "failed the name is taken");
        check(&create, &taken, &Ok(left("/v", Shown::text("b"))), false, "again");
        check(&create, &taken, &unreadable, false, "lagging");
        check(&create, &lost, &unreadable, false, "lagging");
        check(&create, &refused, &unreadable, false, "failed not like this");
        check(&create, &Ok(()), &Err(Failure::rejected("no")), false, "failed cannot read it back: no");
    }

    #[test]
    fn what_the_server_adds_is_its_default_and_what_it_keeps_too_long_lags_first() {
        let added = Ok(left("/new", Shown::Absent));
        let said = "settled the server added /new, which no file names: taken as its default";
        check(&Change::create(), &Ok(()), &added, false, said);
        let removal = Change::update(vec![difference("/new", Shown::Absent)]);
        check(&removal, &Ok(()), &added, false, "lagging");
        check(&removal, &Ok(()), &added, true, said);
    }

    #[test]
    fn drift_after_a_write_fails_unless_it_was_there_and_is_left_on_purpose() {
        let fixed = Difference { fixable: false, ..difference("/shards", Shown::text("2")) };
        let drifted = Ok(Change::update(vec![fixed.clone()]));
        let before = Change::update(vec![fixed, difference("/v", Shown::text("b"))]);
        check(&before, &Ok(()), &drifted, false, "settled");
        let other =
            Ok(Change::update(vec![Difference { fixable: false, ..difference("/replicas", Shown::text("2")) }]));
        let said = "failed the server did not keep /replicas: \"a\" -> \"2\" (cannot be changed in place)";
        check(&before, &Ok(()), &other, true, said);
        check(
            &Change::create(),
            &Ok(()),
            &drifted,
            true,
            "failed the server did not keep /shards: \"a\" -> \"2\" (cannot be changed in place)",
        );
    }

    #[test]
    fn retries_that_are_used_up_leave_the_last_failure() {
        let (before, write) = (Change::create(), Err(Failure::new(Class::Again, "busy")));
        let standing =
            Standing { before: &before, write: &write, late: false, may_repeat: false, on_drift: OnDrift::Fail };
        assert_eq!(judge(standing, &Ok(Change::create())), Next::Failed(Failure::new(Class::Again, "busy")));
    }
}

//! The rules that a real Loki was measured to keep, asked of the stand-in and, where `LOKI_URL` names one, of a live Loki.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kit::loki::{Doors, Loki, ask, push};
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// The stand-in, and the live one if there is one.
fn each(case: impl Fn(&str)) {
    case(&Loki::new().url());
    // `./test` says when this is left out.
    if let Some(url) = std::env::var("LOKI_URL").ok().filter(|url| !url.is_empty()) {
        case(url.trim_end_matches('/'));
    }
}

fn now() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos().cast_signed()
}

fn at(offset_seconds: i128) -> Value {
    (now() + offset_seconds * 1_000_000_000).to_string().into()
}

/// Labels that no other case and no earlier run has, and the selector that finds them.
fn labels(case: &str) -> (Value, String) {
    let case = format!("{case}-{}", now());
    (json!({"service_name": "init-tests", "case": case}), format!(r#"{{service_name="init-tests", case="{case}"}}"#))
}

fn body(labels: &Value, values: &[Value]) -> String {
    json!({"streams": [{"stream": labels, "values": values}]}).to_string()
}

/// The lines that are there once as many are there as are expected.
#[track_caller]
fn kept(url: &str, selector: &str, count: usize) {
    let lines = || -> Vec<Value> {
        let streams = ask(url, selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
        streams.iter().flat_map(|stream| stream["values"].as_array().cloned().unwrap_or_default()).collect()
    };
    kit::eventually(Duration::from_secs(5), || lines().len() >= count);
    assert_eq!(lines().len(), count, "{selector}: {:?}", lines());
}

#[test]
fn a_good_push_is_taken_and_found() {
    each(|url| {
        let (labels, selector) = labels("good");
        assert_eq!(push(url, JSON, &body(&labels, &[json!([at(0), "a"]), json!([at(1), "b"])])), 204);
        kept(url, &selector, 2);
    });
}

#[test]
fn a_push_that_is_no_push_is_refused_whole() {
    each(|url| {
        let (labels, selector) = labels("wrong");
        let good = json!([at(0), "good"]);
        for (status, value) in [
            (400, json!([1, "a number for a time"])),
            (400, json!([at(0), "metadata with a number", {"n": 1}])),
            (400, json!([at(0), "nested metadata", {"n": {"m": "x"}}])),
        ] {
            assert_eq!(push(url, JSON, &body(&labels, &[good.clone(), value.clone()])), status, "{value}");
        }
        assert_eq!(push(url, JSON, "{"), 400);
        assert_eq!(push(url, JSON, r#"{"streams":[]}"#), 422);
        assert_eq!(push(url, "text/plain", &body(&labels, &[good])), 400);
        kept(url, &selector, 0);
    });
}

#[test]
fn what_is_good_beside_something_bad_is_kept() {
    const WEEK: i128 = 7 * 86_400;
    each(|url| {
        for (case, offset) in [("old", -WEEK - 60), ("future", 660), ("behind", -3700)] {
            let (labels, selector) = labels(case);
            assert_eq!(push(url, JSON, &body(&labels, &[json!([at(0), "good"])])), 204);
            let mixed = body(&labels, &[json!([at(1), "good too"]), json!([at(offset), "bad"])]);
            assert_eq!(push(url, JSON, &mixed), 400, "{case}");
            kept(url, &selector, 2);
        }
        let (labels, selector) = labels("late");
        assert_eq!(
            push(url, JSON, &body(&labels, &[json!([at(0), "newest"]), json!([at(-1800), "half an hour"])])),
            204
        );
        kept(url, &selector, 2);
        let long = json!([at(2), "x".repeat(256 * 1024 + 1)]);
        assert_eq!(push(url, JSON, &body(&labels, &[long])), 400);
        kept(url, &selector, 2);
    });
}

#[test]
fn labels_have_limits() {
    each(|url| {
        let many = |count: usize| {
            let (mut labels, selector) = labels("many");
            for number in 0..count - 2 {
                labels[format!("l{number}")] = "x".into();
            }
            (labels, selector)
        };
        let value = || [json!([at(0), "line"])];
        let (fifteen, selector) = many(15);
        assert_eq!(push(url, JSON, &body(&fifteen, &value())), 204);
        kept(url, &selector, 1);
        let (sixteen, _) = many(16);
        assert_eq!(push(url, JSON, &body(&sixteen, &value())), 400);
        let (mut dashed, _) = labels("dashed");
        dashed["a-b"] = "x".into();
        assert_eq!(push(url, JSON, &body(&dashed, &value())), 400);
        let case = format!("nameless-{}", now());
        assert_eq!(push(url, JSON, &body(&json!({"case": case}), &value())), 204);
        kept(url, &format!(r#"{{service_name="unknown_service", case="{case}"}}"#), 1);
    });
}

#[test]
fn an_equal_line_of_an_equal_time_is_kept_once() {
    each(|url| {
        let (labels, selector) = labels("twice");
        let once = body(&labels, &[json!([at(0), "a"])]);
        assert_eq!(push(url, JSON, &once), 204);
        assert_eq!(push(url, JSON, &once), 204);
        kept(url, &selector, 1);
        let same = at(0);
        assert_eq!(push(url, JSON, &body(&labels, &[json!([same, "b"]), json!([same, "c"])])), 204);
        kept(url, &selector, 3);
    });
}

#[test]
fn json_is_taken_apart_as_documented() {
    each(|url| {
        let (labels, selector) = labels("json");
        let line = json!({"case": "clash", "err": {"kind": "x"}, "list": [1], "n": 3, "exit_code": 1}).to_string();
        assert_eq!(push(url, JSON, &body(&labels, &[json!([at(0), line])])), 204);
        kept(url, &selector, 1);
        let parsed = format!("{selector} | json");
        for (found, filter) in [
            (1, r#"err_kind="x""#),
            (1, r#"case_extracted="clash""#),
            (1, r#"exit_code != "0""#),
            (1, "n > 2"),
            (0, "n > 3"),
            (0, "absent > 1"),
            (1, r#"absent != "x""#),
            (0, r#"list != """#),
        ] {
            let answer = ask(url, &format!("{parsed} | {filter}")).unwrap_or_else(|error| panic!("{filter}: {error}"));
            assert_eq!(answer.len(), found, "{filter}: {answer:?}");
        }
        let counted = format!("sum by (n) (count_over_time({parsed} [5m]))");
        let answer = ask(url, &counted).expect("a good query");
        assert_eq!((&answer[0]["metric"], &answer[0]["value"][1]), (&json!({"n": "3"}), &json!("1")));

        assert_eq!(push(url, JSON, &body(&labels, &[json!([at(1), "no JSON"])])), 204);
        kept(url, &format!(r#"{parsed} | __error__="JSONParserErr""#), 1);
        let error = ask(url, &counted).expect_err("a metric query fails on a line that is no JSON");
        assert!(error.contains("JSONParserErr"), "{error}");
    });
}

#[test]
fn addresses_and_tenants_are_taken_seriously() {
    each(|url| {
        let (labels, _) = labels("address");
        let once = body(&labels, &[json!([at(0), "a"])]);
        let slash = ureq::post(format!("{url}/loki/api/v1/push/"))
            .config()
            .http_status_as_error(false)
            .build()
            .header("content-type", JSON)
            .send(once);
        assert_eq!(slash.expect("answered").status(), 404);
    });
    let several = Loki::guarded(Doors { tenants: true, authorization: None });
    assert_eq!(push(&several.url(), JSON, &body(&json!({"a": "b"}), &[json!([at(0), "a"])])), 401);
}

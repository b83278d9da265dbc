//! The bodies of docs/grafana-init.md are applied as they stand, on every version of the stand-in.

use std::fs;
use std::path::Path;

use kit::grafana::Target;

/// Path and body of each fenced block that names a file.
fn bodies() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana-init.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let blocks = page.split("```json ").skip(1);
    blocks
        .map(|block| {
            let (path, rest) = block.split_once('\n').expect("a block's first line names its file");
            let (body, _) = rest.split_once("```").expect("a block ends");
            (path.to_owned(), body.to_owned())
        })
        .collect()
}

#[test]
fn the_page_is_applied_as_it_stands() {
    let bodies = bodies();
    for kind in [
        "plugins/",
        "orgs/",
        "teams/",
        "service_accounts/",
        "datasources/",
        "library_panels/",
        "dashboards/",
        "inputs.json",
        "contact_points/",
        "mute_timings/",
        "message_templates/",
        "notification_policy.json",
        "alert_rules/",
        "preferences.json",
    ] {
        assert!(bodies.iter().any(|(path, _)| path.starts_with(kind)), "the page shows no {kind}");
    }
    Target::each(|target| {
        let sandbox = target.sandbox().env("STRICT", "true");
        for (path, body) in &bodies {
            // A live server's other organizations are nobody's to fill.
            if !(target.is_live() && path.starts_with("orgs/")) {
                sandbox.write(path, body);
            }
        }
        sandbox.run(&["validate"]).expect_code(0);
        target.apply(&sandbox);
        target.settled(&sandbox);
    });
}

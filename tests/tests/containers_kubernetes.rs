//! The manifests and the chart follow Kubernetes' own schemas; `docker/kubernetes/check` says how that is known without a cluster.

use std::process::Command;

use kit::engine::{repository, say};

#[test]
fn manifests_and_chart_follow_the_schemas() {
    let said = say(&mut Command::new(repository().join("docker/kubernetes/check")));
    said.expect_code(0);
    if said.stderr.contains("chart: left out") {
        kit::left_out("chart", said.stderr.trim());
    }
    for name in ["os-init.yaml", "k-init.yaml", "grafana-init.yaml", "dependent.yaml", "chart"] {
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(said.contains(&format!("{name}: ")), "nothing is said of {name}:\n{said}");
    }
}

//! The whole, as a user has it: from the moment that a server in a Compose project can be used to the moment that the service that depends on
//! its set-up is started, with a program of ours and with the shell job that it replaces. The reference set is what is set up.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use kafka_protocol::messages::MetadataRequest;
use kit::engine::{Engine, Project, repository};
use kit::kafka_wire::Connection;

use crate::sides::{Scale, Side, alternate, process};
use crate::table::Table;

/// A server, its program, and the job that people write in its place.
struct Case {
    server: &'static str,
    program: &'static str,
    app: &'static str,
    port: u16,
    told: &'static str,
    job: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        server: "kafka",
        program: "k-init",
        app: "k-app",
        port: 9092,
        told: "shell job: a loop until the port is open, kafka-topics a topic (topics alone)",
        job: "until (exec 3<>/dev/tcp/kafka/9092) 2>/dev/null; do sleep 1; done
names=$(cd /config/topics; find . -name '*.json' -exec basename {} .json \\;)
for name in $names; do
  java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/tools/*' org.apache.kafka.tools.TopicCommand --bootstrap-server kafka:9092 --create --if-not-exists --topic $name --partitions 3
done
true",
    },
    Case {
        server: "opensearch",
        program: "os-init",
        app: "os-app",
        port: 9200,
        told: "shell job: a loop until /_cluster/health answers, curl a file (templates, pipelines, policies alone)",
        job: "until curl -sf http://opensearch:9200/_cluster/health >/dev/null; do sleep 1; done
put() { for file in /config/$1/*.json; do curl -sf -o /dev/null -X PUT -H 'content-type: application/json' --data-binary @$file http://opensearch:9200/$2/$(basename $file .json); done; }
put ingest_pipelines _ingest/pipeline
put component_templates _component_template
put ism_policies _plugins/_ism/policies
put index_templates _index_template
true",
    },
    Case {
        server: "grafana",
        program: "grafana-init",
        app: "grafana-app",
        port: 3000,
        told: "shell job: a loop until /api/health answers, curl a file (data sources, dashboards alone)",
        job: "until curl -sf http://grafana:3000/api/health >/dev/null; do sleep 1; done
post() { curl -s -o /dev/null -u admin:$(cat /run/secrets/grafana_password) -X POST -H 'content-type: application/json' --data-binary @- http://grafana:3000/$1; }
for file in /config/datasources/*.json; do post api/datasources <$file; done
find /config/dashboards -name '*.json' ! -name '_*' | while read -r file; do
  (printf '{\"overwrite\": true, \"dashboard\": '; cat \"$file\"; printf '}') | post api/dashboards/db
done
true",
    },
];

const OURS: &str = "as an init service";
const JOB: &str = "shell job";

pub(crate) fn measure(table: &mut Table, scale: Scale) {
    // Fetches the classes of Kafka's own tool.
    let mut tool = Command::new(repository().join("tests/setup/kafka.sh"));
    process(tool.args(["tool", "4.3.1", "org.apache.kafka.tools.TopicCommand", "--version"]));
    for case in &CASES {
        let mut sides = [
            Side::new(OURS, |_| vec![("whole", whole(case, &project(case), case.app))]),
            Side::new(JOB, |_| {
                let project = project(case).overlay(&overlay(case));
                vec![("whole", whole(case, &project, "shell-app"))]
            }),
        ];
        let found = alternate(scale.pick(2, 1), &mut sides);
        let what =
            format!("Compose, {}: from ready to the start of the service that depends on its set-up", case.server);
        let ours = found.of(OURS, "whole");
        table.row(&what, &format!("{} {OURS}, the reference set", case.program), &ours, &ours);
        table.row(&what, case.told, &found.of(JOB, "whole"), &ours);
    }
    for program in CASES.map(|case| case.program) {
        let engine = Engine::shared();
        let size = engine.inspect(&engine.image(program))["Size"].as_u64().unwrap_or_default();
        table.fact("size of the image", program, format!("{size} bytes")).bound("≤ 2.75 MB", size <= 2_750_000);
    }
    table.note("Grafana's own provisioning is left out under Compose: no package registry carries a Grafana server, and the stand-in has none of it");
    table.note(format!(
        "Compose is {}; it looks for the end of an init service at its own pace, which is in both sides' figures",
        std::env::var("INIT_COMPOSE").unwrap_or_else(|_| "docker-compose 1.29 of Debian 12".to_owned())
    ));
}

fn project(case: &Case) -> Project {
    // The apps run in Kafka's image. What telemetry goes to is not started, so the programs are not told of it.
    Project::new(&["kafka", case.server]).overlay(&format!(
        "services:\n  {}:\n    environment:\n      LOKI_URL: \"\"\n      PUSHGATEWAY_URL: \"\"\n",
        case.program
    ))
}

fn overlay(case: &Case) -> String {
    let tools = kit::servers::cache().join("kafka-4.3.1/tools");
    // A dollar is Compose's own.
    let job = case.job.replace('$', "$$").replace('\n', "\n        ");
    format!(
        "services:\n  shell-job:\n    image: init-tests/{server}\n    restart: \"no\"\n    entrypoint: [\"bash\", \"-c\"]\n    command:\n      - |\n        {job}\n    \
         volumes:\n      - {config}:/config:ro\n      - {tools}:/tools:ro\n    secrets: [grafana_password]\n    depends_on:\n      {server}: {{condition: service_started}}\n  \
         shell-app:\n    image: init-tests/kafka\n    command: [\"sleep\", \"2147483647\"]\n    init: true\n    depends_on:\n      shell-job: {{condition: service_completed_successfully}}\n",
        server = case.server,
        config = repository().join("docker/demo").join(case.program).display(),
        tools = tools.display(),
    )
}

/// From the first answer of the server that lets work begin to the start of the app's container.
fn whole(case: &Case, project: &Project, app: &str) -> Duration {
    let ready = std::thread::scope(|scope| {
        let up = scope.spawn(|| project.up(&[app]));
        let server = kit::eventually_some(Duration::from_mins(2), || address(project, case));
        let ready = kit::eventually_some(Duration::from_mins(2), || answers(case.server, server).then(Timestamp::now));
        up.join().expect("it ends").expect_code(0);
        ready
    });
    let began = project.inspect(app)["State"]["StartedAt"].as_str().unwrap_or_default().to_owned();
    let began: Timestamp = began.parse().unwrap_or_else(|error| panic!("{began:?} is no time: {error}"));
    Duration::try_from(began.duration_since(ready)).unwrap_or_default()
}

fn address(project: &Project, case: &Case) -> Option<SocketAddr> {
    project.container(case.server)?;
    let networks = &project.inspect(case.server)["NetworkSettings"]["Networks"];
    let ip =
        networks.as_object()?.values().find_map(|network| network["IPAddress"].as_str().filter(|ip| !ip.is_empty()))?;
    Some(SocketAddr::new(ip.parse().ok()?, case.port))
}

fn answers(server: &str, at: SocketAddr) -> bool {
    if server == "kafka" {
        let Ok(mut connection) = Connection::open(at, Duration::from_secs(1)) else { return false };
        let question = MetadataRequest::default().with_topics(Some(Vec::new()));
        return connection.call(&question, 12).is_ok_and(|answer| !answer.brokers.is_empty());
    }
    let path = if server == "opensearch" { "/_cluster/health" } else { "/api/health" };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().proxy(None).timeout_global(Some(Duration::from_secs(1))).build().into();
    agent.get(format!("http://{at}{path}")).call().is_ok_and(|answer| answer.status() == 200)
}

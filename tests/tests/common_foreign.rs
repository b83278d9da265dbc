//! What other tools read, mounted as it is: each line of what is taken, left out and refused, checked without a server. What becomes of it on a
//! server is in `k_init_foreign`, `grafana_init_provisioning` and `os_init_security`.

use kit::sandbox::{Run, Sandbox};

/// Mounts these files and validates them.
fn validated(program: &str, files: &[(&str, &str)]) -> Run {
    let sandbox = Sandbox::new(program).env("KAFKA_CONNECT_URL", "http://connect:8083");
    for (path, text) in files {
        sandbox.write(path, text);
    }
    sandbox.run(&["validate"])
}

/// The files are good, hold so many objects, and these words are said of them.
#[track_caller]
fn taken(program: &str, files: &[(&str, &str)], objects: usize, words: &[&str]) {
    let run = validated(program, files);
    run.expect_code(0).expect_stderr(&format!("\"objects\":{objects}"));
    for part in words {
        run.expect_stderr(part);
    }
}

/// The files are refused with these words.
#[track_caller]
fn refused(program: &str, files: &[(&str, &str)], words: &[&str]) {
    let run = validated(program, files);
    run.expect_code(1);
    for part in words {
        run.expect_stderr(part);
    }
}

#[test]
fn every_file_of_the_security_plugin() {
    let meta = |kind: &str| format!("_meta:\n  type: \"{kind}\"\n  config_version: 2\n");
    let files = [
        (
            "roles.yml",
            meta("roles")
                + "reader:\n  reserved: false\n  hidden: false\n  static: false\n  cluster_permissions: [cluster_composite_ops_ro]\n  index_permissions:\n    - index_patterns: ['logs-*']\n      dls: ''\n      fls: []\n      masked_fields: []\n      allowed_actions: [read]\n  tenant_permissions: []\nkibana_user: {reserved: true, cluster_permissions: [x]}\nsecret: {hidden: true}\nbuilt_in: {static: true}\n",
        ),
        (
            "roles_mapping.yml",
            meta("rolesmapping")
                + "reader:\n  reserved: false\n  backend_roles: [readers]\n  hosts: []\n  users: [ann]\n  and_backend_roles: []\n",
        ),
        ("tenants.yml", meta("tenants") + "team:\n  reserved: false\n  description: \"A team\"\n"),
        (
            "action_groups.yml",
            meta("actiongroups")
                + "my_group:\n  reserved: false\n  allowed_actions: ['indices:data/read*']\n  type: index\n",
        ),
        (
            "internal_users.yml",
            meta("internalusers")
                + "ann:\n  hash: \"$2y$12$rGbBmsr2CjC7PyI5bV2NGeRJIkSCb3PcYD0WOcOsNxw8DR0dAZM7O\"\n  reserved: false\n  backend_roles: [admin]\n  description: \"Ann\"\n",
        ),
        ("config.yml", meta("config") + "config: {dynamic: {}}\n"),
        ("audit.yml", meta("audit") + "config: {enabled: true}\n"),
        ("nodes_dn.yml", meta("nodesdn")),
        ("allowlist.yml", meta("allowlist") + "config: {enabled: false}\n"),
        ("whitelist.yml", meta("whitelist") + "config: {enabled: false}\n"),
    ];
    let mounted: Vec<(String, String)> =
        files.iter().map(|(name, text)| (format!("opensearch-security/{name}"), text.clone())).collect();
    let mounted: Vec<(&str, &str)> = mounted.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let notes = [
        "left to the node: allowlist.yml, audit.yml, config.yml, nodes_dn.yml, whitelist.yml",
        "reserved, hidden or static, so left to the server: roles/built_in, roles/kibana_user, roles/secret",
    ];
    taken("os-init", &mounted, 5, &notes);

    // The same maps as `yq -o json roles.yml` makes them, as a file of our own kind.
    let tenants = r#"{"_meta": {"type": "tenants", "config_version": 2}, "team": {"description": "d"}}"#;
    taken("os-init", &[("tenants.json", tenants)], 1, &[]);
    let twice =
        [("opensearch-security/tenants.yml", files[2].1.as_str()), ("tenants/team.json", "{\"description\": \"d\"}")];
    refused(
        "os-init",
        &twice,
        &["tenants/team is declared twice", "opensearch-security/tenants.yml", "tenants/team.json"],
    );
    for (text, words) in [
        ("_meta: {type: roles, config_version: 1}\na: {}\n", "must say type roles and config_version 2"),
        ("_meta: {type: tenants, config_version: 2}\na: {}\n", "must say type roles and config_version 2"),
        ("- a\n", "must be a map of name to entry"),
        ("a: [CN=a]\n", "must be an object"),
        (
            "a: {cluster: [all], indices: [{names: [x], privileges: [all]}], run_as: [y]}\n",
            "this is a role of Elasticsearch",
        ),
    ] {
        refused("os-init", &[("opensearch-security/roles.yml", text)], &[words]);
    }
}

/// One sentence, not one for each field.
#[test]
fn a_role_of_elasticsearch_gets_one_sentence() {
    let role = r#"{"cluster": ["all"], "indices": [{"names": ["a"], "privileges": ["read"]}], "applications": [], "run_as": []}"#;
    let run = validated("os-init", &[("roles/a.json", role)]);
    run.expect_code(1);
    assert_eq!(run.records_saying("files").len(), 1, "{run}");
    run.expect_stderr("write cluster_permissions for cluster").expect_stderr("index_permissions");
}

#[test]
fn a_legacy_template_is_told_its_remedy() {
    for field in ["settings", "mappings", "aliases"] {
        let body = format!("index_patterns: ['a-*']\norder: 1\n{field}: {{}}\n");
        refused(
            "os-init",
            &[("index_templates/a.yaml", &body)],
            &["put settings, mappings and aliases under template"],
        );
    }
}

/// A resource of Strimzi's.
fn strimzi(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: kafka.strimzi.io/v1beta2\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn every_resource_of_strimzi() {
    let topic = strimzi("KafkaTopic", "a", "{topicName: a.b, partitions: 1, replicas: 1, config: {retention.ms: 1}}");
    let user = strimzi(
        "KafkaUser",
        "app",
        "{authentication: {type: scram-sha-512, password: {valueFrom: {secretKeyRef: {name: s, key: k}}}}, authorization: {type: simple, acls: [{resource: {type: topic, name: a}, operations: [Read]}]}, quotas: {consumerByteRate: 1024}}",
    );
    let tls =
        strimzi("KafkaUser", "t", "{authentication: {type: tls-external}, quotas: {controllerMutationRate: 1.5}}");
    let connector = strimzi(
        "KafkaConnector",
        "c",
        "{class: FileStreamSource, tasksMax: 1, autoRestart: {enabled: true}, config: {topic: a, file: /x}}",
    );
    let others =
        [strimzi("Kafka", "k", "{}"), strimzi("KafkaNodePool", "p", "{}"), strimzi("KafkaMirrorMaker2", "m", "{}")];
    let all = [topic.clone(), user.clone(), tls, connector.clone(), others.join("---\n")].join("---\n");
    let notes = ["Kafka/k, KafkaConnector/c autoRestart, KafkaMirrorMaker2/m, KafkaNodePool/p"];
    let run = validated("k-init", &[("strimzi/all.yaml", &all)]);
    run.expect_code(0).expect_stderr("\"objects\":6");
    for note in notes.iter().flat_map(|note| note.split(", ")) {
        run.expect_stderr(note);
    }
    // In a kind's own folder and file, in both languages, one or many to a file.
    for path in ["topics/x.yaml", "users/x.yml", "acls.yaml", "quotas/deep/x.yaml", "connectors/x.yaml"] {
        taken("k-init", &[(path, &all)], 6, &[]);
    }
    let json = r#"{"apiVersion": "kafka.strimzi.io/v1beta2", "kind": "KafkaTopic", "metadata": {"name": "a"}, "spec": {"partitions": 1}}"#;
    taken("k-init", &[("topics.json", json)], 1, &[]);
    taken("k-init", &[("topics/x.json", json), ("topics/y.json", "{\"partitions\": 1}")], 2, &[]);

    let twice = [("strimzi/x.yaml", topic.as_str()), ("topics/a.b.json", "{}")];
    refused("k-init", &twice, &["topics/a.b is declared twice", "strimzi/x.yaml", "topics/a.b.json"]);
    for (text, words) in [
        (strimzi("KafkaTopic", "a", "{partition: 1}"), "unknown field partition: did you mean partitions?"),
        (topic.replace("spec:", "spce:"), "unknown field spce: did you mean spec?"),
        (topic.replace("{name: a}", "{}"), "the resource needs a name"),
        (strimzi("KafkaUser", "a", "{authentication: {type: oauth}}"), "scram-sha-512, tls and tls-external are known"),
        (strimzi("KafkaUser", "a", "{authorization: {type: opa}}"), "only simple is known"),
        (strimzi("KafkaUser", "a", "{authentication: {typ: tls}}"), "unknown field typ: did you mean type?"),
        (
            strimzi("KafkaUser", "a", "{authentication: {type: scram-sha-512, password: {value: x}}}"),
            "valueFrom.secretKeyRef with name and key",
        ),
        (strimzi("KafkaUser", "a", "{quotas: {byteRate: 1}}"), "unknown field byteRate"),
        (strimzi("KafkaConnector", "a", "{klass: x}"), "unknown field klass: did you mean class?"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n".to_owned(), "no object found"),
    ] {
        refused("k-init", &[("strimzi/x.yaml", &text)], &[words]);
    }
}

#[test]
fn every_part_of_grafanas_own_folder() {
    let sources = "apiVersion: 1\nprune: true\ndeleteDatasources: [{name: Old, orgId: 1}]\ndatasources:\n  - {name: A, type: prometheus, access: proxy, url: 'http://$HOST', editable: false, version: 1}\n";
    let taken_sources = [
        "prune: nothing is deleted",
        "deleteDatasources: nothing is deleted",
        "editable is for Grafana's own files: A",
    ];
    taken("grafana-init", &[("provisioning/datasources/a.yaml", sources)], 1, &taken_sources);
    let json =
        r#"{"apiVersion": 1, "datasources": [{"name": "A", "type": "loki", "access": "proxy", "url": "http://a"}]}"#;
    taken("grafana-init", &[("provisioning/datasources/a.json", json)], 1, &[]);
    // Files of old have no version and underscores.
    let old = "datasources:\n  - {name: A, type: loki, access: proxy, url: 'http://a', org_id: 1, is_default: true, basic_auth: false}\n";
    taken("grafana-init", &[("provisioning/datasources/a.yml", old)], 1, &[]);

    // Of the folders, those of Grafana itself are left to it, each by name.
    let left = ["access-control", "apps", "notifiers", "plugins"];
    let files: Vec<(String, &str)> =
        left.iter().map(|top| (format!("provisioning/{top}/x.yaml"), "anything: 1\n")).collect();
    let mut files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    files.push(("datasources/b.json", r#"{"name": "B", "type": "loki", "access": "proxy", "url": "http://b"}"#));
    taken(
        "grafana-init",
        &files,
        1,
        &["left to Grafana: access-control/x.yaml, apps/x.yaml, notifiers/x.yaml, plugins/x.yaml"],
    );

    let alerting = "apiVersion: 1\ncontactPoints:\n  - {orgId: 1, name: mail, receivers: [{uid: m, type: email, settings: {addresses: a@example.com}}]}\nmuteTimes:\n  - {orgId: 1, name: n, time_intervals: [{weekdays: [saturday]}]}\ntemplates:\n  - {orgId: 1, name: t, template: x}\npolicies:\n  - {orgId: 1, receiver: mail}\n";
    let deletes = "deleteRules: [{uid: a}]\ndeleteContactPoints: [{uid: a}]\ndeleteMuteTimes: [{name: a}]\ndeleteTemplates: [{name: a}]\nresetPolicies: [1]\n";
    let words = ["deleteRules", "deleteContactPoints", "deleteMuteTimes", "deleteTemplates", "resetPolicies"]
        .map(|field| format!("/{field}: nothing is deleted"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    taken("grafana-init", &[("provisioning/alerting/a.yaml", &format!("{alerting}{deletes}"))], 4, &words);

    let twice = [("provisioning/alerting/a.yaml", alerting), ("message_templates/t.json", "{\"template\": \"x\"}")];
    refused(
        "grafana-init",
        &twice,
        &["message_templates/t is declared twice", "provisioning/alerting/a.yaml", "message_templates/t.json"],
    );
    for (path, text, words) in [
        ("datasources", "apiVersion: 1\ndatasource: []\n", "unknown field datasource: did you mean datasources?"),
        ("datasources", "apiVersion: 1\ndatasources: [{type: loki}]\n", "a data source needs a name"),
        ("alerting", "apiVersion: 1\ngroups: [{name: g, rules: []}]\n", "a group needs a folder"),
        (
            "dashboards",
            "apiVersion: 1\nproviders: [{name: x, type: file}]\n",
            "a provider of type file needs options.path",
        ),
        (
            "dashboards",
            "apiVersion: 1\nproviders: [{name: x, type: git, options: {path: /x}}]\n",
            "a provider of type file",
        ),
        (
            "dashboards",
            "apiVersion: 1\nproviders: [{name: x, options: {path: /no/such}}]\n",
            "mount it at the same place",
        ),
        (
            "dashboards",
            "apiVersion: 1\nproviders: [{name: x, foldr: A, options: {path: /x}}]\n",
            "unknown field foldr: did you mean folder?",
        ),
        (
            "dashboards",
            "apiVersion: 1\nproviders: [{name: x, options: {path: /x, folderFromFilesStructure: true}}]\n",
            "did you mean foldersFromFilesStructure?",
        ),
    ] {
        refused("grafana-init", &[(&format!("provisioning/{path}/a.yaml"), text)], &[words]);
    }
}

/// A provider reads the folder that is mounted where it says, and what it says of Grafana's UI is told.
#[test]
fn a_provider_reads_where_it_says() {
    let sandbox = Sandbox::new("grafana-init");
    let place = sandbox.path("var/dashboards");
    for (path, uid) in [("a.json", "a"), ("Team/b.json", "b"), ("Team/Deep/c.json", "c")] {
        let path = place.join(path);
        std::fs::create_dir_all(path.parent().expect("a joined path")).expect("the sandbox can be written");
        std::fs::write(&path, format!("{{\"uid\": \"{uid}\", \"title\": \"{uid}\"}}"))
            .expect("the sandbox can be written");
    }
    for options in ["", ", foldersFromFilesStructure: true"] {
        let provider = format!(
            "apiVersion: 1\nproviders:\n  - {{name: mine, orgId: 1, folder: F, type: file, disableDeletion: true, updateIntervalSeconds: 10, allowUiUpdates: false, editable: false, options: {{path: {}{options}}}}}\n",
            place.display()
        );
        sandbox.write("provisioning/dashboards/p.yaml", &provider);
        let run = sandbox.run(&["validate"]);
        run.expect_code(0).expect_stderr("\"objects\":3");
        for field in ["allowUiUpdates", "disableDeletion", "editable", "updateIntervalSeconds"] {
            run.expect_stderr(&format!("{field} is for Grafana's own files: mine"));
        }
    }
}

/// Variables are Grafana's own in its own folder, and there alone: what they give is seen by the names that stand twice.
#[test]
fn variables_are_replaced_in_grafanas_own_folder_alone() {
    let sandbox = Sandbox::new("grafana-init").env("POINT", "mail");
    let point = |name: &str| {
        format!(
            "{{name: '{name}', receivers: [{{uid: u{}, type: email, settings: {{addresses: a@example.com}}}}]}}",
            name.len()
        )
    };
    let points =
        format!("apiVersion: 1\ncontactPoints: [{}, {}, {}]\n", point("$POINT"), point("${POINT}-2"), point("$$POINT"));
    sandbox.write("message_templates/t.json", "{\"template\": \"x\"}");
    for (folder, names, other) in [
        ("provisioning/alerting", ["mail", "mail-2", "$POINT"], "$$POINT"),
        ("contact_points", ["$POINT", "${POINT}-2", "$$POINT"], "mail"),
    ] {
        let file = format!("{folder}/all.yaml");
        sandbox.write(&file, &points);
        for name in names {
            let own = format!("contact_points/{name}.json");
            sandbox.write(&own, r#"{"uid": "own", "type": "email", "settings": {"addresses": "a@example.com"}}"#);
            sandbox
                .run(&["validate"])
                .expect_code(1)
                .expect_stderr(&format!("contact_points/{name} is declared twice"));
            sandbox.remove(&own);
        }
        let own = format!("contact_points/{other}.json");
        sandbox.write(&own, r#"{"uid": "own", "type": "email", "settings": {"addresses": "a@example.com"}}"#);
        sandbox.run(&["validate"]).expect_code(0);
        sandbox.remove(&own);
        sandbox.remove(&file);
    }
}

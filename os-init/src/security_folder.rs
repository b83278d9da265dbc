//! The security plugin's own configuration, `opensearch-security/`, as objects of ours: the map files that `securityadmin.sh` takes, by their
//! official names, and the same maps inside our kinds' folders (`yq -o json roles.yml`). What a role or user is, is the kinds'.

use common::files::foreign::{Declared, Document, Foreign, Sink};
use serde_json::Value;

use crate::security::MARKS;

/// Each file with the kind that its entries are, and the type that its `_meta` names.
const FILES: [(&str, &str, &str); 5] = [
    ("action_groups", "action_groups", "actiongroups"),
    ("roles", "roles", "roles"),
    ("tenants", "tenants", "tenants"),
    ("internal_users", "internal_users", "internalusers"),
    ("roles_mapping", "roles_mapping", "rolesmapping"),
];
/// The kinds in whose folders such a map may lie.
const INSIDE: &[&str] = &["action_groups", "roles", "tenants", "internal_users", "roles_mapping"];
/// Files that configure a node and are no objects of the cluster.
const NODES: [&str; 5] = ["config", "audit", "nodes_dn", "allowlist", "whitelist"];

/// Takes the folder, and its maps inside our kinds' folders.
pub(crate) fn foreign() -> Foreign {
    Foreign::default()
        .folder("opensearch-security", |files, sink| {
            for file in files.iter().filter(|file| matches!(file.ending.as_str(), "yml" | "yaml" | "json")) {
                let known = FILES.iter().find(|(name, ..)| *name == file.stem && file.folders.is_empty());
                let title = format!("{}.{}", file.stem, file.ending);
                match known {
                    Some((_, kind, meta)) => {
                        for document in sink.documents(file) {
                            entries(&document, kind, meta, sink);
                        }
                    }
                    None if NODES.contains(&file.stem.as_str()) => {
                        sink.leave_out("opensearch-security: left to the node", title);
                    }
                    None => sink.leave_out("opensearch-security: no file of the security plugin", title),
                }
            }
        })
        .inside(INSIDE, |document, sink| {
            let known = FILES.iter().find(|(_, kind, _)| document.kind == Some(kind));
            let is_map = document.value.pointer("/_meta/config_version").is_some();
            known.filter(|_| is_map).is_some_and(|(_, kind, meta)| {
                entries(document, kind, meta, sink);
                true
            })
        })
}

/// Declares the entries of one map; those that the server keeps for itself are left to it.
fn entries(Document { place, value, .. }: &Document, kind: &'static str, meta: &str, sink: &mut Sink<'_, '_>) {
    let Some(fields) = value.as_object() else {
        sink.problem(place.problem("must be a map of name to entry"));
        return;
    };
    for (name, body) in fields {
        let at = place.below(name);
        if name == "_meta" {
            if body["type"] != meta || body["config_version"] != 2 {
                let text = format!("must say type {meta} and config_version 2, as this file's name does");
                sink.problem(at.problem(text));
            }
            continue;
        }
        let mut body = body.clone();
        let Some(entry) = body.as_object_mut() else {
            sink.problem(at.problem("must be an object"));
            continue;
        };
        if MARKS.iter().any(|mark| entry.get(*mark) == Some(&Value::Bool(true))) {
            sink.leave_out("reserved, hidden or static, so left to the server", format!("{kind}/{name}"));
            continue;
        }
        entry.retain(|key, _| !MARKS.contains(&key.as_str()));
        sink.object(Declared::new(kind, name.as_str(), body, at));
    }
}

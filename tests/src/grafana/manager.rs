//! Who manages a dashboard or a folder, and what that keeps from whom: `grafana.app/managedBy` and `managerId`. No recording holds one. The rules are
//! those of Grafana's source for 12.4: `pkg/storage/unified/apistore/managed.go` and `permissions.go`, `pkg/apimachinery/utils/manager.go`.

use serde_json::{Map, Value};

use super::state::Made;

const KIND: &str = "grafana.app/managedBy";
const ID: &str = "grafana.app/managerId";
/// Any other is taken for nobody.
const KINDS: [&str; 5] = ["repo", "terraform", "kubectl", "plugin", "classic-file-provisioning"];

/// Kind and identity; without an identity there is no manager.
fn of(annotations: &Map<String, Value>) -> Option<(&str, &str)> {
    let text = |name: &str| annotations.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some((text(KIND).filter(|kind| KINDS.contains(kind))?, text(ID)?))
}

/// Why an object with these annotations is not made. Whoever asks for a manager gets no default permissions.
pub(super) fn refuses_new(annotations: &Map<String, Value>, granted: bool) -> Option<(u16, &'static str)> {
    match of(annotations) {
        Some(("repo", _)) => Some((403, "this resource is managed by a repository")),
        Some(_) if granted => Some((500, "managed resource may not grant permissions")),
        _ => None,
    }
}

/// Why what is stored does not get these annotations: only a repository keeps its objects from others, and a manager first goes before
/// another comes.
pub(super) fn refuses(made: &Made, annotations: &Map<String, Value>) -> Option<&'static str> {
    match (of(&made.annotations), of(annotations)) {
        (Some(("repo", _)), None) => Some("Can not remove resource manager from resource"),
        (Some((old, _)), Some((new, _))) if old != new => {
            Some("Cannot change resource manager; remove the existing manager first, then add the new one")
        }
        (Some((_, old)), Some((kind, new))) if old != new && kind != "terraform" => {
            Some("Cannot change resource manager identity; remove the existing manager first, then add the new one")
        }
        (_, Some(("repo", _))) => Some("this resource is managed by a repository"),
        _ => None,
    }
}

/// What the old API says of a folder's manager: its kind.
pub(super) fn kind(made: &Made) -> Option<&str> {
    of(&made.annotations).map(|(kind, _)| kind)
}

/// Puts a manager into the annotations, as somebody else than an init program does.
pub(super) fn put(made: &mut Made, kind: &str, id: &str) {
    made.annotations.insert(KIND.to_owned(), kind.into());
    made.annotations.insert(ID.to_owned(), id.into());
}

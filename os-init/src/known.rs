//! Which keys a file may name, per kind whose bodies are not kept as they were sent. Any other key that only the server has is its own
//! default: a new version of the server is no change. What is a default by its value is in the kinds' normal forms.

use common::engine::document::Knows;

pub(crate) const REPOSITORY: Knows = Knows::Only(&["/type", "/settings"]);

pub(crate) const ACTION_GROUP: Knows = Knows::Only(&["/allowed_actions", "/type", "/description"]);

pub(crate) const ROLE: Knows = Knows::Only(&[
    "/cluster_permissions",
    "/description",
    "/index_permissions/*/index_patterns",
    "/index_permissions/*/dls",
    "/index_permissions/*/fls",
    "/index_permissions/*/masked_fields",
    "/index_permissions/*/allowed_actions",
    "/tenant_permissions/*/tenant_patterns",
    "/tenant_permissions/*/allowed_actions",
]);

pub(crate) const TENANT: Knows = Knows::Only(&["/description"]);

pub(crate) const MAPPING: Knows =
    Knows::Only(&["/users", "/backend_roles", "/and_backend_roles", "/hosts", "/description"]);

pub(crate) const USER: Knows =
    Knows::Only(&["/password", "/hash", "/backend_roles", "/opendistro_security_roles", "/attributes", "/description"]);

pub(crate) const SCRIPT: Knows = Knows::Only(&["/script/lang", "/script/source", "/script/options", "/script/params"]);

pub(crate) const COMPONENT_TEMPLATE: Knows = Knows::Only(&["/template", "/version", "/_meta", "/deprecated"]);

pub(crate) const INDEX_TEMPLATE: Knows = Knows::Only(&[
    "/index_patterns",
    "/composed_of",
    "/ignore_missing_component_templates",
    "/priority",
    "/version",
    "/_meta",
    "/template",
    "/data_stream/timestamp_field",
    "/data_stream/hidden",
    "/data_stream/allow_custom_routing",
    "/context",
    "/allow_auto_create",
    "/deprecated",
]);

/// Of actions as 3.8 has them; those that end in a slash have no parameters.
pub(crate) const ISM_POLICY: Knows = Knows::Only(&[
    "/policy/description",
    "/policy/default_state",
    "/policy/error_notification",
    "/policy/ism_template/*/index_patterns",
    "/policy/ism_template/*/priority",
    "/policy/states/*/name",
    "/policy/states/*/actions/*/timeout",
    "/policy/states/*/actions/*/retry/count",
    "/policy/states/*/actions/*/retry/backoff",
    "/policy/states/*/actions/*/retry/delay",
    "/policy/states/*/actions/*/custom",
    "/policy/states/*/actions/*/alias/actions/*/add",
    "/policy/states/*/actions/*/alias/actions/*/remove",
    "/policy/states/*/actions/*/allocation/require",
    "/policy/states/*/actions/*/allocation/include",
    "/policy/states/*/actions/*/allocation/exclude",
    "/policy/states/*/actions/*/allocation/wait_for",
    "/policy/states/*/actions/*/convert_index_to_remote/repository",
    "/policy/states/*/actions/*/convert_index_to_remote/snapshot",
    "/policy/states/*/actions/*/convert_index_to_remote/include_aliases",
    "/policy/states/*/actions/*/convert_index_to_remote/ignore_index_settings",
    "/policy/states/*/actions/*/convert_index_to_remote/delete_original_index",
    "/policy/states/*/actions/*/convert_index_to_remote/number_of_replicas",
    "/policy/states/*/actions/*/force_merge/max_num_segments",
    "/policy/states/*/actions/*/force_merge/wait_for_completion",
    "/policy/states/*/actions/*/force_merge/task_execution_timeout",
    "/policy/states/*/actions/*/index_priority/priority",
    "/policy/states/*/actions/*/notification/destination",
    "/policy/states/*/actions/*/notification/channel",
    "/policy/states/*/actions/*/notification/message_template",
    "/policy/states/*/actions/*/replica_count/number_of_replicas",
    "/policy/states/*/actions/*/rollover/min_size",
    "/policy/states/*/actions/*/rollover/min_primary_shard_size",
    "/policy/states/*/actions/*/rollover/min_doc_count",
    "/policy/states/*/actions/*/rollover/min_index_age",
    "/policy/states/*/actions/*/rollover/copy_alias",
    "/policy/states/*/actions/*/rollover/prevent_empty_rollover",
    "/policy/states/*/actions/*/rollover/any_of",
    "/policy/states/*/actions/*/rollup/ism_rollup",
    "/policy/states/*/actions/*/transform/ism_transform",
    "/policy/states/*/actions/*/shrink/num_new_shards",
    "/policy/states/*/actions/*/shrink/max_shard_size",
    "/policy/states/*/actions/*/shrink/percentage_of_source_shards",
    "/policy/states/*/actions/*/shrink/target_index_name_template",
    "/policy/states/*/actions/*/shrink/aliases",
    "/policy/states/*/actions/*/shrink/switch_aliases",
    "/policy/states/*/actions/*/shrink/force_unsafe",
    "/policy/states/*/actions/*/snapshot/repository",
    "/policy/states/*/actions/*/snapshot/snapshot",
    "/policy/states/*/actions/*/close/",
    "/policy/states/*/actions/*/delete/",
    "/policy/states/*/actions/*/open/",
    "/policy/states/*/actions/*/read_only/",
    "/policy/states/*/actions/*/read_write/",
    "/policy/states/*/actions/*/search_only/",
    "/policy/states/*/actions/*/stop_replication/",
    "/policy/states/*/transitions/*/state_name",
    "/policy/states/*/transitions/*/conditions/min_index_age",
    "/policy/states/*/transitions/*/conditions/min_doc_count",
    "/policy/states/*/transitions/*/conditions/min_size",
    "/policy/states/*/transitions/*/conditions/min_rollover_age",
    "/policy/states/*/transitions/*/conditions/min_state_age",
    "/policy/states/*/transitions/*/conditions/no_alias",
    "/policy/states/*/transitions/*/conditions/cron",
]);

pub(crate) const SM_POLICY: Knows = Knows::Only(&[
    "/description",
    "/enabled",
    "/creation/schedule/cron",
    "/creation/time_limit",
    "/deletion/schedule/cron",
    "/deletion/condition/max_age",
    "/deletion/condition/min_count",
    "/deletion/condition/max_count",
    "/deletion/time_limit",
    "/deletion/snapshot_pattern",
    "/snapshot_config",
    "/notification/channel",
    "/notification/conditions/creation",
    "/notification/conditions/deletion",
    "/notification/conditions/failure",
    "/notification/conditions/time_limit_exceeded",
]);

pub(crate) const ROLLUP: Knows = Knows::Only(&[
    "/rollup/description",
    "/rollup/enabled",
    "/rollup/schedule",
    "/rollup/source_index",
    "/rollup/target_index",
    "/rollup/target_index_settings",
    "/rollup/page_size",
    "/rollup/continuous",
    "/rollup/delay",
    "/rollup/dimensions",
    "/rollup/metrics",
    "/rollup/routing_field",
    "/rollup/error_notification",
]);

pub(crate) const TRANSFORM: Knows = Knows::Only(&[
    "/transform/description",
    "/transform/enabled",
    "/transform/schedule",
    "/transform/source_index",
    "/transform/target_index",
    "/transform/page_size",
    "/transform/continuous",
    "/transform/groups",
    "/transform/aggregations",
    "/transform/data_selection_query",
]);

//! The keys of `config.toml` and their types.
//!
//! The runner ignores the case of keys. It ignores unknown keys, and a value that is not a table
//! where it expects a map. It refuses the whole file for every other wrong type.
//!
//! Source: `common/config.go` of GitLab Runner 13.12 to 19.3; verified with these versions.

/// The tables with their keys and types. The types are: s string, b boolean, i integer, S list of
/// strings, O string or list of strings, M map of strings, * any type, {t} the table t, [t] a list
/// of tables t.
const TABLES: &[(&str, &str)] = &[
    (
        "config",
        "concurrent:i check_interval:i log_level:* log_format:* sentry_dsn:* user:s listen_address:s session_server:* runners:[runner] connection_max_age:* shutdown_timeout:i experimental:* metrics_server:* prometheus_listen_address:*",
    ),
    (
        "runner",
        "name:s limit:i output_limit:i request_concurrency:i strict_check_interval:b unhealthy_requests_limit:i unhealthy_interval:* \
        job_status_final_update_retry_limit:i job_update_interval:* url:s id:i token:s token_obtained_at:* token_expires_at:* tls-ca-file:s tls-cert-file:s tls-key-file:s labels:* \
        executor:s builds_dir:s cache_dir:s clone_url:s environment:S proxy_exec:b pre_clone_script:s pre_get_sources_script:s post_clone_script:s \
        post_get_sources_script:s pre_build_script:s post_build_script:s debug_trace_disabled:b safe_directory_checkout:b clean_git_config:b shell:s \
        custom_build_dir:* referees:* cache:* graceful_kill_timeout:i force_kill_timeout:i feature_flags:* monitoring:* instance:* ssh:* \
        docker:* parallels:* virtualbox:* machine:* kubernetes:{kubernetes} custom:* autoscaler:* store:* slot_cgroups:* slot_cgroup:* system_id_state:* \
        experimental:* cgroups:* docker-ssh:* executor_data:* config_file:*",
    ),
    (
        "kubernetes",
        "host:s context:s cert_file:s key_file:s ca_file:s bearer_token_overwrite_allowed:b bearer_token:s image:s namespace:s \
        namespace_overwrite_allowed:s namespace_per_job:b privileged:b runtime_class_name:s allow_privilege_escalation:b \
        cpu_limit:s cpu_limit_overwrite_max_allowed:s cpu_request:s cpu_request_overwrite_max_allowed:s \
        memory_limit:s memory_limit_overwrite_max_allowed:s memory_request:s memory_request_overwrite_max_allowed:s \
        ephemeral_storage_limit:s ephemeral_storage_limit_overwrite_max_allowed:s ephemeral_storage_request:s ephemeral_storage_request_overwrite_max_allowed:s \
        service_cpu_limit:s service_cpu_limit_overwrite_max_allowed:s service_cpu_request:s service_cpu_request_overwrite_max_allowed:s \
        service_memory_limit:s service_memory_limit_overwrite_max_allowed:s service_memory_request:s service_memory_request_overwrite_max_allowed:s \
        service_ephemeral_storage_limit:s service_ephemeral_storage_limit_overwrite_max_allowed:s service_ephemeral_storage_request:s \
        service_ephemeral_storage_request_overwrite_max_allowed:s \
        helper_cpu_limit:s helper_cpu_limit_overwrite_max_allowed:s helper_cpu_request:s helper_cpu_request_overwrite_max_allowed:s \
        helper_memory_limit:s helper_memory_limit_overwrite_max_allowed:s helper_memory_request:s helper_memory_request_overwrite_max_allowed:s \
        helper_ephemeral_storage_limit:s helper_ephemeral_storage_limit_overwrite_max_allowed:s helper_ephemeral_storage_request:s \
        helper_ephemeral_storage_request_overwrite_max_allowed:s \
        pod_cpu_limit:s pod_cpu_limit_overwrite_max_allowed:s pod_cpu_request:s pod_cpu_request_overwrite_max_allowed:s pod_memory_limit:s \
        pod_memory_limit_overwrite_max_allowed:s pod_memory_request:s pod_memory_request_overwrite_max_allowed:s \
        allowed_images:S allowed_pull_policies:S allowed_services:S allowed_users:S allowed_groups:S pull_policy:O node_selector:M \
        node_selector_overwrite_allowed:s node_tolerations:M node_tolerations_overwrite_allowed:s affinity:* image_pull_secrets:S \
        use_service_account_image_pull_secrets:b helper_image:s helper_image_flavor:s helper_image_autoset_arch_and_os:b \
        terminationgraceperiodseconds:i pod_termination_grace_period_seconds:i cleanup_grace_period_seconds:i cleanup_resources_timeout:* \
        poll_interval:i poll_timeout:i resource_availability_check_max_attempts:i request_retry_limit:i request_retry_limits:* request_retry_backoff_max:i \
        retry_limit:i retry_limits:* retry_backoff_max:i pod_labels:M pod_labels_overwrite_allowed:s scheduler_name:s service_account:s \
        service_account_overwrite_allowed:s automount_service_account_token:b pod_annotations:M pod_annotations_overwrite_allowed:s \
        pod_security_context:* init_permissions_container_security_context:* build_container_security_context:* helper_container_security_context:* \
        service_container_security_context:* volumes:{volumes} host_aliases:[host_alias] services:[service] cap_add:S cap_drop:S dns_policy:s \
        dns_config:{dns_config} container_lifecycle:* priority_class_name:s pod_spec:[pod_spec] logs_base_dir:s scripts_base_dir:s \
        print_pod_warning_events:b autoscaler:* enable_pod_disruption_budget:b pod_disruption_budget:b suspend:* termination_grace_period_seconds:i",
    ),
    (
        "volumes",
        "host_path:[host_path] pvc:[pvc] config_map:[config_map] secret:[secret] empty_dir:[empty_dir] csi:[csi] nfs:[nfs]",
    ),
    (
        "host_path",
        "name:s mount_path:s sub_path:s read_only:b host_path:s mount_propagation:s",
    ),
    (
        "pvc",
        "name:s mount_path:s sub_path:s read_only:b mount_propagation:s",
    ),
    (
        "config_map",
        "name:s mount_path:s sub_path:s read_only:b items:M",
    ),
    (
        "secret",
        "name:s mount_path:s sub_path:s read_only:b items:M",
    ),
    (
        "empty_dir",
        "name:s mount_path:s sub_path:s medium:s size_limit:s mount_propagation:s",
    ),
    (
        "csi",
        "name:s mount_path:s sub_path:s driver:s fs_type:s read_only:b volume_attributes:M",
    ),
    (
        "nfs",
        "name:s mount_path:s sub_path:s server:s path:s read_only:b",
    ),
    ("host_alias", "ip:s hostnames:S"),
    (
        "service",
        "name:s alias:s command:S entrypoint:S environment:S variables:*",
    ),
    ("dns_config", "nameservers:S options:* searches:S"),
    ("pod_spec", "name:s patch_path:s patch:s patch_type:s"),
];

/// Keys of `[runners.docker]` that are often misplaced in `[runners.kubernetes]`.
pub(super) const DOCKER_KEYS: &str = "tls_verify extra_hosts disable_entrypoint_overwrite oom_kill_disable disable_cache shm_size network_mode volumes_from";

/// The tables in which an unknown key is looked up, and their names in messages.
pub(super) const MISPLACED_KEY_TABLES: [(&str, &str); 3] = [
    ("config", "the top of the file"),
    ("runner", "[[runners]]"),
    ("kubernetes", "[runners.kubernetes]"),
];

pub(super) fn fields(table: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let found = TABLES.iter().find(|(name, _)| *name == table);
    let fields = found
        .map_or("", |(_, fields)| fields)
        .split_ascii_whitespace();
    fields.filter_map(|field| field.split_once(':'))
}

pub(super) fn field(table: &str, key: &str) -> Option<(&'static str, &'static str)> {
    fields(table).find(|(name, _)| name.eq_ignore_ascii_case(key))
}

/// Returns whether a key is probably a misspelling of a known key: the separators differ, or one or
/// two letters.
pub(super) fn is_misspelling(known: &str, key: &str) -> bool {
    let letters = |text: &str| text.replace(['_', '-', '.', ' '], "").to_ascii_lowercase();
    let (known, key) = (letters(known), letters(key));
    let most = match known.len() {
        0..5 => 0,
        5..9 => 1,
        _ => 2,
    };
    known == key || key.len() >= 3 && strsim::levenshtein(&known, &key) <= most
}

/// Returns whether a word is the name of a table or a key of `config.toml`.
pub(super) fn is_known(word: &str) -> bool {
    let is = |name: &str| name.eq_ignore_ascii_case(word);
    TABLES
        .iter()
        .any(|(table, _)| is(table) || fields(table).any(|(name, _)| is(name)))
}

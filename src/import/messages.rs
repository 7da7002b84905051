//! The findings of the report. Each row has the name, the arguments, the group, the text and the
//! next step of one finding.

use super::finding::{Finding, Group};
use super::safe_text::{Message, MessagePart, message};

/// Next steps for the lines of a setting that is in a policy.
pub(super) const GENERATED: &str = "redundant once the job namespace is labelled enforce; this file is generated or was read from stdin: change runners.config in the chart's values, or the original file";
pub(super) const BY_NAME: &str = "redundant once the job namespace is labelled enforce and GitLab Runner is 17.9 or later; then remove the lines by hand";
pub(super) const IN_DIFF: &str =
    "redundant once the job namespace is labelled enforce: see the diff";
pub(super) const BY_HAND: &str = "redundant once the job namespace is labelled enforce; then remove the lines by hand (they contain other values, so they are not in the diff)";

/// Commands that import the configuration of an installed runner.
const FROM_RUNNER: &str = "kubectl -n NAMESPACE exec deploy/gitlab-runner -- cat /home/gitlab-runner/.gitlab-runner/config.toml | drydock import -";
const FROM_HELM: &str = "helm -n NAMESPACE get values RELEASE | drydock import -";
const RENDERED: &str = "helm -n NAMESPACE get manifest RELEASE | drydock import -";

/// The next step for a template that cannot be parsed.
pub(super) fn rendered() -> Message {
    message!(
        "this file is a template; import the rendered manifest: {}",
        RENDERED
    )
}

macro_rules! messages {
    ($($name:ident($($arg:ident),*) $group:ident: $what:literal, $todo:literal;)*) => {$(
        pub(super) fn $name($($arg: impl MessagePart),*) -> Finding {
            Finding {
                places: Vec::new(),
                group: Group::$group,
                what: Message::of(format_args!($what)),
                todo: Message::of(format_args!($todo)),
            }
        }
    )*};
}

// Files that cannot be read.
messages! {
    too_large(limit) Error: "is larger than {limit} MiB",
        "import the object with the configuration: kubectl -n NAMESPACE get configmap NAME -o yaml | drydock import -";
    no_utf16() Error: "has a UTF-16 byte order mark, but is not valid UTF-16", "save the file as UTF-8";
    binary() Error: "is a binary file: it contains a zero byte here",
        "import UTF-8 text, or UTF-16 text with a byte order mark";
    no_utf8() Error: "is not valid UTF-8", "convert the file, for example from Latin-1: iconv -f latin1 -t utf-8";
    empty_stdin(what) Error: "{what}", "check the command before the pipe";
    empty_file(what) Error: "{what}", "import the configuration of the installed runner: {FROM_RUNNER}, or {FROM_HELM}";
    only_comments() Error: "contains only comments",
        "import the configuration of the installed runner: helm -n NAMESPACE get values RELEASE --all | drydock import -";
    only_a_template() Error: "contains only template actions", "import the rendered manifest: {RENDERED}";
    other_file(what) Error: "looks like {what}", "import the configuration of the installed runner: {FROM_RUNNER}";
    terraform_code() Error: "looks like Terraform (HCL)", "import the values of the Helm release: {FROM_HELM}";
    markdown() Error: "looks like Markdown", "copy the configuration to a separate file";
    terraform_directive() Error: "is a Terraform template: it contains a %{{ }} directive here",
        "import the values of the Helm release: {FROM_HELM}";
    terraform_variable() Error: "is a Terraform template: it contains an unquoted ${{ }} here",
        "import the values of the Helm release: {FROM_HELM}";
    pipeline() Error: "looks like a CI/CD pipeline (.gitlab-ci.yml), which does not configure runners",
        "import the configuration of the installed runner: {FROM_RUNNER}";
    only_secrets() Error: "contains only a Secret, and drydock never reads Secrets",
        "import the configuration of the installed runner: {FROM_RUNNER}";
    no_runner() Error: "has no runner: it contains neither [[runners]] nor values of the gitlab-runner chart",
        "import the configuration of the installed runner: {FROM_RUNNER}, or {FROM_HELM}";
    manager_alone(kind) Error: "is the {kind} of a runner manager and does not contain the configuration of job pods",
        "import the configuration of the installed runner: {FROM_HELM}";
    manager_with_secret(kind, manager, namespace, secret, volume, path) Error:
        "is the {kind} of a runner manager; the configuration of job pods is in Secret {namespace}/{secret} (volume \"{volume}\", mounted at {path})",
        "import that file: kubectl -n {namespace} exec deploy/{manager} -- cat {path}/config.toml | drydock import -";
    manager_with_config_map(kind, namespace, map, volume, path) Error:
        "is the {kind} of a runner manager; the configuration of job pods is in ConfigMap {namespace}/{map} (volume \"{volume}\", mounted at {path})",
        "import it: kubectl -n {namespace} get configmap {map} -o yaml | drydock import -";
    too_many_aliases(count) Error: "YAML aliases expand to more than {count} values", "replace the aliases with their values";
    too_deep(depth) Error: "values are nested more than {depth} levels deep", "import only the configuration of the runner: {FROM_RUNNER}";
    twice(key, line) Error: "duplicate key {key}, first set in line {line}", "remove one of the two";
    tab() Error: "the indentation contains a tab", "replace the tab with spaces: YAML does not allow tabs in indentation";
    no_yaml(why) Error: "is not valid YAML{why}", "correct the syntax here and import again";
    no_toml(why) Error: "is not valid TOML{why}", "correct the syntax here and import again";
    bare_label(key) Error: "a bare key cannot contain \"/\"", "put the key in quotes: \"{key}\" = …";
    unclosed_template() Error: "a template action is not closed: {{{{ has no }}}}",
        "import the rendered manifest: {RENDERED}";
    config_is_not_text() Error: "runners.config is not a string", "write it as a block scalar: config: |";
    two_runners() Error:
        "a registration template must have exactly one [[runners]]; GitLab Runner does not register two",
        "install one Helm release for each runner";
    refused() Error: "GitLab Runner refuses this file, so no setting of the file is in effect",
        "correct the other errors of this file and import again";
    refused_policy(field) Error: "results in a policy that drydock check refuses because of {field}",
        "this is a bug in drydock; import the runners one by one";
}

// Values that the runner refuses or ignores.
messages! {
    wrong_type(name, is, expected, how) Error: "{name} is {is}; the runner expects {expected}", "{how}";
    no_table(name, is) Error: "the list {name} contains {is}; the runner expects a list of tables",
        "write each entry as a table with the header [[…{name}]]";
    dotted_key(name, key) Error: "{key} in {name} is a table, because TOML reads a dot in a bare key as a nested table",
        "put the whole key in quotes";
    no_string_in_map(name, is, key) Error: "{key} in {name} is {is}; the runner expects a string",
        "put the value in quotes";
    no_string_in_list(name, is) Error: "the list {name} contains {is}; the runner expects strings",
        "put each item in quotes";
    no_map(name, is) NotTaken: "{name} is {is}; the runner expects a table and ignores this value", "";
    unknown_key(key) NotTaken: "the runner does not know the key {key} in this table and ignores it", "";
    two_spellings(name, line) NotTaken:
        "the key {name} is also in line {line}, in another letter case; the runner may use either value",
        "remove one of the two";
}

// Runners and their files.
messages! {
    other_executor(label, executor) NotTaken: "{label} has {executor}, so it creates no pods",
        "drydock changes only Linux pods of the Kubernetes executor";
    windows(label) NotTaken: "{label} runs jobs on Windows, where hostAliases have no effect",
        "drydock changes only Linux pods of the Kubernetes executor";
    environment() NotTaken: "environment: drydock does not set job variables", "keep it in the file";
    privileged_without_dind(label) Dangerous:
        "{label}: every container of every job is privileged, but this file has no dind service and no volume for Docker",
        "remove privileged, or keep it only for the runner that builds images";
    dind_without_privileged(label) Dangerous: "{label}: dind does not start without privileged",
        "if jobs use dind, set privileged = true in [runners.kubernetes]";
    open_daemon() Dangerous:
        "dind listens on 0.0.0.0 without TLS: a client that can connect to the pod can become root on the node",
        "set DOCKER_TLS_CERTDIR to /certs, and use port 2376";
    service_account(name, namespace) Dangerous:
        "every job has the permissions of the ServiceAccount {name}",
        "list the permissions: kubectl -n {namespace} auth can-i --list --as=system:serviceaccount:{namespace}:{name}";
    namespace_overwrite() NotTaken: "namespace_overwrite_allowed: a job can choose another namespace",
        "set the label drydock.dev/job-pods on every namespace that a job can choose";
    namespace_per_job() NotTaken:
        "namespace_per_job: the runner creates a namespace for each job, and this namespace does not have the label drydock.dev/job-pods",
        "select these namespaces by a name prefix: components/namespace-per-job (docs/install.md)";
    template() NotTaken:
        "template: lines that contain only actions are skipped; the body of if and with is read as if the condition were true; the body of range and else is skipped",
        "import the rendered manifest: {RENDERED}";
    byte_order_mark() Note: "starts with a byte order mark, which GitLab Runner before 16.0 refuses", "";
    utf16() Note: "is UTF-16, which GitLab Runner refuses", "save the file as UTF-8";
    credentials(lines) Note: "lines with credentials, which are not printed: {lines}", "";
    secret() Note: "is a Secret, which drydock does not read", "";
}

// Values of the chart.
messages! {
    certs_secret_name(name) NotTaken:
        "certsSecretName {name}: the manager verifies GitLab with the CA in this Secret, but dind does not use that CA for registries",
        "keep it; for a registry, create a ConfigMap with the CA and add dind.registryCAs: [{{host: HOST, configMap: {{name: NAME, key: ca.crt}}}}] to the policy";
    ignored_chart_key(key, instead, place) NotTaken:
        "runners.{key}: the chart has ignored this key since 0.53.0 (GitLab Runner 16.0)",
        "if you need the setting, change runners.config: use {instead}{place}";
    template_name(name, todo) NotTaken:
        "name {name} in a registration template has no effect: the runner registers with runners.name of the chart's values, or else with the name of the manager's pod",
        "{todo}";
    manager_aliases(missing) NotTaken: "hostAliases of the manager's pod do not apply to job pods{missing}",
        "keep them: drydock does not change the manager's pod; add the hostnames that jobs need to the policy";
    manager_conflict(hostname, manager, jobs) Conflict:
        "{hostname} has the address {manager} in the manager's pod and {jobs} in job pods; the policy has {jobs}",
        "one of the two addresses is probably out of date: correct it";
}

// Aliases and patches.
messages! {
    two_addresses(hostname, one, other) Conflict:
        "one runner has the addresses {one} and {other} for {hostname}; the first one takes effect, as in /etc/hosts",
        "remove one of the two";
    alias(what) NotTaken: "{what}", "keep it in the file";
    wrong_alias(what) NotTaken: "{what}", "correct it, or remove it";
    commented_alias(what) NotTaken: "{what}",
        "if every job may have the entry, uncomment it in the policy; else keep it in the file";
    unknown_alias(what) NotTaken: "{what}",
        "replace the template or the variable with its value, or import the rendered manifest: {RENDERED}";
    alias_of_dind(what, line) NotTaken: "{what}",
        "set alias = \"docker\" on the service in line {line}; keep this entry until then";
    patch_without_flag(name, flag) NotTaken:
        "pod_spec patch {name}: not taken over and not shown; {flag} is off for this runner, so the patch has no effect",
        "keep it in the file";
    patch(name, flag, more) NotTaken:
        "pod_spec patch {name}: not taken over and not shown; {flag} is on, so drydock receives the patched pod and repairs it{more}",
        "keep it in the file";
    host_network(name) Dangerous:
        "pod_spec patch {name} sets hostNetwork: every job pod uses the network of its node",
        "remove hostNetwork from the patch";
    patched_alias(hostname, address, patched) Conflict:
        "{hostname} has the address {address} in host_aliases and {patched} in a pod_spec patch; without the policy, job pods have {patched}; with the policy, they have {address}",
        "remove hostAliases from the patch: it also replaces the hostnames of the job's services";
    alias_in_patch(hostname, address) NotTaken:
        "a pod_spec patch, which is not taken over, sets {hostname} to {address}",
        "move the alias to host_aliases and import again, or add the alias to the policy";
}

// Volumes and dind.
messages! {
    volume_without_path(kind, name) NotTaken:
        "{kind} {name}: mount_path is missing, or its value is a variable or a template", "keep it in the file";
    two_volumes(volume) Conflict:
        "{volume}: another volume of this runner is mounted at the same directory. If the mount paths are equal, the API server refuses the pod; if only their spelling differs, the second mount hides the first",
        "remove one of the two";
    volume(volume, why) NotTaken: "{volume}: {why}", "keep it in the file";
    dangerous_volume(volume, why) Dangerous: "{volume}: {why}", "remove the volume; it is not in the policy";
    shared_data(volume) Dangerous:
        "{volume}: all pods share it as Docker's data directory, and two daemons that use one directory corrupt it",
        "use an emptyDir; this volume is not in the policy";
    other_medium(volume) NotTaken: "{volume}: medium is neither empty nor Memory", "remove medium, or set it to \"Memory\"";
    image_of_dind(image) NotTaken:
        "service {image}: its image or alias suggests a Docker daemon, but drydock does not recognize this image as dind",
        "if it is a Docker daemon, uncomment dind.images in the policy";
    remote_daemon_certificates(volume) NotTaken: "{volume}: DOCKER_HOST is the address of a daemon outside of the pod, so this volume is not for dind",
        "keep it in the file";
    correct_certificates(volume, why) NotTaken: "{volume}: {why}; the volume is correct, and drydock does not change it",
        "keep it in the file";
    unusable_cert_directory(volume, more) Conflict:
        "{volume}: dind must write its certificates to this directory and cannot; dind images since 2023 exit, and earlier dind images run without TLS",
        "remove the lines; until then the policy replaces the volume with an emptyDir in dind pods{more}";
    registry_secret(volume, command) NotTaken:
        "{volume}: registryCAs needs a ConfigMap; a CA certificate is public, so it does not need a Secret",
        "create the ConfigMap in every job namespace, then uncomment the entry in the policy: {command}";
    unknown_ca_key(volume) NotTaken:
        "{volume}: the file does not show which key of the ConfigMap contains the CA certificate (for Docker, *.crt is a CA certificate, and *.cert and *.key are a client certificate and its key)",
        "check configMap.key of the commented entry in the policy; keep the line until then";
}

// Where dind pods run.
messages! {
    scheduling(table) NotTaken:
        "{table} applies to all jobs of this runner, but dind.scheduling applies only to dind pods",
        "keep it in the file";
    unknown_scheduling(table, key) NotTaken: "{table} {key}: a template or a variable sets the key or the value",
        "keep it in the file";
    selector_of_nodes(key) NotTaken:
        "node_selector {key}: a policy for all runners must not select an architecture, an operating system or a node",
        "keep it in the file";
    wrong_scheduling(table, key) NotTaken: "{table} {key}: the API server refuses this entry", "correct it";
    control_plane(key) Dangerous: "a toleration of {key} lets privileged pods run on control-plane nodes",
        "keep it in the file; in the policy it is a comment";
}

// Settings that are in the policies.
messages! {
    taken(what, policies) Taken: "{what} → {policies}", "";
    taken_for_one(what, policies) Taken:
        "{what} → {policies}; only this runner has this setting: if the other runners may have it too, remove the podSelector of the policy", "";
    two_values(subject, values) Conflict: "{subject} has different values: {values}", "";
    not_selectable(what, label, why) NotTaken:
        "{what}: only {label} has it, and no policy can select its pods, because {why}",
        "after that, import again; until then, keep the line";
}

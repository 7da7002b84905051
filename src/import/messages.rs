//! Every message of the report: one row a finding, with its group, the message, and what to do.

use super::finding::{Finding, Group};
use super::safe_text::{Message, MessagePart, message};

/// What to do with lines that a policy makes redundant.
pub(super) const GENERATED: &str = "redundant once the job namespace is labelled enforce; this file is generated or comes from a pipe: change runners.config in the chart's values, or the original file";
pub(super) const BY_NAME: &str = "redundant once the job namespace is labelled enforce and the runner is 17.9 or later; then remove it by hand";
pub(super) const IN_DIFF: &str =
    "redundant once the job namespace is labelled enforce: see the diff";
pub(super) const BY_HAND: &str = "redundant once the job namespace is labelled enforce; then remove it by hand (the diff leaves it out: other values are in these lines)";

/// Commands that import the configuration of a runner.
const FROM_RUNNER: &str = "kubectl -n NAMESPACE exec deploy/gitlab-runner -- cat /home/gitlab-runner/.gitlab-runner/config.toml | drydock import -";
const FROM_HELM: &str = "helm -n NAMESPACE get values RELEASE | drydock import -";
const RENDERED: &str = "helm -n NAMESPACE get manifest RELEASE | drydock import -";

/// What to do with a template that cannot be read.
pub(super) fn rendered() -> Message {
    message!("this is a template; import the rendered form: {}", RENDERED)
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
    no_utf16() Error: "has the byte order mark of UTF-16, but is not valid UTF-16", "save it as UTF-8";
    binary() Error: "is a binary file: it has a zero byte here",
        "import UTF-8 text; UTF-16 needs its byte order mark";
    no_utf8() Error: "is not valid UTF-8", "convert it, for example from Latin-1: iconv -f latin1 -t utf-8";
    nothing_on_stdin() Error: "nothing came in on stdin", "did the command before the pipe fail?";
    only_blanks_on_stdin() Error: "has only blanks", "did the command before the pipe fail?";
    empty() Error: "is empty", "import what the runner has: {FROM_RUNNER}, or {FROM_HELM}";
    only_blanks() Error: "has only blanks", "import what the runner has: {FROM_RUNNER}";
    only_comments() Error: "has only comments",
        "import what the runner has: helm -n NAMESPACE get values RELEASE --all | drydock import -";
    only_a_template() Error: "has only template actions", "import the rendered form: {RENDERED}";
    other_file(what) Error: "looks like {what}", "import what the runner has: {FROM_RUNNER}";
    terraform_code() Error: "looks like Terraform (HCL)", "import the values that Helm has: {FROM_HELM}";
    markdown() Error: "looks like Markdown", "copy the configuration into a file of its own";
    terraform_directive() Error: "is a Terraform template: it has a %{{ }} directive here",
        "import the rendered form: {FROM_HELM}";
    terraform_variable() Error: "is a Terraform template: it has a ${{ }} without quotes here",
        "import the rendered form: {FROM_HELM}";
    pipeline() Error: "looks like a pipeline (.gitlab-ci.yml), which does not configure runners",
        "import what the runner has: {FROM_RUNNER}";
    only_secrets() Error: "has only a Secret, which is never read",
        "import what the runner has: {FROM_RUNNER}";
    no_runner() Error: "has no runner: neither [[runners]] nor values of the runner's chart are in it",
        "import what the runner has: {FROM_RUNNER}, or {FROM_HELM}";
    manager_alone(kind) Error: "is a {kind} of a runner manager, without the settings for jobs",
        "import what the runner has: {FROM_HELM}";
    manager_with_secret(kind, manager, namespace, secret, volume, path) Error:
        "is a {kind} of a runner manager; the settings for jobs are in Secret {namespace}/{secret} (volume \"{volume}\", mounted at {path})",
        "import that file: kubectl -n {namespace} exec deploy/{manager} -- cat {path}/config.toml | drydock import -";
    manager_with_config_map(kind, namespace, map, volume, path) Error:
        "is a {kind} of a runner manager; the settings for jobs are in ConfigMap {namespace}/{map} (volume \"{volume}\", mounted at {path})",
        "import it: kubectl -n {namespace} get configmap {map} -o yaml | drydock import -";
    too_many_aliases(count) Error: "YAML aliases expand to more than {count} values", "write the values out";
    too_deep(depth) Error: "values are nested more than {depth} levels deep", "import the configuration of the runner alone: {FROM_RUNNER}";
    twice(key, line) Error: "duplicate key {key}, first set in line {line}", "keep one of them";
    tab() Error: "a tab in the indentation", "replace it with spaces: YAML allows no tabs there";
    no_yaml(why) Error: "is not valid YAML{why}", "correct the syntax here and import again";
    no_toml(why) Error: "is not valid TOML{why}", "correct the syntax here and import again";
    bare_label(key) Error: "\"/\" cannot be in a bare key", "put the label in quotes: \"{key}\" = …";
    unclosed_template() Error: "a template action is not closed: {{{{ has no }}}}",
        "import the rendered form: {RENDERED}";
    config_is_no_text() Error: "runners.config is not a string", "write it as a block: config: |";
    two_runners() Error:
        "a registration template has exactly one [[runners]]; a runner does not register with two",
        "install one release for each";
    refused() Error: "the runner refuses this file, so no setting of it is in effect",
        "correct these lines and import again";
    refused_policy(field) Error: "becomes a policy that drydock check refuses, at {field}",
        "this is a bug in drydock; import the runners one by one";
}

// What the runner refuses or ignores.
messages! {
    wrong_type(name, is, expected, how) Error: "{name} is {is}; the runner expects {expected}", "{how}";
    no_table(name, is) Error: "{name} has {is} in its list; the runner expects a list of tables",
        "write it as [[…{name}]] with keys of its own";
    dotted_key(name, key) Error: "{key} in {name} is a table: a dot in a bare key starts a table",
        "put the whole key in quotes";
    no_string_in_map(name, is, key) Error: "{key} in {name} is {is}; the runner expects a string",
        "put it in quotes";
    no_string_in_list(name, is) Error: "{name} has {is} in its list; the runner expects strings",
        "put it in quotes";
    no_map(name, is) NotTaken: "{name} is {is} and not a map: the runner ignores it", "";
    unknown_key(key) NotTaken: "the runner does not know the key {key} here and ignores it", "";
    two_spellings(name, line) NotTaken:
        "the key {name} is here and, in other case, in line {line}; the runner may use either",
        "keep one of them";
}

// Runners and their files.
messages! {
    other_executor(label, executor) NotTaken: "{label} has {executor}: it creates no pods",
        "drydock repairs pods of the Kubernetes executor on Linux";
    windows(label) NotTaken: "{label} runs jobs on Windows, where hostAliases have no effect",
        "drydock repairs pods of the Kubernetes executor on Linux";
    environment() NotTaken: "environment: drydock does not set variables of jobs", "keep it in the file";
    privileged_without_dind(label) Dangerous:
        "{label}: every container of every job is privileged, and this file has no dind service and no volume for Docker",
        "remove it, or keep it only for the runner that builds images";
    dind_without_privileged(label) Dangerous: "{label}: dind does not start without privileged",
        "write privileged = true under [runners.kubernetes] if jobs use dind";
    open_daemon() Dangerous:
        "dind listens on 0.0.0.0 without TLS: whoever reaches the pod can become root on its node",
        "set DOCKER_TLS_CERTDIR to /certs and use port 2376";
    service_account(name, namespace) Dangerous:
        "every job, whoever wrote it, has the permissions of the ServiceAccount {name}",
        "list them: kubectl -n {namespace} auth can-i --list --as=system:serviceaccount:{namespace}:{name}";
    namespace_overwrite() NotTaken: "namespace_overwrite_allowed: a job can choose another namespace",
        "label every namespace that it allows";
    namespace_per_job() NotTaken:
        "namespace_per_job: the runner creates a namespace for each job, without the label",
        "select these namespaces by a name prefix: components/namespace-per-job (docs/install.md)";
    template() NotTaken:
        "template: lines with actions only are skipped; the body of if and with is read as if the condition held; the body of range and else is skipped",
        "import the rendered form: {RENDERED}";
    byte_order_mark() Note: "starts with a byte order mark, which runners before 16.0 refuse", "";
    utf16() Note: "is UTF-16, which the runner refuses", "save it as UTF-8";
    credentials(lines) Note: "has credentials in line {lines}; they are not printed", "";
    secret() Note: "a Secret, which is not read", "";
}

// Values of the chart.
messages! {
    certs_secret_name(name) NotTaken:
        "certsSecretName {name}: the manager verifies GitLab with this CA; dind does not use it for registries",
        "keep it; for a registry create a ConfigMap with the CA, and add dind.registryCAs: [{{host: HOST, configMap: {{name: NAME, key: ca.crt}}}}] to the policy";
    ended_key(key, instead, place) NotTaken:
        "runners.{key}: the chart has ignored this key since 0.53.0 (GitLab Runner 16.0)",
        "if you need it, write {instead}{place}";
    template_name(name, todo) NotTaken:
        "name {name} in a registration template has no effect: the runner is registered as runners.name, or with the name of the manager's pod",
        "{todo}";
    manager_aliases(missing) NotTaken: "hostAliases of the manager's pod: jobs do not have them{missing}",
        "keep them: drydock does not change the manager; add to the policy what jobs need";
    manager_conflict(hostname, manager, jobs) Conflict:
        "{hostname} is {manager} for the manager and {jobs} for jobs; the policy has {jobs}",
        "one of the two is probably out of date: correct it";
}

// Aliases and patches.
messages! {
    two_addresses(hostname, one, other) Conflict:
        "{hostname} is {one} and {other} in one runner; the first address wins, as in /etc/hosts",
        "keep one of them";
    alias(what) NotTaken: "{what}", "keep it in the file";
    wrong_alias(what) NotTaken: "{what}", "correct it, or remove it";
    commented_alias(what) NotTaken: "{what}",
        "uncomment the entry in the policy if every job may have it, or keep it in the file";
    unknown_alias(what) NotTaken: "{what}",
        "write the value out, or import the rendered form: {RENDERED}";
    alias_of_dind(what, line) NotTaken: "{what}",
        "set alias = \"docker\" on the service in line {line}; keep this entry until then";
    patch_without_flag(name, flag) NotTaken:
        "pod_spec patch {name}: not taken over and not shown; {flag} is off for this runner, so the patch has no effect",
        "keep it in the file";
    patch(name, flag, more) NotTaken:
        "pod_spec patch {name}: not taken over and not shown; {flag} is on, so drydock receives the patched pod and repairs it{more}",
        "keep it in the file";
    host_network(name) Dangerous:
        "pod_spec patch {name} puts every job on the network of its node (hostNetwork)", "remove it";
    patched_alias(hostname, address, patched) Conflict:
        "{hostname} is {address} in host_aliases and {patched} in a pod_spec patch; today the patch wins, with the policy {address} wins",
        "remove the hostAliases from the patch: they also replace the names of the job's services";
    alias_in_patch(hostname, address) NotTaken:
        "{hostname} ({address}) is in a pod_spec patch, which is not taken over",
        "write it as host_aliases and import again, or add it to the policy";
}

// Volumes and dind.
messages! {
    volume_without_path(kind, name) NotTaken:
        "{kind} {name}: its path is missing, or a variable or a template sets it", "keep it in the file";
    two_volumes(volume) Conflict:
        "{volume}: another volume of this runner has the same path; the API server refuses a pod with two equal mount paths, and of two spellings of one path the later mount hides the earlier one",
        "keep one of them";
    volume(volume, why) NotTaken: "{volume}: {why}", "keep it in the file";
    dangerous_volume(volume, why) Dangerous: "{volume}: {why}", "remove it; no policy has it";
    shared_data(volume) Dangerous:
        "{volume}: shared by all pods at the data path: two daemons in one directory destroy it",
        "use an emptyDir; no policy has this volume";
    other_medium(volume) NotTaken: "{volume}: its medium is neither empty nor Memory", "correct it";
    image_of_dind(image) NotTaken:
        "service {image}: its name says Docker daemon, but drydock does not recognize this image as dind",
        "check it, and uncomment dind.images in the policy";
    certificates_of_another(volume) NotTaken: "{volume}: jobs call a daemon outside of the pod",
        "keep it in the file";
    right_certificates(volume, why) NotTaken: "{volume}: {why}; it is right as it is, and drydock does not change it",
        "keep it in the file";
    in_the_way_of_dind(volume, more) Conflict:
        "{volume}: dind must write its certificates there and cannot: images since 2023 exit, earlier ones run without TLS",
        "remove the lines; until then the policy mounts an emptyDir in its place in dind pods{more}";
    registry_secret(volume, command) NotTaken:
        "{volume}: registryCAs takes a ConfigMap, and a CA certificate is not secret",
        "create the ConfigMap in every job namespace, then uncomment the entry in the policy: {command}";
    unknown_authority(volume) NotTaken:
        "{volume}: the file does not say which key is the CA (Docker reads *.crt; *.cert and *.key belong to a client)",
        "check the key of the commented entry in the policy; keep the line until then";
}

// Where dind pods run.
messages! {
    scheduling(table) NotTaken:
        "{table}: it applies to all jobs of this runner, and dind.scheduling only to dind pods",
        "keep it in the file";
    unknown_scheduling(table, key) NotTaken: "{table} {key}: a template or a variable sets it",
        "keep it in the file";
    selector_of_nodes(key) NotTaken:
        "node_selector {key}: a policy for all runners selects no architecture, operating system or node",
        "keep it in the file";
    wrong_scheduling(table, key) NotTaken: "{table} {key}: the API server refuses it", "correct it";
    control_plane(key) Dangerous: "a toleration of {key} lets privileged pods run on control-plane nodes",
        "keep it in the file of this runner only; it is a comment in the policy";
}

// What is in the policies.
messages! {
    taken(what, policies) Taken: "{what} → {policies}", "";
    taken_for_one(what, policies) Taken:
        "{what} → {policies}; the other runners do not have it, and without its podSelector the policy may be shared", "";
    two_values(subject, values) Conflict: "{subject} is {values}", "";
    not_selectable(what, label, why) NotTaken:
        "{what}: only {label} has it, and no policy can select its pods: {why}",
        "then import again; keep the line until then";
}

//! Everything that the report says of a configuration: one row a finding, with its group, what it
//! says and what to do.

use super::finding::{Finding, Group};
use super::printable::{Say, Sentence, say};

/// What becomes of lines that a policy makes redundant.
pub(super) const GENERATED: &str = "redundant once the job namespace is labelled enforce; this file is generated or came by a pipe, so change runners.config in the chart's values, or the file that it came from";
pub(super) const BY_NAME: &str = "redundant once the job namespace is labelled enforce and the runner is 17.9 or later; then remove it by hand";
pub(super) const IN_DIFF: &str =
    "redundant once the job namespace is labelled enforce: see the diff";
pub(super) const BY_HAND: &str = "redundant once the job namespace is labelled enforce; then remove it by hand (no diff: it would show other values of the line, or what is left of it)";

/// Where a runner has its configuration, and how to get it.
const FROM_RUNNER: &str = "kubectl -n NAMESPACE exec deploy/gitlab-runner -- cat /home/gitlab-runner/.gitlab-runner/config.toml | drydock import -";
const FROM_HELM: &str = "helm -n NAMESPACE get values RELEASE | drydock import -";
/// How to get what a template renders to.
const RENDERED: &str = "helm -n NAMESPACE get manifest RELEASE | drydock import -";

/// What to do with a template that cannot be read.
pub(super) fn rendered() -> Sentence {
    say!("it is a template; import it rendered: {}", RENDERED)
}

macro_rules! messages {
    ($($name:ident($($arg:ident),*) $group:ident: $what:literal, $todo:literal;)*) => {$(
        pub(super) fn $name($($arg: impl Say),*) -> Finding {
            Finding {
                places: Vec::new(),
                group: Group::$group,
                what: Sentence::of(format_args!($what)),
                todo: Sentence::of(format_args!($todo)),
            }
        }
    )*};
}

// Files that cannot be read.
messages! {
    too_large(limit) Error: "has more than {limit} MiB, which no configuration of a runner has",
        "give the runner's own object: kubectl -n NAMESPACE get configmap NAME -o yaml | drydock import -";
    no_utf16() Error: "begins as UTF-16 and is not", "save it as UTF-8";
    binary() Error: "is binary: a zero byte is here",
        "give the configuration as UTF-8 text; UTF-16 needs its byte order mark";
    no_utf8() Error: "is not UTF-8 from here", "convert it, as from Latin-1: iconv -f latin1 -t utf-8";
    nothing_on_stdin() Error: "nothing came in on stdin", "did the command before the pipe fail?";
    only_blanks_on_stdin() Error: "has only blanks", "did the command before the pipe fail?";
    empty() Error: "is empty",
        "import what the runner has: {FROM_RUNNER}, or {FROM_HELM}";
    only_blanks() Error: "has only blanks",
        "import what the runner has: {FROM_RUNNER}";
    only_comments() Error: "has only comments",
        "import what the runner has: helm -n NAMESPACE get values RELEASE --all | drydock import -";
    only_a_template() Error: "has only a template",
        "import it rendered: {RENDERED}";
    other_file(what) Error: "looks like {what}",
        "import what the runner has: {FROM_RUNNER}";
    terraform_code(what) Error: "looks like {what}",
        "import the values that Helm has: {FROM_HELM}";
    markdown() Error: "looks like Markdown",
        "copy the block with the configuration into a file of its own";
    terraform_directive() Error: "is a Terraform template: a %{{ }} directive is here",
        "import it rendered: {FROM_HELM}";
    terraform_variable() Error: "is a Terraform template: a ${{ }} that is not in quotes is here",
        "import it rendered: {FROM_HELM}";
    pipeline() Error: "looks like a pipeline (.gitlab-ci.yml), which says nothing about runners",
        "import what the runner has: {FROM_RUNNER}";
    only_secrets() Error: "has a Secret, which is never read, and no other configuration",
        "import what the runner has: {FROM_RUNNER}";
    no_runner() Error: "has no runner: neither [[runners]] nor values of the chart",
        "import what the runner has: {FROM_RUNNER}, or {FROM_HELM}";
    manager_alone(kind) Error: "is a {kind} of a runner's manager, and its settings for jobs are not in it",
        "import what the runner has: {FROM_HELM}";
    manager_with_secret(kind, manager, namespace, secret, volume, path) Error:
        "is a {kind} of a runner's manager; its settings for jobs are in Secret {namespace}/{secret} (volume \"{volume}\", mounted at {path})",
        "import that file: kubectl -n {namespace} exec deploy/{manager} -- cat {path}/config.toml | drydock import -";
    manager_with_config_map(kind, namespace, map, volume, path) Error:
        "is a {kind} of a runner's manager; its settings for jobs are in ConfigMap {namespace}/{map} (volume \"{volume}\", mounted at {path})",
        "import that: kubectl -n {namespace} get configmap {map} -o yaml | drydock import -";
    too_many_aliases(count) Error: "its aliases stand for more than {count} values", "write them out";
    too_deep(depth) Error: "is nested more than {depth} deep", "";
    twice(key, line) Error: "duplicate key {key}, first set in line {line}", "keep one of them";
    tab() Error: "a tab in the indentation", "YAML takes spaces only: replace it with two";
    no_yaml(why) Error: "is not valid YAML{why}", "";
    no_toml(why) Error: "is not valid TOML{why}", "";
    bare_label(key) Error: "\"/\" cannot be in a bare key", "put the label in quotes: \"{key}\" = …";
    unclosed_template() Error: "a template's {{{{ has no }}}}",
        "import it rendered: {RENDERED}";
    config_is_no_text() Error: "runners.config is not a string", "write it as a block: config: |";
    two_runners() Error:
        "a registration template has exactly one [[runners]]; with two the runner does not register",
        "make a release for each";
    refused() Error: "the runner refuses this file, so nothing of it is in force",
        "correct these lines and import again";
    refused_policy(field) Error: "makes a policy that drydock check refuses, at {field}",
        "this is a bug of drydock; import its runners one by one";
}

// What the runner refuses or ignores.
messages! {
    wrong_type(name, is, wanted, how) Error: "{name} is {is}, the runner wants {wanted}", "{how}";
    no_table(name, is) Error: "{name} has {is}, the runner wants a list of tables",
        "write it as [[…{name}]] with keys of its own";
    dotted_key(name, key) Error: "{name} has a table {key}: a dot in a bare key begins a table",
        "put the whole key in quotes";
    no_string_in_map(name, is, key) Error: "{name} has {is} for {key}, the runner wants a string",
        "put it in quotes";
    no_string_in_list(name, is) Error: "{name} has {is}, the runner wants strings", "put it in quotes";
    no_map(name, is) NotTaken: "{name} is {is}, the runner wants a map and ignores it", "";
    unknown_key(key) NotTaken: "the runner does not know the key {key} here and ignores it", "";
    two_spellings(name, line) NotTaken:
        "the key {name} is here and in line {line}, with other upper and lower case; the runner may use either",
        "keep one of them";
}

// Runners and their files.
messages! {
    other_executor(label, executor) NotTaken: "{label} has the executor {executor}: it makes no pods",
        "drydock repairs pods of the Kubernetes executor on Linux";
    windows(label) NotTaken: "{label} runs jobs on Windows, where hostAliases do not work",
        "drydock repairs pods of the Kubernetes executor on Linux";
    environment() NotTaken: "environment: variables of jobs stay where they are", "keep it in the file";
    privileged_without_dind(label) Dangerous:
        "{label}: every container of every job is privileged, and nothing in this file needs it: no dind service, no volume of Docker",
        "take it out, or keep it for the runner that builds images";
    dind_without_privileged(label) Dangerous: "{label}: dind without privileged does not start",
        "write privileged = true under [runners.kubernetes] if dind is meant to work";
    open_daemon() Dangerous:
        "dind listens without TLS on 0.0.0.0: whoever reaches the pod is root on its node",
        "leave DOCKER_TLS_CERTDIR at /certs and call port 2376";
    service_account(name) Dangerous:
        "every job, whoever wrote it, has the rights of the ServiceAccount {name}",
        "see what it may do: kubectl auth can-i --list --as=system:serviceaccount:NAMESPACE:{name}";
    namespace_overwrite() NotTaken: "namespace_overwrite_allowed: jobs may ask for another namespace",
        "label every namespace that it allows";
    namespace_per_job() NotTaken:
        "namespace_per_job: each job has a namespace of its own, which has no label",
        "components/namespace-per-job selects them by a name prefix (docs/install.md)";
    template() NotTaken:
        "template: lines of actions are not read, the body of if and with is read as if its condition held, that of range and else is not",
        "import the rendered form: {RENDERED}";
    byte_order_mark() Note: "begins with a byte order mark; runners before 16 refuse it", "";
    utf16() Note: "is UTF-16, which the runner refuses; save it as UTF-8", "";
    credentials(lines) Note: "has credentials in line {lines}; they are not printed", "";
    secret() Note: "a Secret, which was not read", "";
}

// Values of the chart.
messages! {
    certs_secret_name(name) NotTaken:
        "certsSecretName {name}: the manager's trust in GitLab, not that of dind in a registry",
        "keep it; for a registry make a ConfigMap of the authority and write dind.registryCAs: [{{host: HOST, configMap: {{name: NAME, key: ca.crt}}}}]";
    ended_privileged() NotTaken:
        "runners.privileged: the chart has ignored this key since 0.53.0 (GitLab Runner 16.0)",
        "if it is wanted, write privileged = true under [runners.kubernetes]; without it dind is not privileged at all";
    ended_key(key, instead, place) NotTaken:
        "runners.{key}: the chart has ignored this key since 0.53.0 (GitLab Runner 16.0)",
        "if it is wanted, write {instead}{place}";
    template_name(name) NotTaken:
        "name {name} of a registration template has no effect: the registered name is the manager pod's, or runners.name",
        "set runners.name in the values for a name that lasts, as in runners: {{name: NAME}}";
    template_name_beside_another(name) NotTaken:
        "name {name} of a registration template has no effect: the registered name is the manager pod's, or runners.name",
        "take it out";
    manager_aliases(missing) NotTaken: "hostAliases of the manager's pod: they are in no job{missing}",
        "keep them: drydock never touches the manager; add to the policy what jobs need";
    manager_conflict(hostname, manager, jobs) Conflict:
        "{hostname} is {manager} for the manager and {jobs} for jobs; the policy has the jobs'",
        "one of the two is probably out of date: correct it";
}

// Aliases and patches.
messages! {
    two_addresses(hostname, one, other) Conflict:
        "{hostname} is {one} and {other} in one runner; the first one counts, as in /etc/hosts",
        "keep one of them";
    alias(what) NotTaken: "{what}", "keep it in the file";
    unknown_alias(what) NotTaken: "{what}",
        "write it out, or import the rendered form: {RENDERED}";
    alias_of_dind(what, line) NotTaken: "{what}",
        "write alias = \"docker\" for the service in line {line}; keep the line until then";
    patch_without_flag(name, flag) NotTaken:
        "pod_spec patch {name}: its text is not taken over and not shown; {flag} is off for this runner, so it has no effect",
        "keep it in the file";
    patch(name, flag, more) NotTaken:
        "pod_spec patch {name}: its text is not taken over and not shown; {flag} is on, so drydock sees its result in the pod and repairs that{more}",
        "keep it in the file";
    host_network(name) Dangerous:
        "pod_spec patch {name} puts every job on the network of its node (hostNetwork)", "take it out";
    patched_alias(hostname, address, patched) Conflict:
        "{hostname} is {address} in host_aliases and {patched} in a pod_spec patch, which wins on this runner today; with the policy {address} wins",
        "take the hostAliases out of the patch: they also replace the names of the job's services";
    alias_in_patch(hostname, address) NotTaken:
        "{hostname} ({address}) is in a pod_spec patch, which is not taken over",
        "write it as host_aliases and import again, or add it to the policy";
}

// Volumes and dind.
messages! {
    volume_without_path(kind, name) NotTaken:
        "{kind} {name}: a variable or a template decides its path, or it has none", "keep it in the file";
    two_volumes(volume) Conflict:
        "{volume}: another volume of this runner is mounted there; the API server refuses every pod of this runner for two mounts of one path, and of two spellings the later one counts",
        "keep one of them";
    volume(volume, why) NotTaken: "{volume}: {why}", "keep it in the file";
    dangerous_volume(volume, why) Dangerous: "{volume}: {why}", "take it out; it is in no policy";
    shared_data(volume) Dangerous:
        "{volume}: shared by all pods at the data path: two daemons in one directory destroy it",
        "use an emptyDir; it is in no policy";
    other_medium(volume) NotTaken: "{volume}: its medium is neither empty nor Memory", "correct it";
    image_of_dind(image) NotTaken:
        "the service {image} is a daemon by its name, and drydock does not take such an image for dind by itself",
        "check it, and write it into dind.images of the policy (a comment there)";
    certificates_of_another(volume) NotTaken: "{volume}: jobs call another daemon", "keep it in the file";
    right_certificates(volume, why) NotTaken: "{volume}: {why}; right as it is, drydock leaves it alone",
        "keep it in the file";
    in_the_way_of_dind(volume) Conflict:
        "{volume}: dind must write there, and cannot: images since 2023 exit, older ones run without TLS",
        "remove the lines; until then the policy puts an emptyDir in its place in dind pods";
    authority_in_the_way_of_dind(volume, command) Conflict:
        "{volume}: dind must write there, and cannot: images since 2023 exit, older ones run without TLS",
        "remove the lines; until then the policy puts an emptyDir in its place in dind pods; if it is the authority of a registry, its place is registryCAs (a comment in the policy, with a guessed host){command}";
    registry_secret(volume, command) NotTaken:
        "{volume}: registryCAs takes a ConfigMap, and an authority is no secret",
        "make the ConfigMap in every job namespace, then take the entry out of its comment: {command}";
    unknown_authority(volume) NotTaken:
        "{volume}: which key is the authority is not in the file (docker reads *.crt; *.cert and *.key would be a client's)",
        "check the key of the commented entry in the policy; keep the line until then";
}

// Where dind pods run.
messages! {
    scheduling(table) NotTaken:
        "{table}: it is for all jobs of this runner, and dind.scheduling is for dind pods only",
        "keep it in the file";
    unknown_scheduling(table, key) NotTaken: "{table} {key}: a template or a variable decides",
        "keep it in the file";
    selector_of_nodes(key) NotTaken:
        "node_selector {key}: an architecture, a system or a node is not the policy's to choose for every runner",
        "keep it in the file";
    wrong_scheduling(table, key) NotTaken: "{table} {key}: nothing that the API server takes", "correct it";
    control_plane(key) Dangerous: "a toleration of {key} sends privileged pods to control-plane nodes",
        "it is a comment in the policy; keep it in the file of this runner only";
}

// What is in the policies.
messages! {
    taken(what, word, policies, shared) Taken: "{what} → {word} {policies}{shared}", "";
    two_values(subject, values) Conflict: "{subject} is {values}", "";
    not_selectable(what, label, why) NotTaken:
        "{what}: only {label} has it, and no policy can select its pods: {why}",
        "then import again; until then leave the line";
}

//! The values that the chart accepts.

use super::{CHART, one, run, template};
use serde_json::{Value, json};
use std::fs;

/// Invalid values for `--set-json`, with the path and the words of the error.
const WRONG: &[(&str, &str, &str)] = &[
    ("replicas=\"two\"", "/replicas", "want integer"),
    ("replicas=0", "/replicas", "minimum"),
    (
        "replica=3",
        "''",
        "additional properties 'replica' not allowed",
    ),
    (
        "image.tags=\"1\"",
        "/image",
        "additional properties 'tags' not allowed",
    ),
    (
        "image.digest=\"abc\"",
        "/image/digest",
        "does not match pattern",
    ),
    (
        "image.pullPolicy=\"Sometimes\"",
        "/image/pullPolicy",
        "'Always', 'IfNotPresent', 'Never'",
    ),
    (
        "failurePolicy=\"fail\"",
        "/failurePolicy",
        "'Fail', 'Ignore'",
    ),
    ("timeoutSeconds=31", "/timeoutSeconds", "maximum"),
    ("optIn.value=\"\"", "/optIn/value", "minLength"),
    ("optIn.value=\"audit\"", "/optIn/value", "'not' failed"),
    (
        "optIn.value=\"a b\"",
        "/optIn/value",
        "does not match pattern",
    ),
    (
        "namespacePerJob.prefix=\"\"",
        "/namespacePerJob/prefix",
        "does not match pattern",
    ),
    (
        "namespacePerJob.prefix=\"a')||true||('\"",
        "/namespacePerJob/prefix",
        "does not match pattern",
    ),
    (
        "namespacePerJob.mode=\"Enforce\"",
        "/namespacePerJob/mode",
        "'enforce', 'audit'",
    ),
    (
        "certificates.source=\"own\"",
        "/certificates/source",
        "'self-managed', 'cert-manager', 'secret'",
    ),
    (
        "certificates.caBundle=\"MIIB\"",
        "/certificates/caBundle",
        "does not match pattern",
    ),
    (
        "certificates.certManager.issuerRef.kind=\"Issuer\"",
        "/certificates/certManager/issuerRef",
        "'name'",
    ),
    ("logLevel=\"verbose\"", "/logLevel", "'off'"),
    (
        "policies.A={}",
        "/policies'",
        "additional properties 'A' not allowed",
    ),
    ("policies.gitlab=[]", "/policies/gitlab", "want object"),
    (
        "networkPolicy.apiServerPorts=[0]",
        "/networkPolicy/apiServerPorts/0",
        "minimum",
    ),
    (
        "podDisruptionBudget.minAvailable=\"half\"",
        "/podDisruptionBudget/minAvailable",
        "does not match pattern",
    ),
    ("commonLabels.a=1", "/commonLabels/a", "want string"),
    ("hostNetwork=\"yes\"", "/hostNetwork", "want boolean"),
];

#[test]
fn an_invalid_value_is_refused_with_its_path() {
    for (setting, path, words) in WRONG {
        let output = run(None, &["template", "drydock", CHART, "--set-json", setting]);
        assert_eq!(output.code, Some(1), "{setting}: {output:?}");
        assert!(output.stderr.contains(path), "{setting}: {}", output.stderr);
        assert!(
            output.stderr.contains(words),
            "{setting}: {}",
            output.stderr
        );
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("{CHART}/{name}")).unwrap()
}

/// Collects the paths of all leaf values. An empty map is a leaf.
fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
    // The user chooses the keys of these maps.
    let is_whole = ["resources", "nodeSelector", "monitoring.dashboard.labels"].contains(&path);
    match value.as_object() {
        Some(fields) if !fields.is_empty() && !is_whole => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(&format!("{path}{dot}{name}"), value, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn properties(path: &str, schema: &Value, found: &mut Vec<String>) {
    match schema["properties"].as_object() {
        Some(fields) if path != "certificates.certManager.issuerRef" => {
            for (name, schema) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                properties(&format!("{path}{dot}{name}"), schema, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn values_schema_and_readme_agree() {
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let mut of_values = Vec::new();
    leaves("", &values, &mut of_values);
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut of_schema = Vec::new();
    properties("", &schema, &mut of_schema);
    // `global` is defined by Helm.
    of_schema.retain(|path| path != "global");
    let readme = read("README.md");
    let mut of_readme: Vec<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert!(of_values.len() > 40);
    assert_eq!(of_readme, of_values, "README.md and values.yaml differ");
    for list in [&mut of_values, &mut of_schema, &mut of_readme] {
        list.sort();
    }
    assert_eq!(
        of_schema, of_values,
        "values.schema.json and values.yaml differ"
    );
}

fn container(objects: &[Value]) -> Value {
    one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn the_image_is_named_by_registry_tag_and_digest() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let by_digest = format!("image.digest={digest}");
    for (settings, image) in [
        (&[][..], "drydock:0.1.0".to_owned()),
        (
            &["image.registry=r.example.com/x"],
            "r.example.com/x/drydock:0.1.0".to_owned(),
        ),
        (&["image.tag=1.0"], "drydock:1.0".to_owned()),
        (&["image.tag=1.0", &by_digest], format!("drydock@{digest}")),
    ] {
        let objects = template("drydock", "drydock", settings);
        assert_eq!(container(&objects)["image"], image);
    }
}

#[test]
fn chart_and_program_have_the_same_version() {
    let chart: Value = serde_saphyr::from_str(&read("Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn values_change_the_rendered_objects() {
    let objects = template(
        "drydock",
        "drydock",
        &[
            "replicas=1",
            "logLevel=debug",
            "timeoutSeconds=9",
            "priorityClassName=ours",
            "podLabels.team=ci",
            "commonLabels.owner=ci",
            "commonAnnotations.note=ours",
            "image.pullSecrets[0].name=registry",
            "extraEnv[0].name=DRYDOCK_DRAIN_SECONDS",
            "extraEnv[0].value=7s",
            "tolerations[0].key=ci",
            "networkPolicy.webhookFrom[0].ipBlock.cidr=10.0.0.2/32",
            "certificates.source=cert-manager",
            "certificates.certManager.issuerRef.name=company",
            "certificates.certManager.issuerRef.kind=ClusterIssuer",
            "clientCA.configMap=clients",
            "clientCA.names={kube-apiserver,front-proxy}",
        ],
    );
    for object in &objects {
        if object["kind"] == "CustomResourceDefinition" {
            continue;
        }
        assert_eq!(object["metadata"]["labels"]["owner"], "ci", "{object}");
        assert_eq!(
            object["metadata"]["annotations"]["note"], "ours",
            "{object}"
        );
    }
    let kinds = |kind: &str| objects.iter().filter(|it| it["kind"] == kind).count();
    // With one replica, a PodDisruptionBudget would block every node drain.
    assert_eq!(kinds("PodDisruptionBudget"), 0);
    assert_eq!(kinds("PriorityClass"), 0);
    assert_eq!(kinds("Issuer"), 0);
    let deployment = one(&objects, "Deployment");
    assert_eq!(deployment["spec"]["replicas"], 1);
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], "ci");
    assert_eq!(template["spec"]["priorityClassName"], "ours");
    assert_eq!(
        template["spec"]["imagePullSecrets"],
        json!([{"name": "registry"}])
    );
    assert_eq!(template["spec"]["tolerations"], json!([{"key": "ci"}]));
    let container = container(&objects);
    let has = |name: &str, value: &str| {
        let env = container["env"].as_array().unwrap();
        env.contains(&json!({"name": name, "value": value}))
    };
    assert!(has("DRYDOCK_DRAIN_SECONDS", "7s"));
    assert!(has("DRYDOCK_CLIENT_NAME", "kube-apiserver,front-proxy"));
    assert!(
        container["args"]
            .as_array()
            .unwrap()
            .contains(&"--log-level=debug".into())
    );
    let policy = one(&objects, "NetworkPolicy");
    assert_eq!(
        policy["spec"]["ingress"][0]["from"],
        json!([{"ipBlock": {"cidr": "10.0.0.2/32"}}])
    );
    let certificate = one(&objects, "Certificate");
    assert_eq!(
        certificate["spec"]["issuerRef"],
        json!({"kind": "ClusterIssuer", "name": "company"})
    );
    for webhook in one(&objects, "MutatingWebhookConfiguration")["webhooks"]
        .as_array()
        .unwrap()
    {
        assert_eq!(webhook["timeoutSeconds"], 9);
    }
}

/// With `certificates.source=secret`, both webhooks have the CA of the given certificate as base64.
#[test]
fn a_given_certificate_needs_its_ca_in_the_ca_bundle() {
    let directory = tempfile::TempDir::new().unwrap();
    crate::drydock_process::certs(directory.path(), &["drydock.drydock.svc"]);
    let file = directory.path().join("ca.crt");
    let setting = format!("certificates.caBundle={}", file.display());
    let output = run(
        None,
        &[
            "template",
            "drydock",
            CHART,
            "--set",
            "certificates.source=secret",
            "--set-file",
            &setting,
        ],
    );
    let objects = super::parse(&output.printed());
    use base64::Engine as _;
    let wanted = base64::engine::general_purpose::STANDARD.encode(fs::read(file).unwrap());
    for webhook in one(&objects, "MutatingWebhookConfiguration")["webhooks"]
        .as_array()
        .unwrap()
    {
        assert_eq!(webhook["clientConfig"]["caBundle"], wanted);
    }
}

/// A third webhook selects the namespaces that GitLab Runner creates for a job by their name.
/// Namespaces with the opt-in label belong to the other webhooks (rule P1).
#[test]
fn namespaces_per_job_are_selected_by_their_name() {
    for (mode, path, policy) in [
        ("enforce", "/mutate", "Fail"),
        ("audit", "/audit", "Ignore"),
    ] {
        let mode_set = format!("namespacePerJob.mode={mode}");
        let settings = [
            "namespacePerJob.enabled=true",
            "namespacePerJob.prefix=job-",
            &mode_set,
        ];
        let objects = template("drydock", "drydock", &settings);
        let webhooks = one(&objects, "MutatingWebhookConfiguration")["webhooks"].clone();
        let third = &webhooks[2];
        assert_eq!(third["clientConfig"]["service"]["path"], path);
        assert_eq!(third["failurePolicy"], policy);
        assert_eq!(
            third["matchConditions"],
            json!([{"name": "namespace-of-a-job", "expression": "request.namespace.startsWith('job-')"}])
        );
        let env = container(&objects)["env"].clone();
        let prefix = json!({"name": "DRYDOCK_JOB_NAMESPACE_PREFIX", "value": "job-"});
        // In audit mode, drydock creates no Events for authors.
        assert_eq!(env.as_array().unwrap().contains(&prefix), mode == "enforce");
    }
}

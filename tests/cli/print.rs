//! `drydock print`: the CRD, the sample policy, completions.

use super::sandbox::Sandbox;
use rstest::rstest;
use serde_json::Value;

fn crd() -> Value {
    serde_saphyr::from_str(&Sandbox::new().run("print crd").succeeded().stdout).unwrap()
}

/// Calls `visit` with the path and value of each schema in a tree, in order.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    for (field, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[field].is_object() {
            walk(&schema[field], &format!("{path}{suffix}"), visit);
        }
    }
}

fn schema() -> Value {
    crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>
#[test]
fn the_schema_is_structural() {
    let mut wrong = Vec::new();
    let mut schemas = 0;
    walk(&schema(), "", &mut |path, schema| {
        schemas += 1;
        let fields = schema.as_object().unwrap();
        let has = |field: &str| fields.contains_key(field);
        let typed = has("type")
            || has("x-kubernetes-int-or-string")
            || has("x-kubernetes-preserve-unknown-fields");
        if !typed {
            wrong.push(format!("{path}: no type"));
        }
        if has("properties") && has("additionalProperties") {
            wrong.push(format!("{path}: properties beside additionalProperties"));
        }
        for refused in [
            "$ref",
            "definitions",
            "dependencies",
            "deprecated",
            "discriminator",
            "id",
            "patternProperties",
            "readOnly",
            "writeOnly",
            "xml",
            "uniqueItems",
        ] {
            if has(refused) {
                wrong.push(format!("{path}: {refused}"));
            }
        }
        if schema["type"] == "array" && !schema["items"].is_object() {
            wrong.push(format!("{path}: a list without items"));
        }
    });
    assert!(schemas > 100, "{schemas}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `kubectl explain` prints the descriptions. Items of a list or map need none of their own.
#[test]
fn every_field_is_described() {
    let mut silent = Vec::new();
    walk(&schema(), "", &mut |path, schema| {
        let is_plain_item = path.ends_with(['}', ']']) && schema["type"] != "object";
        if !is_plain_item
            && schema["description"]
                .as_str()
                .is_none_or(|text| text.len() < 10)
        {
            silent.push(path.to_owned());
        }
    });
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// If a field is not nullable, the API server replaces null with the default value.
#[test]
fn a_null_is_like_an_absent_field() {
    walk(&schema(), "", &mut |path, schema| {
        assert_eq!(schema.get("nullable"), None, "{path}");
    });
}

/// Without a message, the API server prints the expression of a rule. Without a maximum length, it
/// cannot estimate the cost of a rule.
#[test]
fn every_cel_rule_has_a_message_and_a_bounded_field() {
    let mut rules = 0;
    walk(&schema(), "", &mut |path, schema| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            rules += 1;
            assert!(
                rule["message"].is_string() || rule["messageExpression"].is_string(),
                "{path}: {rule}"
            );
            let bound = match schema["type"].as_str().unwrap() {
                "string" => "maxLength",
                "array" => "maxItems",
                _ if schema["additionalProperties"].is_object() => "maxProperties",
                _ => continue,
            };
            assert!(schema[bound].is_u64(), "{path} has no {bound}");
        }
    });
    assert!(rules > 50, "{rules}");
}

/// The columns of `kubectl get jpp`, and those of `-o wide`.
#[test]
fn the_columns_show_whether_a_policy_is_in_force() {
    let crd = crd();
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
        .as_array()
        .unwrap();
    let shown = |wide: bool| -> Vec<&str> {
        let is_shown = |column: &&Value| wide || column["priority"].as_i64().unwrap_or(0) == 0;
        let columns = columns.iter().filter(is_shown);
        columns
            .map(|column| column["name"].as_str().unwrap())
            .collect()
    };
    assert_eq!(
        shown(false),
        ["Mode", "Priority", "Accepted", "Addresses", "Age"]
    );
    assert_eq!(
        shown(true),
        [
            "Mode",
            "Priority",
            "Accepted",
            "Addresses",
            "Conflicting",
            "Age"
        ]
    );
}

/// `kubectl get -o yaml` shows the default of a field that is absent.
#[test]
fn defaults_are_written_into_the_schema() {
    let schema = schema();
    let spec = &schema["properties"]["spec"]["properties"];
    assert_eq!(spec["mode"]["default"], "Enforce");
    assert_eq!(spec["priority"]["default"], 0);
    let dind = &spec["dind"]["properties"];
    assert_eq!(dind["clientCerts"]["default"]["onConflict"], "Replace");
    assert_eq!(dind["clientCerts"]["default"]["sizeLimit"], "1Mi");
    let paths: Vec<&Value> = dind["volumes"]["default"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| &volume["mountPath"])
        .collect();
    assert_eq!(paths, ["/var/lib/docker", "/lib/modules"]);
    assert_eq!(
        spec["dind"].get("default"),
        None,
        "dind must not have a default"
    );
}

#[test]
fn the_crd_is_cluster_scoped_and_has_its_names() {
    let crd = crd();
    assert_eq!(crd["apiVersion"], "apiextensions.k8s.io/v1");
    assert_eq!(crd["kind"], "CustomResourceDefinition");
    assert_eq!(crd["metadata"]["name"], "jobpodpolicies.drydock.dev");
    assert_eq!(crd["spec"]["scope"], "Cluster");
    assert_eq!(
        crd["spec"]["names"]["shortNames"],
        serde_json::json!(["jpp"])
    );
    assert_eq!(crd["spec"]["versions"].as_array().unwrap().len(), 1);
    assert_eq!(crd["spec"]["versions"][0]["name"], "v1alpha1");
}

#[test]
fn the_sample_policy_is_the_committed_one_and_valid() {
    let sandbox = Sandbox::new();
    let sample = sandbox.run("print policy").succeeded().stdout;
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/sample-policy.yaml");
    assert_eq!(sample, std::fs::read_to_string(committed).unwrap());
    let checked = sandbox.run_with("check -", &sample);
    assert_eq!(
        (
            checked.code,
            checked.stdout.as_str(),
            checked.stderr.as_str()
        ),
        (0, "", "1 policy is valid, 0 errors\n")
    );
}

#[rstest]
fn completions_have_all_commands(
    #[values("bash", "elvish", "fish", "powershell", "zsh")] shell: &str,
) {
    let completions = Sandbox::new()
        .run(&format!("print completions {shell}"))
        .succeeded()
        .stdout;
    for word in [
        "drydock",
        "serve",
        "mutate",
        "check",
        "print",
        "rules",
        "certs",
        "namespace-labels",
    ] {
        assert!(completions.contains(word), "{word}");
    }
}

#[test]
fn print_refuses_other_arguments() {
    for args in [
        "print",
        "print manifest",
        "print completions",
        "print completions cmd",
    ] {
        let ran = Sandbox::new().run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
    }
}

//! Pods with a large number of one thing, such as mounts. The cost of a review must not grow faster
//! than n log n with any such number (rule F6).

use serde_json::{Value, json};

/// Each dimension with a number that is at most half of its limit, so that it can be doubled.
pub(crate) const DIMENSIONS: [(&str, usize); 21] = [
    ("dind containers", 120),
    ("containers without names", 120),
    ("init containers", 120),
    ("native sidecars with dind", 120),
    ("mounts at the directory", 1_000),
    ("mounts below the directory", 1_000),
    ("mounts elsewhere", 1_000),
    ("volumes", 500),
    ("volumes with the preferred names", 500),
    ("items of a volume", 2_000),
    ("stale hostAliases entries", 1_000),
    ("hostnames of one entry", 4_000),
    ("stale hostnames of one entry", 500),
    ("owned hostnames, and 2,000 entries", 500),
    ("variables of one name", 8_000),
    ("words of a command", 4_000),
    ("labels", 500),
    ("annotations", 1_000),
    ("values in a forged annotation", 50_000),
    ("tolerations", 500),
    ("node labels", 250),
];

/// Returns a review of a pod with `count` items of a dimension.
pub(crate) fn review(dimension: &str, count: usize) -> Vec<u8> {
    let mut pod = json!({
        "metadata": {
            "name": "runner-1",
            "labels": {"job.runner.gitlab.com/pod": "runner-1"},
            "annotations": {"a": "b"},
        },
        "spec": {
            "containers": [
                {"name": "build", "image": "alpine", "volumeMounts": [{"name": "certs", "mountPath": "/certs/client"}]},
                {"name": "helper", "image": "helper"},
                {"name": "docker", "image": "docker:24-dind", "securityContext": {"privileged": true}, "volumeMounts": [{"name": "certs", "mountPath": "/certs/client"}]},
            ],
            "volumes": [{"name": "certs", "secret": {"secretName": "certs"}}],
        },
    });
    let list = |element: &dyn Fn(usize) -> Value| -> Value { (0..count).map(element).collect() };
    let members = |value: &str| -> Value {
        let member = |number| (format!("key-{number}"), json!(value));
        Value::Object((0..count).map(member).collect())
    };
    let dind = |number: usize| json!({"name": format!("dind-{number}"), "image": "docker:24-dind", "restartPolicy": "Always", "securityContext": {"privileged": true}});
    match dimension {
        "dind containers" => extend(&mut pod["spec"]["containers"], list(&dind)),
        "containers without names" => extend(&mut pod["spec"]["containers"], list(&|_| json!({}))),
        "init containers" => {
            pod["spec"]["initContainers"] = list(
                &|number| json!({"name": format!("init-{number}"), "volumeMounts": [{"name": "certs", "mountPath": "/certs/client/"}]}),
            );
        }
        "native sidecars with dind" => pod["spec"]["initContainers"] = list(&dind),
        "mounts at the directory" => extend(
            &mut pod["spec"]["containers"][0]["volumeMounts"],
            list(
                &|number| json!({"name": "certs", "mountPath": format!("/certs/x{number}/../client")}),
            ),
        ),
        "mounts below the directory" => extend(
            &mut pod["spec"]["containers"][0]["volumeMounts"],
            list(
                &|number| json!({"name": "certs", "mountPath": format!("/certs/client/{number}"), "subPath": "x"}),
            ),
        ),
        "mounts elsewhere" => extend(
            &mut pod["spec"]["containers"][0]["volumeMounts"],
            list(&|number| json!({"name": "certs", "mountPath": format!("/elsewhere/{number}")})),
        ),
        "volumes" => extend(
            &mut pod["spec"]["volumes"],
            list(&|number| json!({"name": format!("volume-{number}"), "emptyDir": {}})),
        ),
        "volumes with the preferred names" => {
            let name = |number: usize| match number {
                0 => "dind-storage".to_owned(),
                number => format!("dind-storage-{}", number + 1),
            };
            extend(
                &mut pod["spec"]["volumes"],
                list(&|number| json!({"name": name(number), "emptyDir": {}})),
            );
            extend(&mut pod["spec"]["containers"], (0..100).map(dind).collect());
        }
        "items of a volume" => {
            pod["spec"]["volumes"][0]["secret"]["items"] =
                list(&|number| json!({"key": "x", "path": format!("server/{number}")}));
        }
        "stale hostAliases entries" => {
            pod["spec"]["hostAliases"] = list(
                &|number| json!({"ip": "10.9.0.1", "hostnames": ["gitlab.mylab.com", format!("host-{number}")]}),
            );
        }
        "hostnames of one entry" => {
            pod["spec"]["hostAliases"] = json!([{"ip": "10.9.0.1", "hostnames": list(&|number| json!(format!("host-{number}")))}]);
        }
        "stale hostnames of one entry" => {
            let name =
                |number: usize| json!(format!("owned-{}-{}.mylab.com", number / 10, number % 10));
            pod["spec"]["hostAliases"] = json!([{"ip": "10.9.0.1", "hostnames": list(&name)}]);
        }
        "owned hostnames, and 2,000 entries" => {
            pod["spec"]["hostAliases"] = (0..2_000)
                .map(|number| json!({"ip": format!("10.9.{}.{}", number / 200, number % 200), "hostnames": [format!("host-{number}")]}))
                .collect();
        }
        "variables of one name" => {
            pod["spec"]["containers"][2]["env"] =
                list(&|_| json!({"name": "DOCKER_HOST", "value": "tcp://docker:2376"}));
        }
        "words of a command" => {
            pod["spec"]["containers"][2]["command"] = list(&|_| json!("sh"));
        }
        "labels" => merge(&mut pod["metadata"]["labels"], members("")),
        "annotations" => merge(&mut pod["metadata"]["annotations"], members("")),
        "values in a forged annotation" => {
            let values: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            pod["metadata"]["annotations"]["drydock.dev/policies"] = json!(values.join(","));
        }
        "tolerations" => {
            pod["spec"]["tolerations"] = list(&|number| json!({"key": format!("key-{number}")}));
        }
        "node labels" => pod["spec"]["nodeSelector"] = members("x"),
        other => unreachable!("unknown dimension {other}"),
    }
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "ci",
            "name": "runner-1",
            "operation": "CREATE",
            "object": pod,
        },
    })
    .to_string()
    .into_bytes()
}

fn extend(list: &mut Value, more: Value) {
    let Value::Array(mut more) = more else {
        return;
    };
    list.as_array_mut().unwrap().append(&mut more);
}

fn merge(object: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        return;
    };
    object.as_object_mut().unwrap().extend(more);
}

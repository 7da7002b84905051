//! The pods of the Deployment: they run without root and with a read-only file system, all
//! selectors match them, and their flags are valid.

use crate::objects::{base, component, list, one, parse, selects, texts};
use clap::{CommandFactory as _, Parser as _};
use drydock::cli::Cli;
use serde_json::{Value, json};

fn deployment() -> Value {
    one(&base(), "Deployment", "drydock").clone()
}

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
#[test]
fn pods_conform_to_the_restricted_pod_security_standard() {
    let objects = base();
    let namespace = one(&objects, "Namespace", "drydock");
    let labels = &namespace["metadata"]["labels"];
    for mode in ["enforce", "audit", "warn"] {
        assert_eq!(
            labels[format!("pod-security.kubernetes.io/{mode}")],
            "restricted"
        );
    }
    let pod = &deployment()["spec"]["template"]["spec"];
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["runAsUser"], 65532);
    assert_eq!(context["runAsGroup"], 65532);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    for field in [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "volumes",
        "initContainers",
    ] {
        assert_eq!(pod.get(field), None, "{field}");
    }
    for container in list(&pod["containers"]) {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        for kind in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(
                    container["resources"][kind][resource].is_string(),
                    "{kind} {resource}"
                );
            }
        }
    }
}

#[test]
fn all_selectors_match_the_pods() {
    let objects = [base(), component("monitoring")].concat();
    let deployment = deployment();
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let mut selectors = vec![
        deployment["spec"]["selector"]["matchLabels"].clone(),
        one(&objects, "Service", "drydock")["spec"]["selector"].clone(),
        one(&objects, "Service", "drydock-metrics")["spec"]["selector"].clone(),
        one(&objects, "PodDisruptionBudget", "drydock")["spec"]["selector"]["matchLabels"].clone(),
        one(&objects, "NetworkPolicy", "drydock")["spec"]["podSelector"]["matchLabels"].clone(),
        one(&objects, "NetworkPolicy", "drydock-metrics")["spec"]["podSelector"]["matchLabels"]
            .clone(),
    ];
    let spread = list(&template["spec"]["topologySpreadConstraints"]);
    assert_eq!(spread.len(), 2);
    selectors.extend(
        spread
            .iter()
            .map(|spread| spread["labelSelector"]["matchLabels"].clone()),
    );
    for selector in &selectors {
        assert!(selects(selector, labels), "{selector}");
        // The selector must not contain the version: a Deployment's selector is immutable, and
        // during a rollout there are pods of two versions.
        assert_eq!(
            *selector,
            json!({"app.kubernetes.io/instance": "drydock", "app.kubernetes.io/name": "drydock"})
        );
    }
}

#[test]
fn container_ports_match_the_listen_flags() {
    let objects = [base(), component("monitoring")].concat();
    let deployment = deployment();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let number = |name: &str| {
        let port = list(&container["ports"])
            .iter()
            .find(|port| port["name"] == name);
        port.unwrap_or_else(|| panic!("no port {name}"))["containerPort"].clone()
    };
    let arguments = texts(&container["args"]);
    for (flag, name) in [("--listen", "webhook"), ("--ops-listen", "ops")] {
        let argument = format!("{flag}=[::]:{}", number(name));
        assert!(arguments.contains(&argument.as_str()), "{argument}");
    }
    for (service, name) in [("drydock", "webhook"), ("drydock-metrics", "ops")] {
        let ports = &one(&objects, "Service", service)["spec"]["ports"];
        assert_eq!(list(ports).len(), 1);
        assert_eq!(ports[0]["targetPort"], name);
    }
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        let probe = &container[probe]["httpGet"];
        assert_eq!(*probe, json!({"path": path, "port": "ops"}));
    }
}

/// The webhook port is open to all addresses, because no selector matches API servers. The ops port
/// is not open to all pods of the cluster.
#[test]
fn each_port_has_its_own_network_policy_rule() {
    let objects = [base(), component("monitoring")].concat();
    let rule = |port: u16, from: Option<Value>| {
        let mut rule = json!({"ports": [{"port": port, "protocol": "TCP"}]});
        if let Some(from) = from {
            rule["from"] = from;
        }
        rule
    };
    assert_eq!(
        one(&objects, "NetworkPolicy", "drydock")["spec"]["ingress"],
        json!([
            rule(8443, None),
            rule(8080, Some(json!([{"podSelector": {}}])))
        ])
    );
    let prometheus = json!([{"namespaceSelector": {"matchExpressions": [{
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": ["monitoring", "openshift-user-workload-monitoring"],
    }]}}]);
    let spec = &one(&objects, "NetworkPolicy", "drydock-metrics")["spec"];
    assert_eq!(spec["ingress"], json!([rule(8080, Some(prometheus))]));
    // With Egress, this policy would restrict the egress of the pods, too.
    assert_eq!(spec["policyTypes"], json!(["Ingress"]));
}

/// drydock has its own priority class, because some clusters limit system-cluster-critical to
/// kube-system by a quota.
#[test]
fn the_installation_has_its_own_priority_class() {
    let objects = base();
    let pod = &deployment()["spec"]["template"]["spec"];
    let name = pod["priorityClassName"].as_str().unwrap();
    assert!(!name.starts_with("system-"), "{name}");
    let class = one(&objects, "PriorityClass", name);
    assert!(class["value"].as_i64().unwrap() <= 1_000_000_000);
    assert_eq!(class.get("globalDefault"), None);
}

/// The SCC restricted-v2 assigns each namespace a range of user IDs and rejects pods with others.
#[test]
fn the_openshift_component_sets_no_user_ids() {
    let openshift = component("openshift");
    let patch = parse(openshift[0]["patches"][0]["patch"].as_str().unwrap());
    let template = &patch[0]["spec"]["template"];
    assert_eq!(
        template["spec"]["securityContext"],
        json!({"runAsUser": null, "runAsGroup": null, "fsGroup": null})
    );
    for container in list(&deployment()["spec"]["template"]["spec"]["containers"]) {
        for field in ["runAsUser", "runAsGroup"] {
            assert_eq!(container["securityContext"].get(field), None);
        }
    }
}

/// `drydock serve` accepts the arguments and environment variables of the base. For variables of
/// components, the test only checks that a flag has them.
#[test]
fn serve_accepts_the_arguments_and_environment_of_the_pods() {
    let host_network = component("host-network");
    let patch = list(&host_network[0]["patches"])
        .iter()
        .find(|patch| patch["target"]["kind"] == "Deployment")
        .unwrap();
    let operations: Vec<Value> = serde_saphyr::from_str(patch["patch"].as_str().unwrap()).unwrap();
    let deployment = deployment();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    for arguments in [&container["args"], &operations[0]["value"]] {
        let words = ["drydock"].into_iter().chain(texts(arguments));
        Cli::try_parse_from(words).unwrap();
    }

    let added = ["cert-manager", "client-ca", "namespace-per-job"].map(|name| {
        let component = component(name);
        let patches = list(&component[0]["patches"]).iter();
        let mut merged = patches.filter_map(|patch| {
            let merged = parse(patch["patch"].as_str().unwrap()).remove(0);
            (merged["kind"] == "Deployment").then_some(merged)
        });
        let deployment = merged.next().unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["env"].clone()
    });
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let known: Vec<&str> = serve
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let added = added.iter().flat_map(list);
    let set: Vec<&Value> = list(&container["env"]).iter().chain(added).collect();
    assert_eq!(set.len(), 10);
    for variable in set {
        assert!(
            known.contains(&variable["name"].as_str().unwrap()),
            "{variable}"
        );
    }
}

/// The kubelet kills the process after the grace period, so draining must end before that (rule
/// F5).
#[test]
fn the_grace_period_outlasts_the_drain() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let drain = serve
        .get_arguments()
        .find(|argument| argument.get_id() == "drain_seconds")
        .unwrap();
    let help = drain.get_help().unwrap().to_string();
    let (_, default) = help.split_once("default: ").unwrap();
    let (seconds, _) = default.split_once(" with --cluster").unwrap();
    let drain: u64 = seconds.parse().unwrap();
    let pod = &deployment()["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(
        grace >= drain + 2 + 5,
        "a grace period of {grace} s for a drain of {drain} s"
    );
}

/// Neither a rollout nor a node drain stops the last replica (rule F5).
#[test]
fn at_least_one_replica_is_always_available() {
    let objects = base();
    let spec = &deployment()["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let budget = &one(&objects, "PodDisruptionBudget", "drydock")["spec"];
    assert_eq!(budget["minAvailable"], 1);
    assert_eq!(budget["unhealthyPodEvictionPolicy"], "AlwaysAllow");
}

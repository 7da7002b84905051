//! Minimal cases that failed a law.

use super::case::Case;
use super::certificate_directories;
use super::desired::desired;
use super::mount_changes::View;
use serde_json::Value;

/// The changes of an Audit policy are planned on the pod that Enforce policies have changed, which
/// already uses the claim (rules V3, M5).
#[test]
fn an_audit_policy_is_planned_on_the_enforced_result() {
    let policy = |name: &str, mode: &str| {
        format!(
            "
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {{name: {name}}}
spec:
  mode: {mode}
  dind:
    volumes:
    - {{name: dind-storage, mountPath: /var/lib/docker, persistentVolumeClaim: {{claimName: docker-data}}}}
"
        )
    };
    let pod = "
metadata: {labels: {job.runner.gitlab.com/pod: runner-1}}
spec:
  containers:
  - {name: build, image: 'docker:28.5-cli'}
  - {name: svc-0, image: 'docker:28.5-dind'}
  - {name: svc-1, image: 'docker:28.5-dind'}
";
    let mut case = Case::from_yaml(&policy("a", "Enforce"), pod);
    let audit = Case::from_yaml(&policy("b", "Audit"), pod);
    case.policies.extend(audit.policies);
    let changes = case.judge(&case.pod, |verdict| verdict.audited.changes.len());
    let again = case.judge(&case.run().output, |verdict| verdict.audited.changes.len());
    assert_eq!((changes, again), (0, 0));
}

/// If volumes are displaced from two certificate directories, both are relocated (rule D8).
#[test]
fn a_volume_displaced_from_a_second_directory_is_relocated() {
    let case = Case::from_yaml(
        "
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {name: gitlab}
spec: {dind: {volumes: [], clientCerts: {onConflict: Relocate}}}
",
        "
metadata: {labels: {job.runner.gitlab.com/pod: runner-1}}
spec:
  volumes:
  - {name: one, secret: {secretName: one}}
  - {name: two, secret: {secretName: two}}
  containers:
  - name: build
    image: docker:28.5-cli
    volumeMounts: [{name: one, mountPath: /certs/client}, {name: two, mountPath: /tls/client}]
  - {name: svc-0, image: 'docker:28.5-dind'}
  - name: svc-1
    image: docker:28.5-dind
    env: [{name: DOCKER_TLS_CERTDIR, value: /tls}]
",
    );
    let (run, desired) = (
        case.run(),
        desired(&case).and_then(|desired| desired.dind).unwrap(),
    );
    let directories = certificate_directories::directories(&case.pod, &desired);
    let view = View::new(&case.pod, &run, Some(&desired), &directories).unwrap();
    view.displaced_volumes_are_relocated().unwrap();
    let mounts: &Value = &run.output["spec"]["containers"][0]["volumeMounts"];
    assert!(
        mounts.to_string().contains("/certs/displaced-two"),
        "{mounts}"
    );
}

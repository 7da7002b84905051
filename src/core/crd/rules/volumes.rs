//! `dind.volumes`: what the core API asks of a volume, so that no policy makes a pod that the API server then refuses, and what M6 does.

use super::labels;
use super::schema::{Said, at, bound_items, one_of, quantity, refuse, require, text};
use crate::core::crd::form;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

const SOURCES: [&str; 8] = [
    "emptyDir",
    "hostPath",
    "persistentVolumeClaim",
    "ephemeral",
    "configMap",
    "secret",
    "csi",
    "nfs",
];

pub(super) fn volumes(volumes: &mut JSONSchemaProps) {
    bound_items(volumes, 32);
    volumes.x_kubernetes_list_type = Some("map".to_owned());
    volumes.x_kubernetes_list_map_keys = Some(vec!["name".to_owned()]);
    let alone = "self.exists_one(other, other.mountPath == one.mountPath)";
    refuse(
        volumes,
        &format!("self.all(one, {alone})"),
        "",
        Said::By(&format!(
            r#"self.map(one, !{alone}, "has two volumes at \"" + one.mountPath + "\"; a path holds one volume")[0]"#
        )),
    );
    let volume = at(volumes, "[]");
    one_source(volume);
    text(at(volume, "name"), &form::LABEL);
    text(at(volume, "mountPath"), &form::MOUNT_PATH);
    empty_dir(at(volume, "emptyDir"));
    host_path(at(volume, "hostPath"));
    text(
        at(volume, "persistentVolumeClaim.claimName"),
        &form::SUBDOMAIN,
    );
    claim_template(at(volume, "ephemeral"));
    text(at(volume, "configMap.name"), &form::SUBDOMAIN);
    files(at(volume, "configMap"));
    require(at(volume, "secret"), &["secretName"]);
    text(at(volume, "secret.secretName"), &form::SUBDOMAIN);
    files(at(volume, "secret"));
    text(at(volume, "csi.driver"), &form::CSI_DRIVER);
    text(
        at(volume, "csi.nodePublishSecretRef.name"),
        &form::SUBDOMAIN,
    );
    text(at(volume, "nfs.server"), &form::SERVER);
    text(at(volume, "nfs.path"), &form::EXPORTED_PATH);
}

/// The words for several sources are put together from constants: the length of a joined list is not known to the API server,
/// which would take the expression for too dear.
fn one_source(volume: &mut JSONSchemaProps) {
    let given: Vec<String> = SOURCES
        .iter()
        .map(|source| format!("has(self.{source})"))
        .collect();
    let none = format!("!({})", given.join(" || "));
    let named: Vec<String> = SOURCES
        .iter()
        .map(|source| format!(r#"(has(self.{source}) ? " {source}," : "")"#))
        .collect();
    let (none_words, several_words) = (
        r#""no source; give it exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs""#,
        format!(
            r#""more than one source:" + {} + " of which only one may stay""#,
            named.join(" + ")
        ),
    );
    refuse(
        volume,
        &format!("[{}].exists_one(given, given)", given.join(", ")),
        "",
        Said::By(&format!(
            r#""(\"" + self.name + "\") has " + ({none} ? {none_words} : {several_words})"#
        )),
    );
}

fn empty_dir(source: &mut JSONSchemaProps) {
    text(at(source, "medium"), &form::MEDIUM);
    quantity(at(source, "sizeLimit"), &form::QUANTITY, 0.0);
}

fn host_path(source: &mut JSONSchemaProps) {
    text(at(source, "path"), &form::HOST_PATH);
    one_of(
        at(source, "type"),
        &[
            "",
            "DirectoryOrCreate",
            "Directory",
            "FileOrCreate",
            "File",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ],
    );
}

/// Which keys of a ConfigMap or Secret become which files.
fn files(source: &mut JSONSchemaProps) {
    permissions(at(source, "defaultMode"));
    bound_items(at(source, "items"), 32);
    text(at(source, "items[].key"), &form::CONFIG_KEY);
    text(at(source, "items[].path"), &form::ITEM_PATH);
    permissions(at(source, "items[].mode"));
}

fn permissions(mode: &mut JSONSchemaProps) {
    mode.minimum = Some(0.0);
    mode.maximum = Some(f64::from(0o777));
}

fn claim_template(source: &mut JSONSchemaProps) {
    require(source, &["volumeClaimTemplate"]);
    let template = at(source, "volumeClaimTemplate");
    metadata(at(template, "metadata"));
    let claim = at(template, "spec");
    require(claim, &["accessModes", "resources"]);
    let modes = at(claim, "accessModes");
    modes.min_items = Some(1);
    bound_items(modes, 4);
    one_of(
        at(modes, "[]"),
        &[
            "ReadWriteOnce",
            "ReadOnlyMany",
            "ReadWriteMany",
            "ReadWriteOncePod",
        ],
    );
    require(at(claim, "resources"), &["requests"]);
    let requests = at(claim, "resources.requests");
    requests.max_properties = Some(8);
    refuse(
        requests,
        r#""storage" in self"#,
        "",
        Said::Always("lacks storage; say how large the volume is, as in storage: 10Gi"),
    );
    quantity(at(requests, "{}"), &form::QUANTITY, 0.0);
    let limits = at(claim, "resources.limits");
    limits.max_properties = Some(8);
    quantity(at(limits, "{}"), &form::QUANTITY, 0.0);
    text(at(claim, "storageClassName"), &form::SUBDOMAIN);
}

/// The core API refuses everything else of the metadata of a claim's template.
fn metadata(metadata: &mut JSONSchemaProps) {
    if let Some(properties) = &mut metadata.properties {
        properties.retain(|name, _| matches!(name.as_str(), "labels" | "annotations"));
    }
    metadata.description =
        Some("Labels and annotations of the claim. Example: {labels: {app: ci}}.".to_owned());
    labels(at(metadata, "labels"));
}

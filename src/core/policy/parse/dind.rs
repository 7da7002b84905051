//! Parses `spec.dind` into a [`Dind`].

use super::Errors;
use crate::core::crd::VOLUME_SOURCES;
use crate::core::policy::{
    ClientCerts, Dind, DindVolume, Glob, OnConflict, RegistryCa, VolumeSource, toleration_fields,
};
use crate::core::{crd, mount_path};
use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Value, json, to_value};

/// The default of `relocateTo`.
const RELOCATE_TO: &str = "/certs/displaced";

pub(super) fn dind(spec: &crd::Dind, errors: &mut Errors) -> Dind {
    let scheduling = spec.scheduling.clone().unwrap_or_default();
    check_tolerations(&scheduling.tolerations, errors);
    Dind {
        images: spec.images.iter().map(|image| Glob::new(image)).collect(),
        client_certs: client_certs(&spec.client_certs, errors),
        volumes: volumes(&spec.volumes, errors),
        registry_cas: registry_cas(&spec.registry_cas, errors),
        node_selector: scheduling.node_selector.into_iter().collect(),
        tolerations: scheduling.tolerations,
    }
}

fn client_certs(spec: &crd::ClientCerts, errors: &mut Errors) -> ClientCerts {
    if spec.relocate_to.is_some() && spec.on_conflict != OnConflict::Relocate {
        errors.add(
            "spec.dind.clientCerts.relocateTo",
            "can be set only if onConflict is Relocate",
        );
    }
    let size_limit = spec.size_limit.0.clone();
    let relocate_to = spec.relocate_to.as_deref().unwrap_or(RELOCATE_TO);
    ClientCerts {
        on_conflict: spec.on_conflict,
        relocate_to: relocate_to.to_owned(),
        volume: VolumeSource {
            field: "emptyDir",
            json: json!({"medium": "Memory", "sizeLimit": size_limit}),
            identity: None,
        },
        size_limit,
    }
}

fn registry_cas(specs: &[crd::RegistryCa], errors: &mut Errors) -> Vec<RegistryCa> {
    let mut parsed: Vec<RegistryCa> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let host = &spec.host;
        if let Some(other) = parsed.iter().position(|earlier| earlier.host == *host) {
            errors.add(format!("spec.dind.registryCAs[{index}].host"), format!("duplicates the host \"{host}\" of spec.dind.registryCAs[{other}]; hosts must be unique"));
        }
        parsed.push(RegistryCa {
            host: host.clone(),
            config_map: spec.config_map.name.clone(),
            key: spec.config_map.key.clone(),
            source: VolumeSource {
                field: "configMap",
                json: json!({
                    "name": spec.config_map.name,
                    "items": [{"key": spec.config_map.key, "path": "ca.crt"}],
                    "optional": true,
                }),
                identity: None,
            },
        });
    }
    parsed
}

fn check_tolerations(specs: &[Toleration], errors: &mut Errors) {
    for (index, spec) in specs.iter().enumerate() {
        let mut error = |field: &str, problem: String| {
            let path = format!("spec.dind.scheduling.tolerations[{index}].{field}");
            errors.add(path, problem);
        };
        let ([_, operator, value, effect], seconds) = toleration_fields(spec);
        let exists = operator == "Exists";
        if exists && !value.is_empty() {
            let problem = format!("is \"{value}\", but must be empty if operator is Exists");
            error("value", problem);
        }
        if !exists && spec.key.is_none() {
            let problem = "is missing; set a key, or operator: Exists to match every taint";
            error("key", problem.to_owned());
        }
        if seconds.is_some() && effect != "NoExecute" {
            let problem = "can be set only if effect is NoExecute";
            error("tolerationSeconds", problem.to_owned());
        }
    }
}

fn volumes(specs: &[crd::DindVolume], errors: &mut Errors) -> Vec<DindVolume> {
    let mut parsed: Vec<DindVolume> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let path = format!("spec.dind.volumes[{index}]");
        for (other, earlier) in parsed.iter().enumerate() {
            if earlier.name == spec.name {
                errors.add(
                    format!("{path}.name"),
                    format!(
                        "duplicates the name \"{}\" of spec.dind.volumes[{other}]; names must be unique",
                        spec.name
                    ),
                );
            }
            if earlier.path == spec.mount_path {
                errors.add(format!("{path}.mountPath"), format!("duplicates the mountPath \"{}\" of spec.dind.volumes[{other}]; mount paths must be unique", spec.mount_path));
            }
        }
        check_claim_template(spec, &path, errors);
        parsed.push(DindVolume {
            name: spec.name.clone(),
            path: spec.mount_path.clone(),
            read_only: spec.read_only,
            containers: spec.containers,
            source: volume_source(spec, &path, errors),
        });
    }
    parsed
}

/// Checks that a claim template requests storage. The schema cannot require the key of a map.
fn check_claim_template(spec: &crd::DindVolume, path: &str, errors: &mut Errors) {
    let ephemeral = spec.ephemeral.as_ref();
    let template = ephemeral.and_then(|it| it.volume_claim_template.as_ref());
    let resources = template.and_then(|template| template.spec.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    if requests.is_some_and(|requests| !requests.contains_key("storage")) {
        errors.add(
            format!("{path}.ephemeral.volumeClaimTemplate.spec.resources.requests"),
            "must contain storage, the size of the volume, as in storage: 10Gi",
        );
    }
}

fn volume_source(spec: &crd::DindVolume, path: &str, errors: &mut Errors) -> VolumeSource {
    let mut json = to_value(spec).expect("the volume should serialize to JSON");
    let given = VOLUME_SOURCES
        .into_iter()
        .filter(|field| json.get(field).is_some());
    let given: Vec<&'static str> = given.collect();
    let field = match given.as_slice() {
        [field] => *field,
        [] => {
            errors.add(path, format!("(\"{}\") has no source; set exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs", spec.name));
            "emptyDir"
        }
        several => {
            let several = several.join(", ");
            errors.add(
                path,
                format!(
                    "(\"{}\") has the sources {several}, but must have exactly one",
                    spec.name
                ),
            );
            "emptyDir"
        }
    };
    let claim = spec.persistent_volume_claim.as_ref();
    let (host_path, nfs) = (spec.host_path.as_ref(), spec.nfs.as_ref());
    VolumeSource {
        field,
        json: json.get_mut(field).map(Value::take).unwrap_or_default(),
        identity: match field {
            "persistentVolumeClaim" => claim.map(|claim| claim.claim_name.clone()),
            "hostPath" => host_path.map(|source| mount_path::clean(&source.path).into_owned()),
            "nfs" => nfs.map(|nfs| format!("{}:{}", nfs.server, nfs.path)),
            _ => None,
        },
    }
}

//! From `spec.dind` to [`Dind`].

use super::Errors;
use crate::core::crd::VOLUME_SOURCES;
use crate::core::policy::{
    ClientCerts, Dind, DindVolume, Glob, OnConflict, PolicyToleration, RegistryCa, TolerationTerms,
    VolumeSource,
};
use crate::core::{crd, mount_path};
use k8s_openapi::api::core::v1::Toleration;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value, to_value};

/// The default of `relocateTo`.
const RELOCATE_TO: &str = "/certs/displaced";

pub(super) fn dind(spec: &crd::Dind, errors: &mut Errors) -> Dind {
    let scheduling = spec.scheduling.clone().unwrap_or_default();
    Dind {
        images: spec.images.iter().map(|image| Glob::new(image)).collect(),
        client_certs: client_certs(&spec.client_certs, errors),
        volumes: volumes(&spec.volumes, errors),
        registry_cas: registry_cas(&spec.registry_cas, errors),
        node_selector: scheduling.node_selector,
        tolerations: tolerations(&scheduling.tolerations, errors),
    }
}

fn client_certs(spec: &crd::ClientCerts, errors: &mut Errors) -> ClientCerts {
    let on_conflict = match spec.on_conflict {
        crd::OnConflict::Relocate => {
            let target = spec.relocate_to.as_deref().unwrap_or(RELOCATE_TO);
            OnConflict::Relocate(target.to_owned())
        }
        crd::OnConflict::Replace => OnConflict::Replace,
        crd::OnConflict::Report => OnConflict::Report,
        crd::OnConflict::Deny => OnConflict::Deny,
    };
    if spec.relocate_to.is_some() && spec.on_conflict != crd::OnConflict::Relocate {
        errors.add(
            "spec.dind.clientCerts.relocateTo",
            "is set, but only onConflict: Relocate uses it",
        );
    }
    ClientCerts {
        on_conflict,
        size_limit: spec.size_limit.0.clone(),
    }
}

fn registry_cas(specs: &[crd::RegistryCa], errors: &mut Errors) -> Vec<RegistryCa> {
    let mut parsed: Vec<RegistryCa> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let host = &spec.host;
        if let Some(other) = parsed.iter().position(|earlier| earlier.host == *host) {
            errors.add(format!("spec.dind.registryCAs[{index}].host"), format!("is \"{host}\", the host of spec.dind.registryCAs[{other}] too; a host has one certificate authority"));
        }
        parsed.push(RegistryCa {
            host: host.clone(),
            config_map: spec.config_map.name.clone(),
            key: spec.config_map.key.clone(),
        });
    }
    parsed
}

fn tolerations(specs: &[Toleration], errors: &mut Errors) -> Vec<PolicyToleration> {
    let mut parsed = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let mut error = |field: &str, problem: String| {
            let path = format!("spec.dind.scheduling.tolerations[{index}].{field}");
            errors.add(path, problem);
        };
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let terms = TolerationTerms {
            key: text(&spec.key),
            operator: spec.operator.clone().unwrap_or_else(|| "Equal".to_owned()),
            value: text(&spec.value),
            effect: text(&spec.effect),
            seconds: spec.toleration_seconds,
        };
        let (exists, value) = (terms.operator == "Exists", &terms.value);
        if exists && !value.is_empty() {
            let problem = format!("is \"{value}\", but must be left out with operator Exists");
            error("value", problem);
        }
        if !exists && spec.key.is_none() {
            let problem = "is missing, which matches every taint and needs operator: Exists";
            error("key", problem.to_owned());
        }
        if terms.seconds.is_some() && terms.effect != "NoExecute" {
            let problem = "is set, but only effect NoExecute uses it";
            error("tolerationSeconds", problem.to_owned());
        }
        let json = raw(spec);
        parsed.push(PolicyToleration { terms, json });
    }
    parsed
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
                        "is \"{}\", the name of spec.dind.volumes[{other}] too; names must differ",
                        spec.name
                    ),
                );
            }
            if earlier.path == spec.mount_path {
                errors.add(format!("{path}.mountPath"), format!("is \"{}\", the path of spec.dind.volumes[{other}] too; a path holds one volume", spec.mount_path));
            }
        }
        claim_template(spec, &path, errors);
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

/// The schema cannot require a key of a map.
fn claim_template(spec: &crd::DindVolume, path: &str, errors: &mut Errors) {
    let template = spec
        .ephemeral
        .as_ref()
        .and_then(|it| it.volume_claim_template.as_ref());
    let resources = template.and_then(|template| template.spec.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    if requests.is_some_and(|requests| !requests.contains_key("storage")) {
        errors.add(
            format!("{path}.ephemeral.volumeClaimTemplate.spec.resources.requests"),
            "lacks storage; set the size of the volume, as in storage: 10Gi",
        );
    }
}

fn volume_source(spec: &crd::DindVolume, path: &str, errors: &mut Errors) -> VolumeSource {
    let spec_json = to_value(spec).expect(SERIALISES);
    let given = VOLUME_SOURCES
        .into_iter()
        .filter(|field| spec_json.get(field).is_some());
    let given: Vec<&'static str> = given.collect();
    let field = match given.as_slice() {
        [field] => *field,
        [] => {
            errors.add(path, format!("(\"{}\") has no source; give it exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs", spec.name));
            "emptyDir"
        }
        several => {
            errors.add(
                path,
                format!(
                    "(\"{}\") has more than one source: {}, of which only one may stay",
                    spec.name,
                    several.join(", ")
                ),
            );
            "emptyDir"
        }
    };
    let claim = spec.persistent_volume_claim.as_ref();
    let host_path = spec.host_path.as_ref();
    VolumeSource {
        field,
        json: raw(&spec_json.get(field)),
        identity: match field {
            "persistentVolumeClaim" => claim.map(|claim| claim.claim_name.clone()),
            "hostPath" => host_path.map(|source| mount_path::clean(&source.path).into_owned()),
            "nfs" => spec
                .nfs
                .as_ref()
                .map(|nfs| format!("{}:{}", nfs.server, nfs.path)),
            _ => None,
        },
    }
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect(SERIALISES)
}

const SERIALISES: &str = "Kubernetes API types have string keys, so they serialise";

//! `spec.dind` → [`Dind`].

use super::Errors;
use crate::policy::{
    CLIENT_CERT_DIRECTORY, ClientCerts, Dind, DindVolume, Glob, OnConflict, PolicyToleration,
    RegistryCa, TolerationTerms, VolumeSource, names, quantity,
};
use crate::{crd, mount_path};
use k8s_openapi::api::core::v1::Toleration;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// Where Relocate puts what it displaces, unless the policy says otherwise.
const RELOCATE_TO: &str = "/certs/displaced";

pub(super) fn dind(spec: &crd::Dind, errors: &mut Errors) -> Dind {
    for (index, image) in spec.images.iter().enumerate() {
        let problem = if image.is_empty() {
            "is empty; write an image reference in which * stands for any characters"
        } else if image.contains('@') {
            "has a digest; globs are compared with the reference without it"
        } else {
            continue;
        };
        errors.add(format!("spec.dind.images[{index}]"), problem);
    }
    let scheduling = spec.scheduling.clone().unwrap_or_default();
    for (key, value) in &scheduling.node_selector {
        let path = format!("spec.dind.scheduling.nodeSelector[{key}]");
        errors.check(&path, key, names::label_key(key));
        errors.check(&path, value, names::label_value(value));
    }
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
    match quantity::bytes(&spec.size_limit) {
        Some(bytes) if bytes > 0.0 => {}
        Some(_) => errors.add("spec.dind.clientCerts.sizeLimit", format!("is \"{}\"; without a limit the certificates' volume could fill the node's memory, write one as in 1Mi", spec.size_limit)),
        None => errors.add("spec.dind.clientCerts.sizeLimit", format!("is \"{}\", not a quantity of bytes, as in 1Mi", spec.size_limit)),
    }
    let path = "spec.dind.clientCerts.relocateTo";
    let relocate_to = spec.relocate_to.as_deref().unwrap_or(RELOCATE_TO);
    let target = absolute_path(relocate_to, path, errors);
    if mount_path::overlap(&target, CLIENT_CERT_DIRECTORY) {
        errors.add(path, format!("is \"{relocate_to}\", at, above or below {CLIENT_CERT_DIRECTORY}, where dind writes its certificates; take another directory, as in {RELOCATE_TO}"));
    }
    let on_conflict = match spec.on_conflict {
        crd::OnConflict::Relocate => OnConflict::Relocate(target),
        _ if spec.relocate_to.is_some() => {
            errors.add(path, "is set, but only onConflict: Relocate uses it");
            OnConflict::Replace
        }
        crd::OnConflict::Replace => OnConflict::Replace,
        crd::OnConflict::Report => OnConflict::Report,
        crd::OnConflict::Deny => OnConflict::Deny,
    };
    ClientCerts {
        on_conflict,
        size_limit: spec.size_limit.clone(),
    }
}

/// Returns the clean form of a mount path of a policy.
fn absolute_path(path: &str, field: &str, errors: &mut Errors) -> String {
    if !path.starts_with('/') {
        errors.add(
            field,
            format!("is \"{path}\", not an absolute path; begin it with /"),
        );
    }
    if path.contains(':') {
        errors.add(
            field,
            format!("is \"{path}\"; a mount path must not contain ':'"),
        );
    }
    mount_path::clean(path).into_owned()
}

fn volumes(specs: &[crd::DindVolume], errors: &mut Errors) -> Vec<DindVolume> {
    let mut parsed: Vec<DindVolume> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let path = format!("spec.dind.volumes[{index}]");
        errors.check(
            &format!("{path}.name"),
            &spec.name,
            names::label(&spec.name),
        );
        let mount = absolute_path(&spec.mount_path, &format!("{path}.mountPath"), errors);
        if mount_path::overlap(&mount, CLIENT_CERT_DIRECTORY) {
            errors.add(format!("{path}.mountPath"), format!("is \"{}\", at, above or below {CLIENT_CERT_DIRECTORY}, which clientCerts looks after; take another path", spec.mount_path));
        }
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
            if earlier.path == mount {
                errors.add(format!("{path}.mountPath"), format!("is \"{}\", the path of spec.dind.volumes[{other}] too; a path holds one volume", spec.mount_path));
            }
        }
        // A volume that is wrong stays in the list, for the positions in later messages.
        let source =
            volume_source(spec, &path, errors).unwrap_or_else(|| rendered("emptyDir", &(), None));
        parsed.push(DindVolume {
            name: spec.name.clone(),
            path: mount,
            read_only: spec.read_only,
            containers: spec.containers,
            source,
        });
    }
    parsed
}

fn volume_source(spec: &crd::DindVolume, path: &str, errors: &mut Errors) -> Option<VolumeSource> {
    let mut sources = Vec::new();
    let mut take = |source: Option<VolumeSource>| sources.extend(source);
    take(
        spec.empty_dir
            .as_ref()
            .map(|source| rendered("emptyDir", source, None)),
    );
    take(spec.host_path.as_ref().map(|source| {
        rendered(
            "hostPath",
            source,
            Some(mount_path::clean(&source.path).into_owned()),
        )
    }));
    take(spec.persistent_volume_claim.as_ref().map(|source| {
        rendered(
            "persistentVolumeClaim",
            source,
            Some(source.claim_name.clone()),
        )
    }));
    take(
        spec.ephemeral
            .as_ref()
            .map(|source| rendered("ephemeral", source, None)),
    );
    take(
        spec.config_map
            .as_ref()
            .map(|source| rendered("configMap", source, None)),
    );
    take(
        spec.secret
            .as_ref()
            .map(|source| rendered("secret", source, None)),
    );
    take(
        spec.csi
            .as_ref()
            .map(|source| rendered("csi", source, None)),
    );
    take(spec.nfs.as_ref().map(|source| {
        rendered(
            "nfs",
            source,
            Some(format!("{}:{}", source.server, source.path)),
        )
    }));
    if let [_] = sources.as_slice() {
        return sources.pop();
    }
    let fields: Vec<&str> = sources.iter().map(|source| source.field).collect();
    let problem = if fields.is_empty() {
        format!(
            "(\"{}\") has no source; give it exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs",
            spec.name
        )
    } else {
        format!(
            "(\"{}\") has {} sources ({}); keep one of them",
            spec.name,
            fields.len(),
            fields.join(", ")
        )
    };
    errors.add(path, problem);
    None
}

fn rendered(
    field: &'static str,
    source: &impl Serialize,
    identity: Option<String>,
) -> VolumeSource {
    VolumeSource {
        field,
        json: raw(source),
        identity,
    }
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("Kubernetes API types have string keys, so they serialise")
}

fn registry_cas(specs: &[crd::RegistryCa], errors: &mut Errors) -> Vec<RegistryCa> {
    for (index, spec) in specs.iter().enumerate() {
        let path = format!("spec.dind.registryCAs[{index}]");
        errors.check(
            &format!("{path}.host"),
            &spec.host,
            names::registry_host(&spec.host),
        );
        errors.check(
            &format!("{path}.configMap.name"),
            &spec.config_map.name,
            names::subdomain(&spec.config_map.name),
        );
        errors.check(
            &format!("{path}.configMap.key"),
            &spec.config_map.key,
            names::config_key(&spec.config_map.key),
        );
        if let Some(other) = specs
            .iter()
            .take(index)
            .position(|earlier| earlier.host == spec.host)
        {
            errors.add(format!("{path}.host"), format!("is \"{}\", the host of spec.dind.registryCAs[{other}] too; a host has one certificate authority", spec.host));
        }
    }
    specs
        .iter()
        .map(|spec| RegistryCa {
            host: spec.host.clone(),
            config_map: spec.config_map.name.clone(),
            key: spec.config_map.key.clone(),
        })
        .collect()
}

fn tolerations(specs: &[Toleration], errors: &mut Errors) -> Vec<PolicyToleration> {
    let mut parsed = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let path = format!("spec.dind.scheduling.tolerations[{index}]");
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let terms = TolerationTerms {
            key: text(&spec.key),
            operator: spec
                .operator
                .clone()
                .filter(|operator| !operator.is_empty())
                .unwrap_or_else(|| "Equal".to_owned()),
            value: text(&spec.value),
            effect: text(&spec.effect),
            seconds: spec.toleration_seconds,
        };
        if !terms.key.is_empty() {
            errors.check(
                &format!("{path}.key"),
                &terms.key,
                names::label_key(&terms.key),
            );
        }
        match terms.operator.as_str() {
            "Exists" if !terms.value.is_empty() => errors.add(
                format!("{path}.value"),
                format!(
                    "is \"{}\", but must be left out with operator Exists",
                    terms.value
                ),
            ),
            "Equal" if terms.key.is_empty() => errors.add(
                format!("{path}.key"),
                "is empty, which matches every taint and needs operator: Exists",
            ),
            "Equal" => errors.check(
                &format!("{path}.value"),
                &terms.value,
                names::label_value(&terms.value),
            ),
            "Exists" => {}
            other => errors.add(
                format!("{path}.operator"),
                format!("is \"{other}\"; use Equal or Exists"),
            ),
        }
        if !matches!(
            terms.effect.as_str(),
            "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute"
        ) {
            errors.add(format!("{path}.effect"), format!("is \"{}\"; use NoSchedule, PreferNoSchedule or NoExecute, or leave it out for all", terms.effect));
        } else if terms.seconds.is_some() && terms.effect != "NoExecute" {
            errors.add(
                format!("{path}.tolerationSeconds"),
                "is set, but only effect NoExecute uses it",
            );
        }
        parsed.push(PolicyToleration {
            terms,
            json: raw(spec),
        });
    }
    parsed
}

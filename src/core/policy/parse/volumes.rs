//! `spec.dind.volumes` → [`DindVolume`]s.

use super::Errors;
use crate::core::policy::{DindVolume, VolumeSource};
use crate::core::{crd, mount_path};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

pub(super) fn volumes(specs: &[crd::DindVolume], errors: &mut Errors) -> Vec<DindVolume> {
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
        // A volume that is wrong stays in the list, for the positions in later messages.
        let source =
            volume_source(spec, &path, errors).unwrap_or_else(|| rendered("emptyDir", &(), None));
        parsed.push(DindVolume {
            name: spec.name.clone(),
            path: spec.mount_path.clone(),
            read_only: spec.read_only,
            containers: spec.containers,
            source,
        });
    }
    parsed
}

/// What the schema cannot ask of a map: that it has a key.
fn claim_template(spec: &crd::DindVolume, path: &str, errors: &mut Errors) {
    let template = spec.ephemeral.as_ref();
    let claim = template
        .and_then(|source| source.volume_claim_template.as_ref())
        .map(|template| &template.spec);
    let requests = claim
        .and_then(|claim| claim.resources.as_ref())
        .and_then(|resources| resources.requests.as_ref());
    if requests.is_some_and(|requests| !requests.contains_key("storage")) {
        errors.add(
            format!("{path}.ephemeral.volumeClaimTemplate.spec.resources.requests"),
            "lacks storage; say how large the volume is, as in storage: 10Gi",
        );
    }
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
            "(\"{}\") has more than one source: {}, of which only one may stay",
            spec.name,
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

pub(super) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("Kubernetes API types have string keys, so they serialise")
}

//! `spec.dind` → [`Dind`].

use super::Errors;
use super::volumes::{raw, volumes};
use crate::core::crd;
use crate::core::policy::{
    ClientCerts, Dind, Glob, OnConflict, PolicyToleration, RegistryCa, TolerationTerms,
};
use k8s_openapi::api::core::v1::Toleration;

/// Where Relocate puts what it displaces, unless the policy says otherwise.
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
        _ if spec.relocate_to.is_some() => {
            errors.add(
                "spec.dind.clientCerts.relocateTo",
                "is set, but only onConflict: Relocate uses it",
            );
            OnConflict::Replace
        }
        crd::OnConflict::Replace => OnConflict::Replace,
        crd::OnConflict::Report => OnConflict::Report,
        crd::OnConflict::Deny => OnConflict::Deny,
    };
    ClientCerts {
        on_conflict,
        size_limit: spec.size_limit.0.clone(),
    }
}

fn registry_cas(specs: &[crd::RegistryCa], errors: &mut Errors) -> Vec<RegistryCa> {
    for (index, spec) in specs.iter().enumerate() {
        if let Some(other) = specs
            .iter()
            .take(index)
            .position(|earlier| earlier.host == spec.host)
        {
            errors.add(format!("spec.dind.registryCAs[{index}].host"), format!("is \"{}\", the host of spec.dind.registryCAs[{other}] too; a host has one certificate authority", spec.host));
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
            operator: spec.operator.clone().unwrap_or_else(|| "Equal".to_owned()),
            value: text(&spec.value),
            effect: text(&spec.effect),
            seconds: spec.toleration_seconds,
        };
        if terms.operator == "Exists" {
            if !terms.value.is_empty() {
                let value = &terms.value;
                errors.add(
                    format!("{path}.value"),
                    format!("is \"{value}\", but must be left out with operator Exists"),
                );
            }
        } else if spec.key.is_none() {
            errors.add(
                format!("{path}.key"),
                "is missing, which matches every taint and needs operator: Exists",
            );
        }
        if terms.seconds.is_some() && terms.effect != "NoExecute" {
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

//! Which namespaces have opted in, and by a value that means something.

use super::facts::Facts;
use super::installation::{NamespaceMode, installations, opt_in_values};
use super::pod_security::enforced;
use super::report::Check;
use super::words::list;
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Namespace;

/// A namespace whose job pods the API server shows to drydock.
#[derive(Clone, Debug)]
pub struct OptedIn<'a> {
    /// Its name.
    pub name: &'a str,
    /// What becomes of its job pods.
    pub mode: NamespaceMode,
    /// The whole object.
    pub object: &'a Namespace,
}

/// Returns the namespaces that the webhooks select; where the webhooks are not known, those with
/// the label.
#[must_use]
pub fn opted_in<'a>(
    configurations: Option<&[MutatingWebhookConfiguration]>,
    namespaces: &'a [Namespace],
) -> Vec<OptedIn<'a>> {
    let installations = configurations.map(installations).unwrap_or_default();
    let shipped = opt_in_values(&installations);
    let mode = |namespace: &Namespace| {
        if installations.is_empty() {
            return label(namespace).and_then(|value| mode_of_value(&shipped, value));
        }
        let modes = installations
            .iter()
            .filter_map(|one| one.mode_in(namespace));
        modes.min()
    };
    namespaces
        .iter()
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_none())
        .filter_map(|object| {
            let mode = mode(object)?;
            let name = object.metadata.name.as_deref()?;
            Some(OptedIn { name, mode, object })
        })
        .collect()
}

fn label(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(OPT_IN_LABEL).map(String::as_str)
}

type Values = [(String, NamespaceMode)];

fn mode_of_value(values: &Values, value: &str) -> Option<NamespaceMode> {
    let mut found = values.iter().filter(|(known, _)| known == value);
    found.next().map(|(_, mode)| *mode)
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    const NAME: &str = "opted-in";
    let namespaces = match &facts.namespaces {
        Ok(namespaces) => namespaces,
        Err(unread) => return vec![unread.check(NAME, "which namespaces have opted in")],
    };
    let configurations = facts.configurations.as_deref().ok();
    let opted_in = opted_in(configurations, namespaces);
    let values = opt_in_values(&configurations.map(installations).unwrap_or_default());
    let mut checks: Vec<Check> = opted_in.iter().map(|one| good(&values, one)).collect();
    for namespace in namespaces {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        if !opted_in.iter().any(|one| one.name == name) {
            checks.extend(not_opted_in(facts, &values, namespace, name));
        }
    }
    for name in &facts.selected {
        let is_there = namespaces
            .iter()
            .any(|one| one.metadata.name.as_deref() == Some(name));
        if !is_there {
            checks.push(
                Check::error(
                    NAME,
                    format!("there is no namespace {name}"),
                    "No job can run there.",
                )
                .next("kubectl get namespaces")
                .about(format!("namespace/{name}")),
            );
        }
    }
    if checks.is_empty() {
        checks.push(none(facts, &values));
    }
    checks
}

fn good(values: &Values, one: &OptedIn<'_>) -> Check {
    let how = match label(one.object) {
        Some(value) if Some(one.mode) == mode_of_value(values, value) => one.mode.name().to_owned(),
        _ => format!("{}, by its name", one.mode.name()),
    };
    let level = enforced(one.object).map(|level| format!(", Pod Security {level}"));
    let text = format!("{}: {how}{}", one.name, level.unwrap_or_default());
    Check::good("opted-in", text).about(format!("namespace/{}", one.name))
}

fn not_opted_in(
    facts: &Facts,
    values: &Values,
    namespace: &Namespace,
    name: &str,
) -> Option<Check> {
    const NAME: &str = "opted-in";
    let meaning = "The API server does not call drydock for its job pods; they run as they come.";
    let command = format!(
        "kubectl label namespace {name} {OPT_IN_LABEL}={} --overwrite",
        enforce(values)
    );
    let metadata = &namespace.metadata;
    let in_annotations = metadata
        .annotations
        .iter()
        .flatten()
        .any(|(key, _)| key == OPT_IN_LABEL);
    let misspelt = metadata
        .labels
        .iter()
        .flatten()
        .map(|(key, _)| key)
        .find(|key| key.starts_with("drydock.dev/") && *key != OPT_IN_LABEL);
    let check = match label(namespace) {
        Some(value) if mode_of_value(values, value).is_none() => Check::error(
            NAME,
            format!("{name}: the label {OPT_IN_LABEL} has a value that means nothing"),
            format!("{meaning} The values are {}.", list(values.iter().map(|(value, _)| value))),
        )
        .details([format!("{OPT_IN_LABEL}={value}")])
        .next(command),
        Some(_) => Check::warning(
            NAME,
            format!("{name}: it has the label, and no webhook selects it"),
            "drydock's own namespace and kube-system are left out, so that they never wait for drydock.",
        )
        .next(format!("kubectl label namespace {name} {OPT_IN_LABEL}-")),
        None if in_annotations => Check::error(
            NAME,
            format!("{name}: {OPT_IN_LABEL} is an annotation there, and must be a label"),
            meaning,
        )
        .next(command),
        None if misspelt.is_some() => Check::error(
            NAME,
            format!("{name}: the label {} means nothing", misspelt?),
            format!("{meaning} The label is {OPT_IN_LABEL}."),
        )
        .next(command),
        None if facts.selected.iter().any(|selected| selected == name) => {
            Check::error(NAME, format!("{name}: has not opted in"), meaning).next(command)
        }
        None => return None,
    };
    Some(check.about(format!("namespace/{name}")))
}

/// The value by which a namespace opts in to changes.
pub(super) fn enforce(values: &Values) -> &str {
    let mut enforce = values
        .iter()
        .filter(|(_, mode)| *mode == NamespaceMode::Enforce);
    enforce
        .next()
        .map_or(NamespaceMode::Enforce.name(), |(value, _)| value)
}

fn none(facts: &Facts, values: &Values) -> Check {
    let has_webhooks = facts
        .configurations
        .as_ref()
        .is_ok_and(|all| !installations(all).is_empty());
    let check = Check::warning(
        "opted-in",
        "no namespace has opted in",
        "The API server never calls drydock. Give the label to the namespaces in which jobs run.",
    );
    match has_webhooks {
        true => check.next(format!(
            "kubectl label namespace NAME {OPT_IN_LABEL}={}",
            enforce(values)
        )),
        false => check.next("kubectl get namespaces --show-labels"),
    }
}

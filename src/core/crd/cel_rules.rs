//! CEL rules over several fields, which reject an invalid policy when it is written.
//!
//! `drydock check` rejects the same policies. It uses [`super::constraints`], and `policy::parse`
//! implements each rule of this module again, with messages that name the item of a list. The
//! policies in `tests/policies` test both. The API server estimates the cost of a rule from the
//! constraints, and rejects a definition whose rules could exceed the cost limit.

use super::constraints::{self, at, child};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, ValidationRule,
};

/// The maximum number of hostnames in `hostAliases`. The CEL rule compares all pairs, which costs
/// half the square of this number, and the API server limits the cost of a rule to 1,000,000.
pub(crate) const MAX_HOSTNAMES: usize = 1024;

/// The maximum number of hostnames that an entry uses from the rules of an Ingress. An entry can
/// list the same number of hostnames.
pub(crate) const MAX_INGRESS_HOSTNAMES: usize = 64;

/// The fields for the source of a volume. A volume has exactly one of them.
pub(crate) const VOLUME_SOURCES: [&str; 8] = [
    "emptyDir",
    "hostPath",
    "persistentVolumeClaim",
    "ephemeral",
    "configMap",
    "secret",
    "csi",
    "nfs",
];

/// Adds the constraints that the Rust types cannot express to the derived schema of a
/// `JobPodPolicy`.
pub(super) fn complete(schema: &mut JSONSchemaProps) {
    each(schema, &mut |schema| {
        // No field is nullable, so that the API server replaces a null by the default of the field.
        schema.nullable = None;
        join_lines(&mut schema.description);
    });
    let template = "spec.dind.volumes[].ephemeral.volumeClaimTemplate.metadata";
    claim_metadata(at(schema, template));
    constraints::apply(schema);
    let spec = at(schema, "spec");
    selector(at(spec, "namespaceSelector.matchExpressions[]"));
    selector(at(spec, "podSelector.matchExpressions[]"));
    host_aliases(at(spec, "hostAliases"));
    let dind = at(spec, "dind");
    refuse(
        at(dind, "clientCerts"),
        r#"!has(self.relocateTo) || self.onConflict == "Relocate""#,
        ".relocateTo",
        "can be set only if onConflict is Relocate",
    );
    volumes(at(dind, "volumes"));
    toleration(at(dind, "scheduling.tolerations[]"));
}

fn selector(expression: &mut JSONSchemaProps) {
    let is_empty = "(!has(self.values) || self.values.size() == 0)";
    let needs_values = r#"self.operator in ["In", "NotIn"]"#;
    refuse_cel(
        expression,
        &format!("!({needs_values} && {is_empty})"),
        ".values",
        r#""must have at least one value if operator is " + self.operator"#,
    );
    refuse_cel(
        expression,
        &format!("{needs_values} || {is_empty}"),
        ".values",
        r#""must be empty if operator is " + self.operator"#,
    );
}

fn host_aliases(aliases: &mut JSONSchemaProps) {
    let count = "self.map(alias, has(alias.hostnames) ? alias.hostnames.size() : 0).sum()";
    let too_many = format!(
        "has more than {MAX_HOSTNAMES} hostnames in total; move some of them to a second policy"
    );
    let within = format!("{count} <= {MAX_HOSTNAMES}");
    refuse(aliases, &within, "", &too_many);
    one_address_per_family(aliases, count);
    let alias = at(aliases, "[]");
    refuse_cel(
        alias,
        "has(self.ip) != has(self.from)",
        "",
        r#"has(self.ip) ? "has both ip and from; remove one of them" : "has neither ip nor from; set ip to an address, or from to an object with an address""#,
    );
    let no_ingress = "!has(self.from) || !has(self.from.ingress)";
    let hostnames = "(has(self.hostnames) && self.hostnames.size() > 0)";
    let suffixes = "(has(self.from.ingress.hostnameSuffixes) && self.from.ingress.hostnameSuffixes.size() > 0)";
    for (rule, field, message) in [
        (
            format!("{hostnames} || (has(self.from) && has(self.from.ingress))"),
            ".hostnames",
            "is empty; list the hostnames that resolve to this address",
        ),
        // H7: a user who can edit the Ingress must not be able to add arbitrary hostnames.
        (
            format!("{no_ingress} || {hostnames} || {suffixes}"),
            ".from.ingress.hostnameSuffixes",
            "is empty, and the entry has no hostnames; list the domains of the hostnames to use from the Ingress, as in [mylab.com], or list the hostnames",
        ),
        (
            format!("{no_ingress} || !{hostnames} || !{suffixes}"),
            ".from.ingress.hostnameSuffixes",
            "must not be set together with hostnames; remove one of them",
        ),
    ] {
        refuse(alias, &rule, field, message);
    }
    refuse(
        at(alias, "from"),
        "[has(self.ingress), has(self.service), has(self.gateway)].exists_one(given, given)",
        "",
        "must have exactly one of ingress, service and gateway",
    );
}

/// Adds the rule that a hostname has at most one address of each family (H6). The rule compares
/// each pair of entries once, and their addresses as strings.
fn one_address_per_family(aliases: &mut JSONSchemaProps, count: &str) {
    let fixed = |alias: &str| format!("has({alias}.ip) && has({alias}.hostnames)");
    let rivals = format!(
        "{} && one.ip < other.ip && one.ip.contains(':') == other.ip.contains(':')",
        fixed("other"),
    );
    let rule = format!(
        "{count} > {MAX_HOSTNAMES} || self.all(one, !({}) || !self.exists(other, {rivals} && sets.intersects(one.hostnames, other.hostnames)))",
        fixed("one"),
    );
    let message = r#""has two addresses of the same family for \"" + name + "\"; a hostname can have one IPv4 and one IPv6 address""#;
    let messages = format!(
        "self.map(one, {}, one.hostnames.map(name, self.exists(other, {rivals} && name in other.hostnames), {message}))",
        fixed("one"),
    );
    let first = format!("{messages}.filter(found, found.size() > 0)[0][0]");
    let fallback = "a hostname can have one IPv4 and one IPv6 address";
    add(aliases, &rule, "", Some(&first), Some(fallback));
}

fn volumes(volumes: &mut JSONSchemaProps) {
    let alone = "self.exists_one(other, other.mountPath == one.mountPath)";
    refuse_cel(
        volumes,
        &format!("self.all(one, {alone})"),
        "",
        &format!(
            r#"self.map(one, !{alone}, "has two volumes with the mountPath \"" + one.mountPath + "\"; mount paths must be unique")[0]"#
        ),
    );
    let volume = at(volumes, "[]");
    one_source(volume);
    refuse(
        at(
            volume,
            "ephemeral.volumeClaimTemplate.spec.resources.requests",
        ),
        r#""storage" in self"#,
        "",
        "must contain storage, the size of the volume, as in storage: 10Gi",
    );
}

/// Adds the rule that a volume has exactly one source. The message concatenates constants, because
/// the API server would estimate too high a cost for a joined list, whose length it does not know.
fn one_source(volume: &mut JSONSchemaProps) {
    let given = VOLUME_SOURCES.map(|source| format!("has(self.{source})"));
    let names = VOLUME_SOURCES
        .map(|source| format!(r#"(has(self.{source}) ? " {source}," : "")"#))
        .join(" + ");
    refuse_cel(
        volume,
        &format!("[{}].exists_one(given, given)", given.join(", ")),
        "",
        &format!(
            r#""(\"" + self.name + "\") has " + (!({}) ? "no source; set exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs" : "the sources" + {names} + " but must have exactly one")"#,
            given.join(" || ")
        ),
    );
}

fn toleration(toleration: &mut JSONSchemaProps) {
    let exists = r#"has(self.operator) && self.operator == "Exists""#;
    refuse_cel(
        toleration,
        &format!("!({exists}) || !has(self.value) || self.value == ''"),
        ".value",
        r#""is \"" + self.value + "\", but must be empty if operator is Exists""#,
    );
    refuse(
        toleration,
        &format!("({exists}) || has(self.key)"),
        ".key",
        "is missing; set a key, or operator: Exists to match every taint",
    );
    refuse(
        toleration,
        r#"!has(self.tolerationSeconds) || (has(self.effect) && self.effect == "NoExecute")"#,
        ".tolerationSeconds",
        "can be set only if effect is NoExecute",
    );
}

/// Removes the metadata fields that the core API rejects in a claim template.
fn claim_metadata(metadata: &mut JSONSchemaProps) {
    if let Some(properties) = &mut metadata.properties {
        properties.retain(|name, _| matches!(name.as_str(), "labels" | "annotations"));
    }
    metadata.description =
        Some("Labels and annotations of the claim. Example: {labels: {app: ci}}.".to_owned());
}

/// Adds a rule that rejects a value unless the CEL expression `unless` is true, with a fixed
/// message. `field` is the field in the error, as in `.hostnames`, or empty for the value itself.
fn refuse(schema: &mut JSONSchemaProps, unless: &str, field: &str, message: &str) {
    add(schema, unless, field, None, Some(message));
}

/// Adds a rule as [`refuse`] does, with a CEL expression as its message.
fn refuse_cel(schema: &mut JSONSchemaProps, unless: &str, field: &str, message: &str) {
    add(schema, unless, field, Some(message), None);
}

/// Adds a rule. The message is the value of `expression`, or `text` if there is no expression or
/// its cost exceeds the limit.
fn add(
    schema: &mut JSONSchemaProps,
    unless: &str,
    field: &str,
    expression: Option<&str>,
    text: Option<&str>,
) {
    let rule = ValidationRule {
        rule: unless.to_owned(),
        message: text.map(ToOwned::to_owned),
        message_expression: expression.map(ToOwned::to_owned),
        field_path: Some(field.to_owned()).filter(|field| !field.is_empty()),
        // With the default reason, the error would contain the whole object or list.
        reason: Some("FieldValueForbidden".to_owned()),
        ..ValidationRule::default()
    };
    let rules = &mut schema.x_kubernetes_validations;
    rules.get_or_insert_default().push(rule);
}

/// Calls a function with a schema and all its nested schemas.
fn each(schema: &mut JSONSchemaProps, change: &mut impl FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for property in schema.properties.iter_mut().flatten() {
        each(property.1, change);
    }
    for step in ["[]", "{}"] {
        if let Some(inner) = child(schema, step) {
            each(inner, change);
        }
    }
}

/// Joins the lines of a doc comment, because `kubectl explain` wraps lines itself. Keeps line
/// breaks after a sentence, between paragraphs and between items of a list.
fn join_lines(description: &mut Option<String>) {
    let Some(text) = description else {
        return;
    };
    let mut joined = String::new();
    for (index, line) in text.split('\n').enumerate() {
        let begins = joined.ends_with(['.', '\n'])
            || line.is_empty()
            || line.starts_with([' ', '\t', '-', '`', '<']);
        if index > 0 {
            joined.push(if begins { '\n' } else { ' ' });
        }
        joined.push_str(line);
    }
    *text = joined;
}

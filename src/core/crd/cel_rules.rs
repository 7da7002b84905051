//! CEL rules over several fields, which reject an invalid policy when it is written.
//!
//! `drydock check` rejects the same policies. It shares [`super::constraints`]; each rule here has
//! a second implementation in `policy::parse`, whose messages name positions. `tests/policies` has
//! the table of policies that tests both. The API server estimates the cost of a rule from the
//! constraints, and refuses a definition whose rules can exceed its limit.

use super::constraints::{self, at, child};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, ValidationRule,
};

/// Maximum number of hostnames in `hostAliases`. Comparing all pairs costs half its square, and the
/// API server stops a rule at a cost of 1,000,000.
pub(crate) const MAX_HOSTNAMES: usize = 1024;

/// Maximum number of hostnames that an entry takes from the rules of an Ingress: as many as an
/// entry can list.
pub(crate) const MAX_INGRESS_HOSTNAMES: usize = 64;

/// The sources of a volume. Each volume has exactly one.
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

/// Adds constraints to the derived schema of a `JobPodPolicy` that its Rust types cannot express.
pub(super) fn complete(schema: &mut JSONSchemaProps) {
    each(schema, &mut |schema| {
        // The API server then drops a null, and applies the default.
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
        "is set, but only onConflict: Relocate uses it",
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
        r#""is empty, but " + self.operator + " needs at least one value""#,
    );
    refuse_cel(
        expression,
        &format!("{needs_values} || {is_empty}"),
        ".values",
        r#""must be left out with " + self.operator"#,
    );
}

fn host_aliases(aliases: &mut JSONSchemaProps) {
    let count = "self.map(alias, has(alias.hostnames) ? alias.hostnames.size() : 0).sum()";
    let too_many = format!(
        "has more than {MAX_HOSTNAMES} hostnames in all; put the others into a second policy"
    );
    let within = format!("{count} <= {MAX_HOSTNAMES}");
    refuse(aliases, &within, "", &too_many);
    one_address_per_family(aliases, count);
    let alias = at(aliases, "[]");
    refuse_cel(
        alias,
        "has(self.ip) != has(self.from)",
        "",
        r#"has(self.ip) ? "has both ip and from; keep one of them" : "has neither ip nor from; give it a fixed address or the object that has one""#,
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
        // H7: the owner of the Ingress must not choose hostnames freely.
        (
            format!("{no_ingress} || {hostnames} || {suffixes}"),
            ".from.ingress.hostnameSuffixes",
            "is empty, but the hostnames are left to the Ingress; name the domains that they must belong to, as in [mylab.com], or list the hostnames",
        ),
        (
            format!("{no_ingress} || !{hostnames} || !{suffixes}"),
            ".from.ingress.hostnameSuffixes",
            "is set, but only an entry without hostnames uses it",
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

/// A hostname has one address of each family (H6). The entry with the lesser address, as text, is
/// compared with the other one, so each pair is compared once.
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
    let message = r#""gives \"" + name + "\" two addresses of one family; give a hostname one address per family""#;
    let messages = format!(
        "self.map(one, {}, one.hostnames.map(name, self.exists(other, {rivals} && name in other.hostnames), {message}))",
        fixed("one"),
    );
    let first = format!("{messages}.filter(found, found.size() > 0)[0][0]");
    let fallback = "give a hostname one address per family";
    add(aliases, &rule, "", Some(&first), Some(fallback));
}

fn volumes(volumes: &mut JSONSchemaProps) {
    let alone = "self.exists_one(other, other.mountPath == one.mountPath)";
    refuse_cel(
        volumes,
        &format!("self.all(one, {alone})"),
        "",
        &format!(
            r#"self.map(one, !{alone}, "has two volumes at \"" + one.mountPath + "\"; a path holds one volume")[0]"#
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
        "lacks storage; set the size of the volume, as in storage: 10Gi",
    );
}

/// The message is a sum of constants: the API server does not know the length of a joined list and
/// would estimate too high a cost.
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
            r#""(\"" + self.name + "\") has " + (!({}) ? "no source; give it exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs" : "more than one source:" + {names} + " of which only one may stay")"#,
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
        r#""is \"" + self.value + "\", but must be left out with operator Exists""#,
    );
    refuse(
        toleration,
        &format!("({exists}) || has(self.key)"),
        ".key",
        "is missing, which matches every taint and needs operator: Exists",
    );
    refuse(
        toleration,
        r#"!has(self.tolerationSeconds) || (has(self.effect) && self.effect == "NoExecute")"#,
        ".tolerationSeconds",
        "is set, but only effect NoExecute uses it",
    );
}

/// The core API rejects other metadata in the template of a claim.
fn claim_metadata(metadata: &mut JSONSchemaProps) {
    if let Some(properties) = &mut metadata.properties {
        properties.retain(|name, _| matches!(name.as_str(), "labels" | "annotations"));
    }
    metadata.description =
        Some("Labels and annotations of the claim. Example: {labels: {app: ci}}.".to_owned());
}

/// Adds a rule with a fixed message. `field` is the field that the error names, as in `.hostnames`;
/// empty for the value itself.
fn refuse(schema: &mut JSONSchemaProps, unless: &str, field: &str, message: &str) {
    add(schema, unless, field, None, Some(message));
}

/// Adds a rule whose message is a CEL expression.
fn refuse_cel(schema: &mut JSONSchemaProps, unless: &str, field: &str, message: &str) {
    add(schema, unless, field, Some(message), None);
}

/// Adds a rule. The message is the expression, or the text where its cost would exceed the limit.
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
        // With the default reason, the API server would print the whole object or list.
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

/// Joins the lines of a doc comment, because `kubectl explain` wraps them. Line breaks after a
/// sentence, between paragraphs and between items of a list stay.
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

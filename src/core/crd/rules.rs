//! What the API server refuses: bounds, forms and rules in CEL, put into the derived schema.
//!
//! `drydock check` refuses the same policies. Bounds and forms it reads from the schema; each of the other rules stands once more in
//! `policy::parse`, which also knows positions: `tests/policies` has the table that both are held to.
//! Bounds are what CEL's cost is estimated from: the API server refuses a definition whose rules may get too dear.

mod schema;
mod volumes;

use super::form;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use schema::{Said, at, bound_items, each, join_lines, keys, one_of, quantity, refuse, text};
use volumes::volumes;

/// How many hostnames the entries of `hostAliases` may have in all: comparing each with each costs half the square of it, and the API
/// server stops a rule that costs more than 1,000,000.
pub const HOSTNAMES: usize = 1024;

/// How many hostnames of an Ingress' rules one entry takes: as many as it could list.
pub const HOSTNAMES_OF_RULES: usize = 64;

/// Adds to the derived schema of a `JobPodPolicy` what its types cannot say.
pub(super) fn complete(schema: &mut JSONSchemaProps) {
    each(schema, &mut |schema| {
        // A null is then what people take it for, an absent field: the API server drops it and puts the default in its place.
        schema.nullable = None;
        join_lines(&mut schema.description);
    });
    let spec = at(schema, "spec");
    selector(at(spec, "namespaceSelector"));
    selector(at(spec, "podSelector"));
    host_aliases(at(spec, "hostAliases"));
    let dind = at(spec, "dind");
    bound_items(at(dind, "images"), 64);
    text(at(dind, "images[]"), &form::IMAGE_GLOB);
    client_certs(at(dind, "clientCerts"));
    volumes(at(dind, "volumes"));
    registry_cas(at(dind, "registryCAs"));
    labels(at(dind, "scheduling.nodeSelector"));
    tolerations(at(dind, "scheduling.tolerations"));
}

fn selector(selector: &mut JSONSchemaProps) {
    // As in the core API: merging two selectors by server-side apply would select what neither asks for.
    selector.x_kubernetes_map_type = Some("atomic".to_owned());
    labels(at(selector, "matchLabels"));
    bound_items(at(selector, "matchExpressions"), 32);
    let expression = at(selector, "matchExpressions[]");
    text(at(expression, "key"), &form::LABEL_KEY);
    one_of(
        at(expression, "operator"),
        &["In", "NotIn", "Exists", "DoesNotExist"],
    );
    bound_items(at(expression, "values"), 64);
    text(at(expression, "values[]"), &form::LABEL_VALUE);
    let is_empty = "(!has(self.values) || self.values.size() == 0)";
    let needs_values = r#"self.operator in ["In", "NotIn"]"#;
    refuse(
        expression,
        &format!("!({needs_values} && {is_empty})"),
        ".values",
        Said::By(r#""is empty, but " + self.operator + " needs at least one value""#),
    );
    refuse(
        expression,
        &format!("{needs_values} || {is_empty}"),
        ".values",
        Said::By(r#""must be left out with " + self.operator"#),
    );
}

fn labels(labels: &mut JSONSchemaProps) {
    labels.max_properties = Some(32);
    keys(labels, &form::LABEL_KEY);
    text(at(labels, "{}"), &form::LABEL_VALUE);
}

fn host_aliases(aliases: &mut JSONSchemaProps) {
    bound_items(aliases, 32);
    let count = "self.map(alias, has(alias.hostnames) ? alias.hostnames.size() : 0).sum()";
    refuse(
        aliases,
        &format!("{count} <= {HOSTNAMES}"),
        "",
        Said::Always(&format!(
            "has more than {HOSTNAMES} hostnames in all; put the others into a second policy"
        )),
    );
    one_address_per_family(aliases, count);
    let alias = at(aliases, "[]");
    refuse(
        alias,
        "has(self.ip) != has(self.from)",
        "",
        Said::By(
            r#"has(self.ip) ? "has both ip and from; keep one of them" : "has neither ip nor from; give it a fixed address or the object that has one""#,
        ),
    );
    refuse(
        alias,
        "(has(self.hostnames) && self.hostnames.size() > 0) || (has(self.from) && has(self.from.ingress))",
        ".hostnames",
        Said::Always("is empty; list the hostnames that resolve to this address"),
    );
    hostname_suffixes(alias);
    text(at(alias, "ip"), &form::ADDRESS);
    bound_items(at(alias, "hostnames"), 64);
    text(at(alias, "hostnames[]"), &form::SUBDOMAIN);
    let from = at(alias, "from");
    refuse(
        from,
        "[has(self.ingress), has(self.service), has(self.gateway)].exists_one(given, given)",
        "",
        Said::Always("must have exactly one of ingress, service and gateway"),
    );
    for kind in ["ingress", "service", "gateway"] {
        text(at(from, &format!("{kind}.namespace")), &form::LABEL);
        text(at(from, &format!("{kind}.name")), &form::SUBDOMAIN);
    }
}

/// H7: the Ingress' owner must not choose hostnames freely.
fn hostname_suffixes(alias: &mut JSONSchemaProps) {
    let no_ingress = "!has(self.from) || !has(self.from.ingress)";
    let lists = "(has(self.hostnames) && self.hostnames.size() > 0)";
    let suffixes = "self.from.ingress.hostnameSuffixes";
    let names = format!("(has({suffixes}) && {suffixes}.size() > 0)");
    let field = ".from.ingress.hostnameSuffixes";
    refuse(
        alias,
        &format!("{no_ingress} || {lists} || {names}"),
        field,
        Said::Always(
            "is empty, but the hostnames are left to the Ingress; name the domains that they must belong to, as in [mylab.com], or list the hostnames",
        ),
    );
    refuse(
        alias,
        &format!("{no_ingress} || !{lists} || !{names}"),
        field,
        Said::Always("is set, but only an entry without hostnames uses it"),
    );
    bound_items(at(alias, "from.ingress.hostnameSuffixes"), 16);
    text(
        at(alias, "from.ingress.hostnameSuffixes[]"),
        &form::SUBDOMAIN,
    );
}

/// H6. Each pair of entries is compared once: the one with the lesser text of the address looks at the other.
fn one_address_per_family(aliases: &mut JSONSchemaProps, count: &str) {
    let family = |alias: &str| format!("{alias}.ip.contains(':')");
    let fixed = |alias: &str| format!("has({alias}.ip) && has({alias}.hostnames)");
    let rivals = format!(
        "{} && one.ip < other.ip && {} == {}",
        fixed("other"),
        family("one"),
        family("other")
    );
    let rule = format!(
        "{count} > {HOSTNAMES} || self.all(one, !({}) || !self.exists(other, {rivals} && sets.intersects(one.hostnames, other.hostnames)))",
        fixed("one"),
    );
    let told = r#""gives \"" + name + "\" two addresses of one family; give a hostname one address per family""#;
    let found = format!(
        "self.map(one, {}, one.hostnames.map(name, self.exists(other, {rivals} && name in other.hostnames), {told}))",
        fixed("one"),
    );
    refuse(
        aliases,
        &rule,
        "",
        Said::Mostly(
            "give a hostname one address per family",
            &format!("{found}.filter(found, found.size() > 0)[0][0]"),
        ),
    );
}

fn client_certs(certs: &mut JSONSchemaProps) {
    quantity(at(certs, "sizeLimit"), &form::SIZE_LIMIT, 1.0);
    text(at(certs, "relocateTo"), &form::RELOCATE_TO);
    refuse(
        certs,
        r#"!has(self.relocateTo) || self.onConflict == "Relocate""#,
        ".relocateTo",
        Said::Always("is set, but only onConflict: Relocate uses it"),
    );
}

fn registry_cas(authorities: &mut JSONSchemaProps) {
    bound_items(authorities, 64);
    authorities.x_kubernetes_list_type = Some("map".to_owned());
    authorities.x_kubernetes_list_map_keys = Some(vec!["host".to_owned()]);
    text(at(authorities, "[].host"), &form::REGISTRY_HOST);
    text(at(authorities, "[].configMap.name"), &form::SUBDOMAIN);
    text(at(authorities, "[].configMap.key"), &form::CONFIG_KEY);
}

fn tolerations(tolerations: &mut JSONSchemaProps) {
    bound_items(tolerations, 32);
    let toleration = at(tolerations, "[]");
    text(at(toleration, "key"), &form::LABEL_KEY);
    one_of(at(toleration, "operator"), &["Equal", "Exists"]);
    text(at(toleration, "value"), &form::LABEL_VALUE);
    one_of(
        at(toleration, "effect"),
        &["NoSchedule", "PreferNoSchedule", "NoExecute"],
    );
    let exists = r#"has(self.operator) && self.operator == "Exists""#;
    refuse(
        toleration,
        &format!("!({exists}) || !has(self.value) || self.value == ''"),
        ".value",
        Said::By(r#""is \"" + self.value + "\", but must be left out with operator Exists""#),
    );
    refuse(
        toleration,
        &format!("({exists}) || has(self.key)"),
        ".key",
        Said::Always("is missing, which matches every taint and needs operator: Exists"),
    );
    refuse(
        toleration,
        r#"!has(self.tolerationSeconds) || (has(self.effect) && self.effect == "NoExecute")"#,
        ".tolerationSeconds",
        Said::Always("is set, but only effect NoExecute uses it"),
    );
}

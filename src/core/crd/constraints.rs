//! Constraints of single fields, in a table that the API server and `drydock check` share.
//!
//! [`apply`] writes the table into the schema of the custom resource: formats become CEL rules.
//! [`crate::core::policy`] finds the format of a field by its path in [`FORMATS`] and reads the
//! other constraints from the schema.
//!
//! In a path, `[]` stands for the items of a list and `{}` for the values of a map.

use super::format::{self, Format};
use Constraint::{
    Fields, Format as Of, Items, Keys, ListMap, MaxProperties, OneOf, Quantity, Range, Required,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A constraint of one field.
enum Constraint {
    /// A string must match a format.
    Format(&'static Format),
    /// A quantity must be a string that matches a format, or a number that is at least a minimum.
    Quantity(&'static Format, f64),
    /// The keys of a map must match a format.
    Keys(&'static Format),
    /// The minimum and maximum number of items of a list.
    Items(Option<i64>, i64),
    /// The maximum number of entries of a map.
    MaxProperties(i64),
    /// The minimum and maximum of a number.
    Range(f64, f64),
    /// A string must be one of these values.
    OneOf(&'static [&'static str]),
    /// An object must have these fields, in addition to those that the derived schema requires.
    Required(&'static [&'static str]),
    /// The items of a list must have unique values in this field.
    ListMap(&'static str),
    /// Server-side apply must replace the value, not merge it.
    Atomic,
    /// The fields of an object have the constraints of a table.
    Fields(Table),
}

/// Constraints, each with its path relative to the object that the table describes.
type Table = &'static [(&'static str, Constraint)];

/// Defines a static for each table. A row of a table is a path and its constraint.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($path:literal => $constraint:expr,)* })*) => {
        $($(#[$doc])* static $name: Table = &[$(($path, $constraint)),*];)*
    };
}

tables! {
    SPEC {
        "namespaceSelector" => Fields(SELECTOR),
        "podSelector" => Fields(SELECTOR),
        "hostAliases" => Items(None, 32),
        "hostAliases[].ip" => Of(&format::ADDRESS),
        "hostAliases[].hostnames" => Items(None, 64),
        "hostAliases[].hostnames[]" => Of(&format::HOSTNAME),
        "hostAliases[].from.ingress" => Fields(REFERENCE),
        "hostAliases[].from.ingress" => Fields(SUFFIXES),
        "hostAliases[].from.service" => Fields(REFERENCE),
        "hostAliases[].from.gateway" => Fields(REFERENCE),
        "dind.images" => Items(None, 64),
        "dind.images[]" => Of(&format::IMAGE_GLOB),
        "dind.clientCerts.sizeLimit" => Quantity(&format::SIZE_LIMIT, 1.0),
        "dind.clientCerts.relocateTo" => Of(&format::RELOCATE_TO),
        "dind.volumes" => Items(None, 32),
        "dind.volumes" => ListMap("name"),
        "dind.volumes[]" => Fields(VOLUME),
        "dind.registryCAs" => Items(None, 64),
        "dind.registryCAs" => ListMap("host"),
        "dind.registryCAs[].host" => Of(&format::REGISTRY_HOST),
        "dind.registryCAs[].configMap.name" => Of(&format::SUBDOMAIN),
        "dind.registryCAs[].configMap.key" => Of(&format::CONFIG_KEY),
        "dind.scheduling.nodeSelector" => Fields(LABELS),
        "dind.scheduling.tolerations" => Items(None, 32),
        "dind.scheduling.tolerations[]" => Fields(TOLERATION),
    }

    LABELS {
        "" => MaxProperties(32),
        "" => Keys(&format::LABEL_KEY),
        "{}" => Of(&format::LABEL_VALUE),
    }

    SELECTOR {
        // In the core API, a label selector is atomic too.
        "" => Constraint::Atomic,
        "matchLabels" => Fields(LABELS),
        "matchExpressions" => Items(None, 32),
        "matchExpressions[].key" => Of(&format::LABEL_KEY),
        "matchExpressions[].operator" => OneOf(&["In", "NotIn", "Exists", "DoesNotExist"]),
        "matchExpressions[].values" => Items(None, 64),
        "matchExpressions[].values[]" => Of(&format::LABEL_VALUE),
    }

    REFERENCE {
        "namespace" => Of(&format::LABEL),
        "name" => Of(&format::SUBDOMAIN),
    }

    SUFFIXES {
        "hostnameSuffixes" => Items(None, 16),
        "hostnameSuffixes[]" => Of(&format::SUBDOMAIN),
    }

    TOLERATION {
        "key" => Of(&format::LABEL_KEY),
        "operator" => OneOf(&["Equal", "Exists"]),
        "value" => Of(&format::LABEL_VALUE),
        "effect" => OneOf(&["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    }

    /// Repeats the validation of the core API, so that drydock does not add a volume that the API
    /// server rejects.
    VOLUME {
        "name" => Of(&format::LABEL),
        "mountPath" => Of(&format::MOUNT_PATH),
        "emptyDir.medium" => Of(&format::MEDIUM),
        "emptyDir.sizeLimit" => Quantity(&format::QUANTITY, 0.0),
        "hostPath.path" => Of(&format::HOST_PATH),
        "hostPath.type" => OneOf(&["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket",
            "CharDevice", "BlockDevice"]),
        "persistentVolumeClaim.claimName" => Of(&format::SUBDOMAIN),
        "ephemeral" => Required(&["volumeClaimTemplate"]),
        "ephemeral.volumeClaimTemplate.metadata.labels" => Fields(LABELS),
        "ephemeral.volumeClaimTemplate.spec" => Fields(CLAIM),
        "configMap.name" => Of(&format::SUBDOMAIN),
        "configMap" => Fields(FILES),
        "secret" => Required(&["secretName"]),
        "secret.secretName" => Of(&format::SUBDOMAIN),
        "secret" => Fields(FILES),
        "csi.driver" => Of(&format::CSI_DRIVER),
        "csi.nodePublishSecretRef.name" => Of(&format::SUBDOMAIN),
        "nfs.server" => Of(&format::SERVER),
        "nfs.path" => Of(&format::EXPORTED_PATH),
    }

    /// The fields of a volume source that projects the keys of a ConfigMap or Secret to files.
    FILES {
        "defaultMode" => Range(0.0, 0o777 as f64),
        "items" => Items(None, 32),
        "items[].key" => Of(&format::CONFIG_KEY),
        "items[].path" => Of(&format::ITEM_PATH),
        "items[].mode" => Range(0.0, 0o777 as f64),
    }

    CLAIM {
        "" => Required(&["accessModes", "resources"]),
        "accessModes" => Items(Some(1), 4),
        "accessModes[]" => OneOf(&["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany",
            "ReadWriteOncePod"]),
        "resources" => Required(&["requests"]),
        "resources.requests" => MaxProperties(8),
        "resources.requests{}" => Quantity(&format::QUANTITY, 0.0),
        "resources.limits" => MaxProperties(8),
        "resources.limits{}" => Quantity(&format::QUANTITY, 0.0),
        "storageClassName" => Of(&format::SUBDOMAIN),
    }
}

/// The formats of a policy's fields by path, as in `spec.hostAliases[].ip`. The format of the keys
/// of a map has the path of the map, followed by `{key}`.
pub(crate) static FORMATS: LazyLock<BTreeMap<String, &'static Format>> = LazyLock::new(|| {
    let mut formats = BTreeMap::new();
    each(SPEC, "spec", &mut |path, constraint| match constraint {
        Of(format) | Quantity(format, _) => {
            formats.insert(path.to_owned(), *format);
        }
        Keys(format) => {
            formats.insert(format!("{path}{{key}}"), *format);
        }
        _ => {}
    });
    formats
});

/// Calls a function with each constraint of a table and of its nested tables.
fn each(table: Table, path: &str, visit: &mut impl FnMut(&str, &'static Constraint)) {
    for (step, constraint) in table {
        let is_inside = step.is_empty() || step.starts_with(['[', '{']);
        let separator = if is_inside { "" } else { "." };
        let path = format!("{path}{separator}{step}");
        match constraint {
            Fields(table) => each(table, &path, visit),
            constraint => visit(&path, constraint),
        }
    }
}

/// Writes the constraints into the schema of a policy.
pub(super) fn apply(policy: &mut JSONSchemaProps) {
    each(SPEC, "spec", &mut |path, constraint| {
        constraint.apply(at(policy, path))
    });
}

impl Constraint {
    fn apply(&self, schema: &mut JSONSchemaProps) {
        let max_length = |format: &Format| i64::try_from(format.max_length).ok();
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rules = &mut schema.x_kubernetes_validations;
        match *self {
            Of(format) => {
                schema.max_length = max_length(format);
                rules.get_or_insert_default().push(format.rule());
            }
            // A pattern instead of a CEL rule: up to Kubernetes 1.30, CEL ignores the maximum
            // length of a string that may be a number, so the estimated cost of a rule would
            // exceed the limit.
            Quantity(format, minimum) => {
                schema.max_length = max_length(format);
                schema.pattern = format.pattern();
                schema.minimum = Some(minimum);
            }
            Keys(format) => rules.get_or_insert_default().push(format.rule_for_keys()),
            Items(min, max) => (schema.min_items, schema.max_items) = (min, Some(max)),
            MaxProperties(max) => schema.max_properties = Some(max),
            Range(min, max) => (schema.minimum, schema.maximum) = (Some(min), Some(max)),
            OneOf(values) => {
                schema.enum_ = Some(values.iter().map(|value| JSON((*value).into())).collect());
            }
            Required(fields) => {
                let required: Vec<String> = owned(fields);
                schema.required.get_or_insert_default().extend(required);
            }
            ListMap(key) => {
                schema.x_kubernetes_list_type = Some("map".to_owned());
                schema.x_kubernetes_list_map_keys = Some(owned(&[key]));
            }
            Self::Atomic => schema.x_kubernetes_map_type = Some("atomic".to_owned()),
            Fields(_) => {}
        }
    }
}

/// Returns the schema at a path.
pub(super) fn at<'s>(schema: &'s mut JSONSchemaProps, path: &str) -> &'s mut JSONSchemaProps {
    let path = path.replace("[]", ".[]").replace("{}", ".{}");
    let steps = path.split('.').filter(|step| !step.is_empty());
    steps.fold(schema, |schema, step| {
        child(schema, step).expect("the path should exist in the derived schema")
    })
}

/// Returns the schema of a property, of the items (`[]`) or of the values (`{}`).
pub(super) fn child<'s>(
    schema: &'s mut JSONSchemaProps,
    step: &str,
) -> Option<&'s mut JSONSchemaProps> {
    match (step, &mut schema.items, &mut schema.additional_properties) {
        ("[]", Some(JSONSchemaPropsOrArray::Schema(items)), _) => Some(items),
        ("{}", _, Some(JSONSchemaPropsOrBool::Schema(values))) => Some(values),
        _ => schema.properties.as_mut()?.get_mut(step),
    }
}

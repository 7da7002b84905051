//! The `status` of a policy, which `kubectl get jpp` and `kubectl describe jpp` show.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of the policy. drydock writes it; do not edit it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicyStatus {
    /// The metadata.generation of the policy that the status describes. If it is less than
    /// metadata.generation, drydock has not processed the last change yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: whether the current version of the policy is in force. If False, the last valid
    /// version is in force, and the message contains the error.
    /// AddressesResolved: whether every object in hostAliases[].from has an address. If False, the
    /// message lists the objects without an address.
    /// HostnamesTaken: whether drydock uses all hostnames in the rules of an Ingress. If False, the
    /// message lists the hostnames that do not match hostnameSuffixes or exceed the limit. The
    /// reason NoSuffixes means that hostnameSuffixes is missing.
    /// Conflicting: whether another policy with higher precedence overrides a setting of this
    /// policy. If True, the message contains the policy and the setting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The current addresses of the objects in hostAliases[].from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["source"]))]
    pub addresses: Vec<ResolvedSource>,
}

/// The current addresses of an object.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedSource {
    /// The object as KIND/NAMESPACE/NAME. Example: ingress/cicd/gitlab-registry.
    pub source: String,
    /// The addresses of the object. Pods get the first address of each family. If empty, the object
    /// does not exist or has no address, and drydock does not change its hostnames in pods.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The hostnames that drydock uses from the rules of an Ingress, if the policy lists none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The time at which drydock first observed these addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Whether the object no longer exists or has no address. drydock then uses the last known
    /// addresses until the object has an address again.
    #[serde(default)]
    pub stale: bool,
}

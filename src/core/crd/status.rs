//! `status`: the state of a policy, for `kubectl get jpp` and `kubectl describe jpp`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of the policy. drydock writes it; do not edit it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicyStatus {
    /// The metadata.generation of the policy that the status describes. If it is smaller than
    /// metadata.generation, drydock has not read the last change yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: the current version of the policy is in force. False: the last valid version is in
    /// force, and the message names the error.
    /// AddressesResolved: every object in hostAliases[].from has an address. False: the message
    /// names the objects without one.
    /// HostnamesTaken: all hostnames in the rules of an Ingress are used. False: the message names
    /// those that match none of hostnameSuffixes or exceed the limit; with the reason NoSuffixes,
    /// hostnameSuffixes is missing.
    /// Conflicting: a policy of higher rank overrides a setting of this one. True: the message
    /// names policy and setting.
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
    /// The addresses of the object; pods get the first of each family. Empty: the object does not
    /// exist or has no address, and drydock does not change its hostnames in pods.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The hostnames used from the rules of an Ingress, if the policy lists none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The time at which drydock observed these addresses first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Whether the object is gone or has no address, and these are its last known addresses. They
    /// stay in use until it has an address again.
    #[serde(default)]
    pub stale: bool,
}

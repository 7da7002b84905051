//! `status`: what drydock makes of a policy, for `kubectl get jpp` and `kubectl describe jpp`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What drydock makes of the policy. Every replica writes the same; nothing here is for editing.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicyStatus {
    /// The metadata.generation that the rest of the status is about. Smaller than metadata.generation: drydock has not read the last edit yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: the policy as it is written is in force; False means that the last good version is, and the message says what is wrong.
    /// AddressesResolved: every object under hostAliases[].from has an address; False names those that have none.
    /// HostnamesTaken: where hostnames come from an Ingress' rules, all of them are taken; False names those that end in none of hostnameSuffixes or are too many, or says that hostnameSuffixes is missing (NoSuffixes).
    /// Conflicting: another policy of higher rank wins something that this one asks for; True says which and what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The addresses that the objects under hostAliases[].from have now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["source"]))]
    pub addresses: Vec<ResolvedSource>,
}

/// The addresses that one object has now.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedSource {
    /// The object as KIND/NAMESPACE/NAME. Example: ingress/cicd/gitlab-registry.
    pub source: String,
    /// Its addresses; pods get the first of each family. Empty: it has none, or has never been there, and pods are left alone for its hostnames.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The hostnames taken from an Ingress' rules, where the policy leaves them to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Since when it has had these addresses, as drydock saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Whether these are the last known addresses of an object that is gone or has none any more. They stay in use until it has some again.
    #[serde(default)]
    pub stale: bool,
}

//! What drydock may do in the cluster: its ServiceAccount, roles and bindings. Each rule says what it is for.
//!
//! A name is given wherever Kubernetes can hold one: it cannot for what is listed across the cluster, nor for events.

use super::yaml::{self, Unwritable};
use super::{File, metadata, namespaced, texts};
use crate::names::{CA_SECRET, NAME, NAMESPACE};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};

/// The rights that the self-managed certificate authority needs; with certificates from elsewhere they can go.
pub(super) const CERTIFICATES: &str = "drydock-certificates";
/// The rights that policies with live addresses need; bound by nothing unless somebody asks for it.
pub(super) const ADDRESS_SOURCES: &str = "drydock-address-sources";

pub(super) fn file() -> Result<File, Unwritable> {
    let account = ServiceAccount {
        metadata: namespaced(NAME),
        // The Deployment asks for the token itself.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    let documents = [
        yaml::document(&account)?,
        yaml::document(&cluster_role(NAME, work()))?,
        yaml::document(&cluster_role_binding(NAME))?,
        yaml::document(&cluster_role(CERTIFICATES, ca_bundle()))?,
        yaml::document(&cluster_role_binding(CERTIFICATES))?,
        yaml::document(&ca_secret())?,
        yaml::document(&ca_secret_binding())?,
        yaml::document(&cluster_role(ADDRESS_SOURCES, address_sources()))?,
    ];
    yaml::file(
        "access.yaml",
        "drydock: policies are read and their status is written; labels of namespaces are read for policies with a namespaceSelector;\n\
         events tell a job's author what became of the pod.\n\
         drydock-certificates: the Secret of its own authority, and the caBundle of its own webhook configuration. It may not create that\n\
         configuration, so that healing never brings back what somebody deletes. Server-side apply of a Secret that is not there\n\
         asks for create by its name, so create is limited to one name, too.\n\
         drydock-address-sources is bound by nothing: the component live-addresses binds it for the whole cluster, or bind it, or a Role\n\
         that names the objects, in the namespaces that policies take addresses from.",
        &documents,
    )
}

fn work() -> Vec<PolicyRule> {
    let policies = |resource, verbs| rule("drydock.dev", resource, verbs);
    vec![
        policies("jobpodpolicies", texts(["get", "list", "watch"])),
        policies("jobpodpolicies/status", texts(["patch"])),
        rule("", "namespaces", texts(["get", "list", "watch"])),
        rule("", "events", texts(["create"])),
    ]
}

fn ca_bundle() -> Vec<PolicyRule> {
    let group = "admissionregistration.k8s.io";
    let configurations = "mutatingwebhookconfigurations";
    vec![PolicyRule {
        resource_names: Some(texts([NAME])),
        ..rule(
            group,
            configurations,
            texts(["get", "list", "watch", "patch"]),
        )
    }]
}

fn address_sources() -> Vec<PolicyRule> {
    let read = || texts(["get", "list", "watch"]);
    vec![
        rule("", "services", read()),
        rule("networking.k8s.io", "ingresses", read()),
        rule("gateway.networking.k8s.io", "gateways", read()),
    ]
}

fn ca_secret() -> Role {
    let verbs = texts(["get", "list", "watch", "create", "update", "patch"]);
    Role {
        metadata: namespaced(CERTIFICATES),
        rules: Some(vec![PolicyRule {
            resource_names: Some(texts([CA_SECRET])),
            ..rule("", "secrets", verbs)
        }]),
    }
}

fn ca_secret_binding() -> RoleBinding {
    RoleBinding {
        metadata: namespaced(CERTIFICATES),
        role_ref: role_ref("Role", CERTIFICATES),
        subjects: Some(vec![drydock_itself()]),
    }
}

fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole {
        metadata: metadata(name),
        rules: Some(rules),
        ..ClusterRole::default()
    }
}

/// Returns what gives the ServiceAccount a ClusterRole, both of one name.
pub(super) fn cluster_role_binding(name: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: metadata(name),
        role_ref: role_ref("ClusterRole", name),
        subjects: Some(vec![drydock_itself()]),
    }
}

fn drydock_itself() -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: NAME.to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
        ..Subject::default()
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn rule(group: &str, resource: &str, verbs: Vec<String>) -> PolicyRule {
    PolicyRule {
        api_groups: Some(texts([group])),
        resources: Some(texts([resource])),
        verbs,
        ..PolicyRule::default()
    }
}

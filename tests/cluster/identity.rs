//! Users of the API server, each with a bearer token, so that tests can act as each of them.

use serde_json::{Value, json};

/// A caller with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// May do everything.
    Admin,
    /// drydock's ServiceAccount, with the rights of the committed roles.
    Drydock,
    /// The ServiceAccount of a GitLab Runner, with the rights of its chart in every namespace.
    Runner,
    /// A user without any role.
    Nobody,
}

impl Identity {
    pub(crate) const ALL: [Self; 4] = [Self::Admin, Self::Drydock, Self::Runner, Self::Nobody];

    /// The name that the API server knows.
    pub(crate) fn user(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Drydock => "system:serviceaccount:drydock:drydock",
            Self::Runner => "system:serviceaccount:gitlab-runner:gitlab-runner",
            Self::Nobody => "jane",
        }
    }

    /// The groups, but for `system:authenticated`, which everybody has.
    fn groups(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            Self::Drydock => "system:serviceaccounts,system:serviceaccounts:drydock",
            Self::Runner => "system:serviceaccounts,system:serviceaccounts:gitlab-runner",
            Self::Nobody => "",
        }
    }

    /// Good at the API servers of the tests only.
    fn token(self) -> &'static str {
        match self {
            Self::Admin => "admin-token",
            Self::Drydock => "drydock-token",
            Self::Runner => "runner-token",
            Self::Nobody => "nobody-token",
        }
    }

    /// Name of its kubeconfig file.
    pub(crate) fn file(self) -> String {
        format!("{}.kubeconfig", self.token())
    }

    /// The file that `kube-apiserver --token-auth-file` reads.
    pub(crate) fn tokens() -> String {
        Self::ALL
            .map(|identity| {
                let (token, user, groups) = (identity.token(), identity.user(), identity.groups());
                format!("{token},{user},{user},\"{groups}\"\n")
            })
            .concat()
    }

    /// A kubeconfig: JSON is YAML.
    pub(crate) fn kubeconfig(self, server: &str, authority_file: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": authority_file}}],
            "users": [{"name": "test", "user": {"token": self.token()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
    }
}

/// The role for pods of the runner's chart, for [`Identity::Runner`].
pub(crate) fn runner_role() -> [(&'static str, Value); 2] {
    let group = "rbac.authorization.k8s.io";
    let version = "rbac.authorization.k8s.io/v1";
    let role = json!({
        "apiVersion": version,
        "kind": "ClusterRole",
        "metadata": {"name": "gitlab-runner"},
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
        ],
    });
    let binding = json!({
        "apiVersion": version,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "gitlab-runner"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "gitlab-runner"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": Identity::Runner.user()}],
    });
    [
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/gitlab-runner",
            role,
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/gitlab-runner",
            binding,
        ),
    ]
}

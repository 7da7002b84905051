//! Users of the API server with bearer tokens, as which tests can send requests.

use serde_json::{Value, json};

/// A user with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A member of `system:masters`.
    Admin,
    /// drydock's ServiceAccount, with the permissions of the roles in `manifests/`.
    Drydock,
    /// The ServiceAccount of a GitLab Runner, with the permissions of its chart in all namespaces.
    Runner,
    /// A user without roles.
    Nobody,
}

impl Identity {
    pub(crate) const ALL: [Self; 4] = [Self::Admin, Self::Drydock, Self::Runner, Self::Nobody];

    /// Returns the username.
    pub(crate) fn user(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Drydock => "system:serviceaccount:drydock:drydock",
            Self::Runner => "system:serviceaccount:gitlab-runner:gitlab-runner",
            Self::Nobody => "jane",
        }
    }

    /// Returns the groups, without `system:authenticated`, to which all users belong.
    fn groups(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            Self::Drydock => "system:serviceaccounts,system:serviceaccounts:drydock",
            Self::Runner => "system:serviceaccounts,system:serviceaccounts:gitlab-runner",
            Self::Nobody => "",
        }
    }

    /// Returns the bearer token, which is valid only at the API servers of the tests.
    fn token(self) -> &'static str {
        match self {
            Self::Admin => "admin-token",
            Self::Drydock => "drydock-token",
            Self::Runner => "runner-token",
            Self::Nobody => "nobody-token",
        }
    }

    /// Returns the name of the user's kubeconfig file.
    pub(crate) fn file(self) -> String {
        format!("{}.kubeconfig", self.token())
    }

    /// Returns the content of the file for `kube-apiserver --token-auth-file`.
    pub(crate) fn tokens() -> String {
        Self::ALL
            .map(|identity| {
                let (token, user, groups) = (identity.token(), identity.user(), identity.groups());
                format!("{token},{user},{user},\"{groups}\"\n")
            })
            .concat()
    }

    /// Returns the kubeconfig of the user.
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

/// Returns a ClusterRole with the permissions of the runner's chart and its binding to
/// [`Identity::Runner`], each with its path.
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

//! Parses an AdmissionReview request. Strings borrow from the body; unused fields are skipped.

use super::skim;
use crate::core::object_name::{NamespaceName, PodName};
use crate::core::pod::{OverBound, Pod, Text, text};
use crate::core::quote::quote;
use crate::core::rules::PatchTooLarge;
use serde::Deserialize;
use serde::de::IgnoredAny;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// Maximum length in bytes of a `uid`. The API server sends a UUID of 36 characters.
const MAX_UID: usize = 64;

/// The reason why a review cannot be answered. The job log contains the error message.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The body is not valid JSON, for example because it is truncated.
    #[error("drydock cannot read the request: it is not valid JSON ({0})")]
    NotJson(serde_json::Error),
    /// The body is not an AdmissionReview of version v1.
    #[error(
        "drydock accepts AdmissionReview of admission.k8s.io/v1; the request has kind {kind} and apiVersion {api_version}"
    )]
    WrongKind {
        /// The `apiVersion` of the body, escaped.
        api_version: String,
        /// The `kind` of the body, escaped.
        kind: String,
    },
    /// A field is missing.
    #[error("drydock cannot read the request: {0} is missing")]
    Missing(&'static str),
    /// A field of the request has a value that the API server never sends.
    #[error("drydock cannot read the request: its {field} is \"{value}\", {why}")]
    Invalid {
        /// The name of the field, for example `namespace`.
        field: &'static str,
        /// The value, escaped.
        value: String,
        /// A clause that says what is wrong with the value.
        why: &'static str,
    },
    /// A field of the pod has an unexpected type. The text is the path of the field, without its
    /// value (T4).
    #[error("drydock cannot read the pod: {0} has an unexpected JSON type")]
    WrongType(String),
    /// The pod exceeds a limit of its size.
    #[error("drydock cannot read the pod: {0}")]
    OverBound(OverBound),
    /// The patch exceeds its size limit.
    #[error("drydock cannot change the pod: {0}")]
    PatchTooLarge(#[from] PatchTooLarge),
    /// A policy selects namespaces by labels, and the API server did not return the labels of this
    /// namespace.
    #[error(
        "drydock cannot read the labels of namespace \"{0}\", which the namespaceSelector of a policy needs; retry the job"
    )]
    NamespaceNotRead(NamespaceName),
    /// This version of drydock cannot read a policy that the API server accepted and that may match
    /// the pod (F3).
    #[error(
        "drydock cannot read JobPodPolicy \"{0}\", which may match this pod and was written for another version of drydock; contact the platform team"
    )]
    PolicyUnreadable(String),
}

impl ReviewError {
    /// The names of all errors.
    pub const NAMES: [&'static str; 9] = [
        "not-json",
        "wrong-kind",
        "missing-field",
        "invalid-field",
        "wrong-type",
        "over-bound",
        "patch-size",
        "namespace-not-read",
        "policy-unreadable",
    ];

    /// Returns the name in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not-json",
            Self::WrongKind { .. } => "wrong-kind",
            Self::Missing(_) => "missing-field",
            Self::Invalid { .. } => "invalid-field",
            Self::WrongType(_) => "wrong-type",
            Self::OverBound(_) => "over-bound",
            Self::PatchTooLarge(_) => "patch-size",
            Self::NamespaceNotRead(_) => "namespace-not-read",
            Self::PolicyUnreadable(_) => "policy-unreadable",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "'de: 'a, P: Deserialize<'de>"))]
pub(super) struct Review<'a, P> {
    api_version: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    request: Option<Body<'a, P>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "'de: 'a, P: Deserialize<'de>"))]
struct Body<'a, P> {
    uid: Option<Text<'a>>,
    resource: Option<Resource<'a>>,
    sub_resource: Option<Text<'a>>,
    name: Option<Text<'a>>,
    namespace: Option<Text<'a>>,
    operation: Option<Text<'a>>,
    dry_run: Option<bool>,
    object: Option<P>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Resource<'a> {
    group: Option<Text<'a>>,
    resource: Option<Text<'a>>,
}

/// A review of a pod.
pub(super) type PodReview<'a> = Review<'a, Pod<'a>>;

/// A request that has the required fields.
pub(super) struct Request<'a>(Body<'a, Pod<'a>>);

/// Reads a review.
pub(super) fn read(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    if let Some(review) = skim::read::<PodReview<'_>>(body) {
        return checked(review).map(Request);
    }
    match serde_json::from_slice::<PodReview<'_>>(body) {
        Ok(review) => checked(review).map(Request),
        Err(error) if error.is_data() => explain(body),
        Err(error) => Err(ReviewError::NotJson(error)),
    }
}

/// Reads a body again after an error, without its object. Returns an error if the request creates a
/// pod. Other objects are not reviewed, so errors in them do not matter.
fn explain(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    let review: Review<'_, IgnoredAny> = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) if error.is_data() => return Err(wrong_type::<Review<'_, IgnoredAny>>(body)),
        Err(error) => return Err(ReviewError::NotJson(error)),
    };
    let request = Request(checked(review)?.with_object(Pod::default()));
    if request.is_pod_creation() {
        Err(wrong_type::<PodReview<'_>>(body))
    } else {
        Ok(request)
    }
}

/// Returns the namespace of a review without parsing its object; `None` if the review has no valid
/// namespace, or the body is not a review.
pub(crate) fn namespace(body: &[u8]) -> Option<NamespaceName> {
    let review = skim::read::<Review<'_, IgnoredAny>>(body);
    let review = review.or_else(|| serde_json::from_slice(body).ok())?;
    text(&review.request?.namespace).parse().ok()
}

impl<'a, P> Body<'a, P> {
    fn with_object<Q>(self, object: Q) -> Body<'a, Q> {
        Body {
            object: self.object.map(|_| object),
            uid: self.uid,
            resource: self.resource,
            sub_resource: self.sub_resource,
            name: self.name,
            namespace: self.namespace,
            operation: self.operation,
            dry_run: self.dry_run,
        }
    }
}

fn wrong_type<'de, T: Deserialize<'de>>(body: &'de [u8]) -> ReviewError {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => {
            let path = error.path().to_string();
            if let Some(bound) = OverBound::found_in(error.inner()) {
                return ReviewError::OverBound(bound);
            }
            ReviewError::WrongType(quote(&path).to_string())
        }
        Ok(_) => ReviewError::WrongType("request".to_owned()),
    }
}

fn checked<'a, P>(review: Review<'a, P>) -> Result<Body<'a, P>, ReviewError> {
    let (api_version, kind) = (text(&review.api_version), text(&review.kind));
    if (api_version, kind) != (API_VERSION, KIND) {
        let shown = |text: &str| {
            if text.is_empty() {
                "(none)".to_owned()
            } else {
                quote(text).at_most(64).to_string()
            }
        };
        return Err(ReviewError::WrongKind {
            api_version: shown(api_version),
            kind: shown(kind),
        });
    }
    let request = review.request.ok_or(ReviewError::Missing("request"))?;
    if text(&request.uid).is_empty() {
        return Err(ReviewError::Missing("request.uid"));
    }
    if text(&request.uid).len() > MAX_UID {
        return Err(ReviewError::Invalid {
            field: "uid",
            value: quote(text(&request.uid)).at_most(MAX_UID).to_string(),
            why: "which is too long: the API server sends a UUID",
        });
    }
    if text(&request.operation).is_empty() {
        return Err(ReviewError::Missing("request.operation"));
    }
    let resource = request.resource.as_ref();
    if resource.is_none_or(|resource| text(&resource.resource).is_empty()) {
        return Err(ReviewError::Missing("request.resource"));
    }
    Ok(request)
}

impl<'a> Request<'a> {
    pub(super) fn uid(&self) -> &str {
        text(&self.0.uid)
    }

    /// Returns the namespace of the request; `None` for a cluster-scoped object. The namespace in
    /// the pod's metadata is not used, because the author of the pod controls it.
    pub(super) fn namespace(&self) -> Result<Option<NamespaceName>, ReviewError> {
        match text(&self.0.namespace) {
            "" if self.is_pod_creation() => Err(ReviewError::Missing("request.namespace")),
            "" => Ok(None),
            name => match name.parse() {
                Ok(name) => Ok(Some(name)),
                Err(why) => Err(ReviewError::Invalid {
                    field: "namespace",
                    value: quote(name).to_string(),
                    why,
                }),
            },
        }
    }

    pub(super) fn pod_name(&self) -> &str {
        let of_pod = self.0.object.as_ref().map(Pod::name).unwrap_or_default();
        match text(&self.0.name) {
            "" => of_pod,
            name => name,
        }
    }

    /// Returns the name of the pod that the API server will store, or `None` in these cases:
    ///
    /// - The pod has only `generateName`: the API server generates the name after admission.
    /// - The request is a dry run: nothing is stored.
    /// - The request and the pod have different names, which the API server never sends.
    pub(super) fn stored_pod_name(&self) -> Option<PodName> {
        let pod = self.0.object.as_ref()?;
        let names = [&self.0.name, &pod.metadata.name].map(text).into_iter();
        let mut names = names.filter(|name| !name.is_empty());
        let name = names.next()?;
        let is_stored = self.0.dry_run != Some(true) && names.all(|other| other == name);
        name.parse().ok().filter(|_| is_stored)
    }

    /// Returns the pod; `None` if the request does not create a pod (P1).
    pub(super) fn into_pod(self) -> Result<Option<Pod<'a>>, ReviewError> {
        if !self.is_pod_creation() {
            return Ok(None);
        }
        let object = self.0.object.map(Some);
        object.ok_or(ReviewError::Missing("request.object"))
    }

    fn is_pod_creation(&self) -> bool {
        let is_pod = self.0.resource.as_ref().is_some_and(|resource| {
            (text(&resource.group), text(&resource.resource)) == ("", "pods")
        });
        is_pod && text(&self.0.sub_resource).is_empty() && text(&self.0.operation) == "CREATE"
    }
}

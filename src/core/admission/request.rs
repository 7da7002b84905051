//! Reading an AdmissionReview: borrowed, only what is needed, and with a sentence for whoever sent something else.

use super::skim;
use crate::core::object_name::{NamespaceName, NotAName, PodName};
use crate::core::pod::{OverBound, Pod, Text, text};
use crate::core::rules::PatchTooLarge;
use crate::core::shown::shown;
use serde::Deserialize;
use serde::de::IgnoredAny;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The API server sends a UUID, which has 36 characters.
const LONGEST_UID: usize = 64;

/// Why a review cannot be answered. The message is for the author of the job: the API server quotes it in the job log.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The body is not JSON, or cut short.
    #[error("drydock cannot read the request: not valid JSON ({0})")]
    NotJson(serde_json::Error),
    /// The body is something else.
    #[error(
        "drydock answers AdmissionReview of admission.k8s.io/v1, and this is {kind} of {api_version}"
    )]
    WrongKind {
        /// As in the body.
        api_version: String,
        /// As in the body.
        kind: String,
    },
    /// A field is missing.
    #[error("drydock cannot read the request: {0} is missing")]
    Missing(&'static str),
    /// A field of the request holds what the API server never puts there.
    #[error("drydock cannot read the request: its {field} is \"{shown}\", {why}")]
    Invalid {
        /// As in `namespace`.
        field: &'static str,
        /// The value, fit to be shown.
        shown: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A field has a type that no Kubernetes version gives it. Holds the field's path; the value is the job's own (T4).
    #[error("drydock cannot read the pod: its {0} has a type that no Kubernetes version gives it")]
    WrongType(String),
    /// The pod has more of something than is read.
    #[error("drydock cannot read the pod: {0}")]
    OverBound(OverBound),
    /// The changes of the pod take more than is written.
    #[error("drydock cannot change the pod: {0}")]
    PatchTooLarge(#[from] PatchTooLarge),
    /// A policy selects by labels of the namespace, which is the one held here, and they are not known yet.
    #[error(
        "drydock cannot read the labels of namespace \"{0}\", by which a policy selects; create the pod again"
    )]
    NamespaceNotRead(NamespaceName),
}

impl ReviewError {
    /// All names, for metrics.
    pub const NAMES: [&'static str; 8] = [
        "not-json",
        "wrong-kind",
        "missing-field",
        "invalid-field",
        "wrong-type",
        "over-bound",
        "patch-size",
        "namespace-not-read",
    ];

    /// Returns the name that metrics and logs use.
    #[must_use]
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
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Review<'a, P> {
    #[serde(borrow)]
    api_version: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow, bound(deserialize = "P: Deserialize<'de>"))]
    request: Option<Body<'a, P>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, P> {
    #[serde(borrow)]
    uid: Option<Text<'a>>,
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
    #[serde(borrow)]
    sub_resource: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    operation: Option<Text<'a>>,
    dry_run: Option<bool>,
    #[serde(bound(deserialize = "P: Deserialize<'de>"))]
    object: Option<P>,
}

#[derive(Debug, Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    group: Option<Text<'a>>,
    #[serde(borrow)]
    resource: Option<Text<'a>>,
}

/// A review of a pod.
pub(super) type PodReview<'a> = Review<'a, Pod<'a>>;

/// A request that can be answered.
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

/// What is wrong with a body is worth a second reading: it may be no review, or a review of something that is not a pod.
fn explain(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    let review: Review<'_, IgnoredAny> = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) if error.is_data() => return Err(wrong_type::<Review<'_, IgnoredAny>>(body)),
        Err(error) => return Err(ReviewError::NotJson(error)),
    };
    let Body {
        uid,
        resource,
        sub_resource,
        name,
        namespace,
        operation,
        dry_run,
        object,
    } = checked(review)?;
    let request = Request(Body {
        uid,
        resource,
        sub_resource,
        name,
        namespace,
        operation,
        dry_run,
        object: object.map(|_| Pod::default()),
    });
    if request.is_pod_creation() {
        Err(wrong_type::<PodReview<'_>>(body))
    } else {
        Ok(request)
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
            ReviewError::WrongType(shown(&path).to_string())
        }
        Ok(_) => ReviewError::WrongType("request".to_owned()),
    }
}

fn checked<'a, P>(review: Review<'a, P>) -> Result<Body<'a, P>, ReviewError> {
    let (api_version, kind) = (text(&review.api_version), text(&review.kind));
    if (api_version, kind) != (API_VERSION, KIND) {
        let named = |text: &str, otherwise: &str| {
            if text.is_empty() {
                otherwise.to_owned()
            } else {
                shown(text).at_most(64).to_string()
            }
        };
        return Err(ReviewError::WrongKind {
            api_version: named(api_version, "no apiVersion"),
            kind: named(kind, "an object without kind"),
        });
    }
    let request = review.request.ok_or(ReviewError::Missing("request"))?;
    if text(&request.uid).is_empty() {
        return Err(ReviewError::Missing("request.uid"));
    }
    if text(&request.uid).len() > LONGEST_UID {
        return Err(ReviewError::Invalid {
            field: "uid",
            shown: shown(text(&request.uid)).at_most(LONGEST_UID).to_string(),
            why: "which is longer than the API server makes one",
        });
    }
    if text(&request.operation).is_empty() {
        return Err(ReviewError::Missing("request.operation"));
    }
    if request
        .resource
        .as_ref()
        .is_none_or(|resource| text(&resource.resource).is_empty())
    {
        return Err(ReviewError::Missing("request.resource"));
    }
    Ok(request)
}

impl<'a> Request<'a> {
    pub(super) fn uid(&self) -> &str {
        text(&self.0.uid)
    }

    /// Returns the request's namespace, the only one that counts: what the pod says of its own is its author's word.
    /// There is none where the request is about something outside of namespaces.
    pub(super) fn namespace(&self) -> Result<Option<NamespaceName>, ReviewError> {
        match text(&self.0.namespace) {
            "" if self.is_pod_creation() => Err(ReviewError::Missing("request.namespace")),
            "" => Ok(None),
            name => match name.parse() {
                Ok(name) => Ok(Some(name)),
                Err(error) => Err(ReviewError::Invalid {
                    field: "namespace",
                    shown: shown(name).to_string(),
                    why: NotAName::reason(error),
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

    /// Returns the name under which the pod will be found. There is none with `generateName`: the API server makes it up after
    /// admission; none in a dry run, which stores nothing; and none where request and pod name two, which the API server never does.
    pub(super) fn created_pod(&self) -> Option<PodName> {
        let pod = self.0.object.as_ref()?;
        let mut names = [&self.0.name, &pod.metadata.name]
            .into_iter()
            .map(text)
            .filter(|name| !name.is_empty());
        let name = names.next()?;
        let is_stored = self.0.dry_run != Some(true) && names.all(|other| other == name);
        name.parse().ok().filter(|_| is_stored)
    }

    /// Returns the pod that is created, or nothing where the request is for something else (P1).
    pub(super) fn into_pod(self) -> Result<Option<Pod<'a>>, ReviewError> {
        if !self.is_pod_creation() {
            return Ok(None);
        }
        self.0
            .object
            .map(Some)
            .ok_or(ReviewError::Missing("request.object"))
    }

    fn is_pod_creation(&self) -> bool {
        let is_pod = self.0.resource.as_ref().is_some_and(|resource| {
            (text(&resource.group), text(&resource.resource)) == ("", "pods")
        });
        is_pod && text(&self.0.sub_resource).is_empty() && text(&self.0.operation) == "CREATE"
    }
}

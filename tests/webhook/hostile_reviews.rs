//! Hostile reviews of any size: well-formed JSON that repeats one element as often as possible.
//!
//! The pods need not be valid, because the API server calls the webhook before it validates them.

/// A kind of hostile review.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// The placeholder in [`REVIEW`] at which items are inserted.
    place: &'static str,
    item: fn(usize) -> String,
}

/// A minimal review whose pod is repaired, with placeholders for more elements.
const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{
"uid":"hostile","resource":{"group":"","version":"v1","resource":"pods"},"namespace":"ci","operation":"CREATE",
"object":{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"runner-abc-project-1-concurrent-0-",
"labels":{"job.runner.gitlab.com/pod":"runner-abc-project-1-concurrent-0"<labels>}},
"spec":{"restartPolicy":"Never",
"hostAliases":[{"ip":"10.9.9.9","hostnames":["gitlab.mylab.com"<hostnames>]}<aliases>],
"tolerations":[{"key":"a"}<tolerations>],
"volumes":[{"name":"registry-ca","secret":{"secretName":"registry-ca"}}<volumes>],
"initContainers":[{"name":"init"}<init>],
"containers":[{"name":"build","image":"docker:28","volumeMounts":[{"name":"registry-ca","mountPath":"/certs/client"}]},
{"name":"helper"},
{"name":"docker","image":"docker:28-dind","securityContext":{"privileged":true},
"env":[{"name":"DOCKER_TLS_CERTDIR","value":"/certs"}<variables>],
"volumeMounts":[{"name":"registry-ca","mountPath":"/certs/client"}<mounts>]}<containers>]}}}}"#;

/// Names that drydock prefers for its volumes.
const PREFERRED: [&str; 3] = ["drydock-docker-certs", "dind-storage", "dind-modules"];

pub(crate) const SHAPES: [Shape; 11] = [
    Shape {
        name: "dind containers",
        place: "<containers>",
        item: |number| format!(r#",{{"name":"d{number}","image":"docker:dind"}}"#),
    },
    Shape {
        name: "containers without names",
        place: "<containers>",
        item: |_| ",{}".to_owned(),
    },
    Shape {
        name: "mounts below the directory",
        place: "<mounts>",
        item: |number| format!(r#",{{"name":"registry-ca","mountPath":"/certs/client/{number}"}}"#),
    },
    Shape {
        name: "mounts at the directory",
        place: "<mounts>",
        item: |_| r#",{"name":"registry-ca","mountPath":"/certs/client"}"#.to_owned(),
    },
    Shape {
        name: "volumes that take the preferred names",
        place: "<volumes>",
        item: |number| match (PREFERRED.get(number), PREFERRED[number % PREFERRED.len()]) {
            (Some(name), _) => format!(r#",{{"name":"{name}"}}"#),
            (None, name) => format!(r#",{{"name":"{name}-{}"}}"#, number / PREFERRED.len() + 1),
        },
    },
    Shape {
        name: "tolerations",
        place: "<tolerations>",
        item: |_| ",{}".to_owned(),
    },
    Shape {
        name: "hostAliases entries",
        place: "<aliases>",
        item: |_| r#",{"ip":"10.0.0.1","hostnames":["gitlab.mylab.com"]}"#.to_owned(),
    },
    Shape {
        name: "one entry with many hostnames",
        place: "<hostnames>",
        item: |_| r#","gitlab.mylab.com""#.to_owned(),
    },
    Shape {
        name: "variables of one name",
        place: "<variables>",
        item: |_| r#",{"name":"DOCKER_TLS_CERTDIR"}"#.to_owned(),
    },
    Shape {
        name: "native sidecars",
        place: "<init>",
        item: |number| {
            format!(r#",{{"name":"s{number}","image":"docker:dind","restartPolicy":"Always"}}"#)
        },
    },
    Shape {
        name: "labels",
        place: "<labels>",
        item: |number| format!(r#","l{number}":"""#),
    },
];

impl Shape {
    /// Returns a review of at most `bytes` bytes, and not much less.
    pub(crate) fn of_size(&self, bytes: usize) -> Vec<u8> {
        let mut items = String::new();
        let room = bytes - REVIEW.len();
        for number in 0.. {
            let item = (self.item)(number);
            if items.len() + item.len() > room {
                break;
            }
            items.push_str(&item);
        }
        review(self.place, &items)
    }
}

/// Returns a review whose patch contains a long string many times: the name of the volume that
/// replaces the Secret, in a mount of each of 40 dind containers.
pub(crate) fn long_name(bytes: usize) -> Vec<u8> {
    let containers: String = (0..40)
        .map(|number| format!(r#",{{"name":"d{number}","image":"docker:dind"}}"#))
        .collect();
    let text = String::from_utf8(review("<containers>", &containers)).unwrap();
    // The name occurs in the volume and in two mounts.
    let room = (bytes - text.len()) / 3;
    text.replace(
        r#""name":"registry-ca""#,
        &format!(r#""name":"{}""#, "v".repeat(room)),
    )
    .into_bytes()
}

fn review(place: &str, items: &str) -> Vec<u8> {
    let mut text = REVIEW.replace(place, items);
    while let Some(start) = text.find('<') {
        let end = start + text[start..].find('>').unwrap() + 1;
        text.replace_range(start..end, "");
    }
    text.into_bytes()
}

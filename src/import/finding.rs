//! What an import finds: lines of the report, and entries of a policy with the lines that ask for
//! them today.

use super::located::{Node, Span};
use super::printable::{Printable, Sentence, say};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::rc::Rc;

/// The groups of the report; a finding is in the first one that fits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Group {
    /// Why a file cannot be read.
    Error,
    Dangerous,
    Conflict,
    NotTaken,
    Taken,
    /// What is worth knowing about a file as a whole.
    Note,
}

/// A place in one of the files.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) span: Span,
    pub(super) path: Option<Rc<str>>,
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { span, path: None }
    }
}

impl From<&Node> for Place {
    /// The place of a value and of all that is in it.
    fn from(node: &Node) -> Self {
        Self {
            span: node.extent(),
            path: node.path.clone(),
        }
    }
}

/// One entry of the report.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Finding {
    /// Where it is; of a conflict all places.
    pub(super) places: Vec<Place>,
    pub(super) group: Group,
    pub(super) what: Sentence,
    /// What to do about it.
    pub(super) todo: Sentence,
}

impl Finding {
    /// Adds a place.
    pub(super) fn at(mut self, place: impl Into<Place>) -> Self {
        self.places.push(place.into());
        self
    }

    pub(super) fn with_todo(self, todo: Sentence) -> Self {
        Self { todo, ..self }
    }
}

/// The lists of a policy that entries go to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Field {
    Alias,
    /// That dind is used, with its `clientCerts`.
    Dind,
    /// A further image of dind.
    Image,
    Volume,
    RegistryCa,
    NodeSelector,
    Toleration,
}

/// An entry of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) field: Field,
    /// What it is about: a hostname, a path, a registry or the key of a label.
    pub(super) key: Printable,
    /// As a policy has it; of a volume without the name.
    pub(super) value: Value,
    /// The name of a volume.
    pub(super) name: Printable,
    /// The value in a sentence, without values of labels.
    pub(super) shown: Sentence,
}

impl Item {
    fn new(field: Field, key: Printable, value: Value, shown: Sentence) -> Self {
        Self {
            field,
            key,
            value,
            name: Printable::default(),
            shown,
        }
    }

    pub(super) fn alias(hostname: Printable, address: IpAddr) -> Self {
        let address = Printable::own(address);
        let value = json!({"ip": address.as_str()});
        Self::new(Field::Alias, hostname, value, say!("{}", address))
    }

    /// An alias that follows the address of a Service.
    pub(super) fn service(hostname: Printable, namespace: &Printable, name: &Printable) -> Self {
        let [namespace, name] = [namespace, name].map(Printable::as_str);
        let service = json!({"namespace": namespace, "name": name, "address": "ClusterIP"});
        let value = json!({"from": {"service": service}});
        Self::new(Field::Alias, hostname, value, Sentence::default())
    }

    /// With `leave`, what is at the certificate directory stays there.
    pub(super) fn dind(leave: bool) -> Self {
        let on_conflict = if leave { "Report" } else { "Replace" };
        let value = json!({"onConflict": on_conflict, "sizeLimit": "1Mi"});
        Self::new(
            Field::Dind,
            Printable::default(),
            value,
            Sentence::default(),
        )
    }

    pub(super) fn image(image: Printable) -> Self {
        let value = image.as_str().into();
        Self::new(Field::Image, image, value, Sentence::default())
    }

    pub(super) fn volume(
        path: Printable,
        name: Printable,
        read_only: bool,
        (kind, source, shown): (&str, Value, Sentence),
    ) -> Self {
        let mut value = json!({"mountPath": path.as_str()});
        if let Some(fields) = value.as_object_mut() {
            if read_only {
                fields.insert("readOnly".to_owned(), true.into());
            }
            fields.insert(kind.to_owned(), source);
        }
        Self {
            name,
            ..Self::new(Field::Volume, path, value, shown)
        }
    }

    pub(super) fn registry_ca(host: Printable, config_map: &Printable, key: &Printable) -> Self {
        let [map, of] = [config_map, key].map(Printable::as_str);
        let value = json!({"host": host.as_str(), "configMap": {"name": map, "key": of}});
        let shown = say!("key {} of ConfigMap {}", key, config_map);
        Self::new(Field::RegistryCa, host, value, shown)
    }

    pub(super) fn node_selector(key: Printable, value: &Printable) -> Self {
        let value = value.as_str().into();
        Self::new(Field::NodeSelector, key, value, say!("another one"))
    }

    pub(super) fn toleration(key: Printable, value: Option<&Printable>, effect: &str) -> Self {
        let operator = if value.is_some() { "Equal" } else { "Exists" };
        let mut toleration = json!({"key": key.as_str(), "operator": operator});
        if let Some(fields) = toleration.as_object_mut() {
            if let Some(value) = value {
                fields.insert("value".to_owned(), value.as_str().into());
            }
            if !effect.is_empty() {
                fields.insert("effect".to_owned(), effect.into());
            }
        }
        Self::new(Field::Toleration, key, toleration, say!("another one"))
    }

    /// The address of an alias that has one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.value.get("ip")?.as_str()?.parse().ok()
    }

    /// What can have only one value in a policy: a hostname in a family, a path, a host, the key of
    /// a label.
    pub(super) fn slot(&self) -> (Field, Printable, bool) {
        let is_ipv6 = self.address().is_some_and(|address| address.is_ipv6());
        (self.field, self.key.clone(), is_ipv6)
    }

    /// Whether two items ask for the same. The name of a volume does not count.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.field, &self.key, &self.value) == (other.field, &other.key, &other.value)
    }

    /// What it is about, in a sentence.
    pub(super) fn subject(&self) -> Sentence {
        match self.field {
            Field::Alias => say!("{}", self.key),
            Field::Dind => say!("clientCerts"),
            Field::Image => say!("the image {}", self.key),
            Field::Volume => say!("the volume at {}", self.key),
            Field::RegistryCa => say!("the authority of {}", self.key),
            Field::NodeSelector => say!("node_selector {}", self.key),
            Field::Toleration => say!("a toleration of {}", self.key),
        }
    }
}

/// Items that a runner has, with the lines that ask for them today.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) items: Vec<Item>,
    pub(super) place: Place,
    /// What is worth knowing about it.
    pub(super) remark: Sentence,
    pub(super) removal: Removal,
}

/// What becomes of the lines of a want once the policy is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Removal {
    /// They all go.
    All,
    /// Of a list these items stay; without any they all go.
    Except { list: Span, kept: Vec<Span> },
    /// They stay, for this reason.
    Keep(Sentence),
    /// A finding of its own says what becomes of them.
    Told,
}

/// An entry that a policy has as a comment, below a reason.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comment {
    pub(super) why: Sentence,
    pub(super) item: Item,
}

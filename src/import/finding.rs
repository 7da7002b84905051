//! Findings of the report, and items of a policy with the lines of the file that they replace.

use super::node::{Node, Span};
use super::safe_text::{Message, SafeText, message};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::rc::Rc;

/// The groups of the report; a finding is in the first one that fits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Group {
    /// The file cannot be read.
    Error,
    Dangerous,
    Conflict,
    NotTaken,
    Taken,
    /// A remark about a whole file.
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
    /// The place of a value with everything in it.
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
    /// The place; a conflict has several.
    pub(super) places: Vec<Place>,
    pub(super) group: Group,
    pub(super) what: Message,
    /// What to do.
    pub(super) todo: Message,
}

impl Finding {
    /// Adds a place.
    pub(super) fn at(mut self, place: impl Into<Place>) -> Self {
        self.places.push(place.into());
        self
    }

    pub(super) fn with_todo(self, todo: Message) -> Self {
        Self { todo, ..self }
    }
}

/// The fields of a policy that have items.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Field {
    Alias,
    /// `dind` with `clientCerts`.
    Dind,
    /// An entry of `dind.images`.
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
    /// A hostname, a path, the host of a registry, or the key of a label.
    pub(super) key: SafeText,
    /// The entry in the policy. For a volume, without its name.
    pub(super) value: Value,
    /// The name of a volume.
    pub(super) name: SafeText,
    /// The value for a message. Label values are not shown.
    pub(super) shown: Message,
}

impl Item {
    fn new(field: Field, key: SafeText, value: Value, shown: Message) -> Self {
        Self {
            field,
            key,
            value,
            name: SafeText::default(),
            shown,
        }
    }

    pub(super) fn alias(hostname: SafeText, address: IpAddr) -> Self {
        let address = SafeText::own(address);
        let value = json!({"ip": address.as_str()});
        Self::new(Field::Alias, hostname, value, message!("{}", address))
    }

    /// An alias with the current address of a Service.
    pub(super) fn service(hostname: SafeText, namespace: &SafeText, name: &SafeText) -> Self {
        let [namespace, name] = [namespace, name].map(SafeText::as_str);
        let service = json!({"namespace": namespace, "name": name, "address": "ClusterIP"});
        let value = json!({"from": {"service": service}});
        Self::new(Field::Alias, hostname, value, Message::default())
    }

    /// With `leave`, volumes at the certificate directory stay.
    pub(super) fn dind(leave: bool) -> Self {
        let on_conflict = if leave { "Report" } else { "Replace" };
        let value = json!({"onConflict": on_conflict, "sizeLimit": "1Mi"});
        Self::new(Field::Dind, SafeText::default(), value, Message::default())
    }

    pub(super) fn image(image: SafeText) -> Self {
        let value = image.as_str().into();
        Self::new(Field::Image, image, value, Message::default())
    }

    pub(super) fn volume(
        path: SafeText,
        name: SafeText,
        read_only: bool,
        (kind, source, shown): (&str, Value, Message),
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

    pub(super) fn registry_ca(host: SafeText, config_map: &SafeText, key: &SafeText) -> Self {
        let [map, of] = [config_map, key].map(SafeText::as_str);
        let value = json!({"host": host.as_str(), "configMap": {"name": map, "key": of}});
        let shown = message!("key {} of ConfigMap {}", key, config_map);
        Self::new(Field::RegistryCa, host, value, shown)
    }

    pub(super) fn node_selector(key: SafeText, value: &SafeText) -> Self {
        let value = value.as_str().into();
        Self::new(Field::NodeSelector, key, value, message!("another one"))
    }

    pub(super) fn toleration(key: SafeText, value: Option<&SafeText>, effect: &str) -> Self {
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
        Self::new(Field::Toleration, key, toleration, message!("another one"))
    }

    /// The address of an alias.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.value.get("ip")?.as_str()?.parse().ok()
    }

    /// The key that has only one value in a policy: a hostname in an address family, a path, the
    /// host of a registry, or the key of a label.
    pub(super) fn slot(&self) -> (Field, SafeText, bool) {
        let is_ipv6 = self.address().is_some_and(|address| address.is_ipv6());
        (self.field, self.key.clone(), is_ipv6)
    }

    /// Whether two items are equal. The names of volumes may differ.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.field, &self.key, &self.value) == (other.field, &other.key, &other.value)
    }

    /// The name of the item in a message.
    pub(super) fn subject(&self) -> Message {
        match self.field {
            Field::Alias => message!("{}", self.key),
            Field::Dind => message!("clientCerts"),
            Field::Image => message!("the image {}", self.key),
            Field::Volume => message!("the volume at {}", self.key),
            Field::RegistryCa => message!("the CA of {}", self.key),
            Field::NodeSelector => message!("node_selector {}", self.key),
            Field::Toleration => message!("a toleration of {}", self.key),
        }
    }
}

/// Items of a runner, and the lines of its file that have them today.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) items: Vec<Item>,
    pub(super) place: Place,
    /// A remark about these lines.
    pub(super) remark: Message,
    pub(super) removal: Removal,
}

/// Which lines are removed once the policy is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Removal {
    /// All lines.
    All,
    /// The list keeps these items. If there are none, all lines are removed.
    Except { list: Span, kept: Vec<Span> },
    /// No line, for this reason.
    Keep(Message),
    /// Another finding says what to do with the lines.
    Told,
}

/// An item that is a comment in the policy, with the reason.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comment {
    pub(super) why: Message,
    pub(super) item: Item,
}

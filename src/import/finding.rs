//! Findings of the report, items of a policy, and the settings of the file that become items.

use super::config_value::{ConfigValue, Span};
use super::safe_text::{Message, SafeText, message};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::rc::Rc;

/// The groups of the report. A finding is in the first group that applies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Group {
    /// The file cannot be read.
    Error,
    Dangerous,
    Conflict,
    NotTaken,
    Taken,
    /// Information about a whole file.
    Note,
}

/// A position in one of the files, for the report.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) span: Span,
    pub(super) path: Option<Rc<str>>,
}

impl Place {
    pub(super) fn new(span: Span, value: &ConfigValue) -> Self {
        let path = value.path.clone();
        Self { span, path }
    }
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { span, path: None }
    }
}

impl From<&ConfigValue> for Place {
    /// Returns the place of a value with all keys and values in it.
    fn from(value: &ConfigValue) -> Self {
        Self::new(value.extent(), value)
    }
}

/// One entry of the report.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Finding {
    /// One place, or all places of a conflict.
    pub(super) places: Vec<Place>,
    pub(super) group: Group,
    pub(super) what: Message,
    /// The next step for the reader of the report.
    pub(super) todo: Message,
}

impl Finding {
    pub(super) fn at(mut self, place: impl Into<Place>) -> Self {
        self.places.push(place.into());
        self
    }

    pub(super) fn with_todo(self, todo: Message) -> Self {
        Self { todo, ..self }
    }
}

/// The fields of a policy that an import can set.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Field {
    Alias,
    /// `dind.clientCerts`.
    ClientCerts,
    /// An entry of `dind.images`.
    Image,
    Volume,
    RegistryCa,
    NodeSelector,
    Toleration,
}

/// A field, a key, and whether the address of an alias is IPv6. A policy can have only one value
/// for the three together.
pub(super) type ConflictKey = (Field, SafeText, bool);

/// One entry of a field of a policy.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) field: Field,
    /// A hostname, a path, the host of a registry, or the key of a label.
    pub(super) key: SafeText,
    /// The entry as it is in the policy. The entry of a volume does not contain the volume's name.
    pub(super) value: Value,
    /// The name of a volume. Empty for other fields.
    pub(super) name: SafeText,
    /// The value in messages. It does not contain label values.
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
        let address = SafeText::trusted(address);
        let value = json!({"ip": address.as_str()});
        Self::new(Field::Alias, hostname, value, message!("{}", address))
    }

    /// Returns an alias whose address is the ClusterIP of a Service.
    pub(super) fn service(hostname: SafeText, namespace: &SafeText, name: &SafeText) -> Self {
        let [namespace, name] = [namespace, name].map(SafeText::as_str);
        let service = json!({"namespace": namespace, "name": name, "address": "ClusterIP"});
        let value = json!({"from": {"service": service}});
        Self::new(Field::Alias, hostname, value, Message::default())
    }

    /// Returns `clientCerts` with `onConflict: Report` if `only_report`, else with
    /// `onConflict: Replace`.
    pub(super) fn client_certs(only_report: bool) -> Self {
        let on_conflict = if only_report { "Report" } else { "Replace" };
        let value = json!({"onConflict": on_conflict, "sizeLimit": "1Mi"});
        Self::new(
            Field::ClientCerts,
            SafeText::default(),
            value,
            Message::default(),
        )
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
        let read_only = read_only.then_some(true);
        let value = json!({"mountPath": path.as_str(), "readOnly": read_only, kind: source});
        Self {
            name,
            ..Self::new(Field::Volume, path, without_nulls(value).into(), shown)
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
        Self::new(Field::NodeSelector, key, value, message!("(hidden)"))
    }

    pub(super) fn toleration(key: SafeText, value: Option<&SafeText>, effect: &str) -> Self {
        let operator = if value.is_some() { "Equal" } else { "Exists" };
        let value = value.map(SafeText::as_str);
        let effect = Some(effect).filter(|effect| !effect.is_empty());
        let toleration =
            json!({"key": key.as_str(), "operator": operator, "value": value, "effect": effect});
        let toleration = without_nulls(toleration).into();
        Self::new(Field::Toleration, key, toleration, message!("(hidden)"))
    }

    /// Returns the address of an alias.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.value.get("ip")?.as_str()?.parse().ok()
    }

    /// Returns the key for which a policy can have only one value. Returns `None` for fields that
    /// cannot conflict.
    pub(super) fn conflict_key(&self) -> Option<ConflictKey> {
        let is_ipv6 = self.address().is_some_and(|address| address.is_ipv6());
        let can_conflict = !matches!(self.field, Field::ClientCerts | Field::Toleration);
        can_conflict.then(|| (self.field, self.key.clone(), is_ipv6))
    }

    /// Returns the name of the item in messages.
    pub(super) fn subject(&self) -> Message {
        match self.field {
            Field::Alias => message!("{}", self.key),
            Field::ClientCerts => message!("clientCerts"),
            Field::Image => message!("the image {}", self.key),
            Field::Volume => message!("the volume at {}", self.key),
            Field::RegistryCa => message!("the CA of {}", self.key),
            Field::NodeSelector => message!("node_selector {}", self.key),
            Field::Toleration => message!("a toleration of {}", self.key),
        }
    }
}

/// Returns the fields of an object that are not null.
pub(super) fn without_nulls(object: Value) -> Map<String, Value> {
    let mut fields = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.retain(|_, value| !value.is_null());
    fields
}

impl PartialEq for Item {
    /// Returns whether two items have the same effect. The names of volumes may differ.
    fn eq(&self, other: &Self) -> bool {
        (self.field, &self.key, &self.value) == (other.field, &other.key, &other.value)
    }
}

/// A setting of the file that a policy can replace.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The items of the policy that have the same effect as the setting.
    pub(super) items: Vec<Item>,
    pub(super) place: Place,
    /// Text that follows the items in the report. May be empty.
    pub(super) remark: Message,
    pub(super) removal: Removal,
}

impl Setting {
    /// Returns the address of a hostname. If `other` is set, only an address of the same family.
    pub(super) fn address(&self, hostname: &str, other: Option<IpAddr>) -> Option<IpAddr> {
        let is_alias = |item: &&Item| item.field == Field::Alias && item.key.as_str() == hostname;
        let mut addresses = self.items.iter().filter(is_alias).filter_map(Item::address);
        addresses.find(|it| other.is_none_or(|other| it.is_ipv4() == other.is_ipv4()))
    }
}

/// Which lines of a setting can be removed once the policy is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Removal {
    /// All lines.
    All,
    /// All items of the list at `list`, except those at `kept`. If `kept` is empty, all lines of
    /// the setting.
    Except { list: Span, kept: Vec<Span> },
    /// No line. The message gives the reason.
    Keep(Message),
    /// Another finding about the same place has the next step.
    InOtherFinding,
}

/// An item that the policy contains as a comment, because a person must decide about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comment {
    /// Why the item is only a comment.
    pub(super) why: Message,
    pub(super) item: Item,
}

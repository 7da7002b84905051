//! What the report says: findings in four groups, each with its place and what to do.

use super::located::{Node, Span};
use super::printable::{Printable, Sentence};
use std::net::IpAddr;
use std::rc::Rc;

/// The groups of the report; a finding is in the first one that fits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Group {
    Dangerous,
    Conflict,
    NotTaken,
    Taken,
}

impl Group {
    /// In the order of the report.
    pub(super) const ALL: [Self; 4] =
        [Self::Taken, Self::Conflict, Self::NotTaken, Self::Dangerous];

    /// Its heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Dangerous => "dangerous",
            Self::Conflict => "conflicts",
            Self::NotTaken => "not taken over",
            Self::Taken => "taken over",
        }
    }

    /// Its key in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dangerous => "dangerous",
            Self::Conflict => "conflicts",
            Self::NotTaken => "notTakenOver",
            Self::Taken => "takenOver",
        }
    }
}

/// A place in one of the files.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) span: Span,
    pub(super) path: Option<Rc<str>>,
}

impl Place {
    /// The place of a value and of all that is in it.
    pub(super) fn of(file: usize, node: &Node) -> Self {
        Self {
            file,
            span: node.extent(),
            path: node.path.clone(),
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) group: Group,
    /// Where it is; of a conflict all places.
    pub(super) places: Vec<Place>,
    pub(super) what: Sentence,
    pub(super) todo: Sentence,
}

/// What a policy can hold of a configuration.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Item {
    Alias {
        hostname: Printable,
        address: IpAddr,
    },
    /// That dind is used, and whether its certificate directory is left alone.
    Dind {
        leave: bool,
    },
    Volume {
        path: Printable,
        name: Printable,
        read_only: bool,
        content: Content,
    },
    Ca {
        host: Printable,
        config_map: Printable,
        key: Printable,
    },
    Selector {
        key: Printable,
        value: Printable,
    },
    Toleration {
        key: Printable,
        value: Option<Printable>,
        effect: &'static str,
    },
}

/// Where a volume comes from.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Content {
    EmptyDir {
        in_memory: bool,
        size: Option<Printable>,
    },
    HostPath(Printable),
    /// A ConfigMap with the keys that are mounted and their paths; none stands for all.
    ConfigMap(Printable, Vec<(Printable, Printable)>),
}

impl Item {
    /// What can have only one value in a policy: a hostname in a family, a path, a host, a label
    /// key.
    pub(super) fn slot(&self) -> (u8, String) {
        match self {
            Self::Alias { hostname, address } => {
                (u8::from(address.is_ipv6()), hostname.to_string())
            }
            Self::Dind { .. } => (2, String::new()),
            Self::Volume { path, .. } => (3, path.to_string()),
            Self::Ca { host, .. } => (4, host.to_string()),
            Self::Selector { key, .. } => (5, key.to_string()),
            Self::Toleration { .. } => (6, format!("{self:?}")),
        }
    }

    /// Whether two items ask for the same. The name of a volume does not count.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Volume {
                    path,
                    read_only,
                    content,
                    ..
                },
                Self::Volume {
                    path: other_path,
                    read_only: other_read_only,
                    content: other_content,
                    ..
                },
            ) => (path, read_only, content) == (other_path, other_read_only, other_content),
            _ => self == other,
        }
    }
}

/// An item that a runner has, with the lines that ask for it today.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) item: Item,
    pub(super) place: Place,
    /// Why the lines stay although the policy has what they ask for.
    pub(super) keep: Option<Sentence>,
    /// What is worth knowing about it.
    pub(super) remark: Sentence,
    /// Whether the lines are all taken over, or which strings of a list stay.
    pub(super) removal: Removal,
}

/// What becomes of the lines of a want.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Removal {
    /// They all go.
    All,
    /// Of a list these items stay.
    Except { list: Span, kept: Vec<Span> },
    /// Nothing to remove.
    None,
}

/// Lines of YAML that a policy has as a comment, below a reason.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Comment {
    pub(super) why: Sentence,
    pub(super) lines: Vec<Sentence>,
}

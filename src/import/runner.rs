//! What one runner asks for: its aliases, its volumes and where its pods run.

use super::discovery::{Source, host};
use super::docker::Facts;
use super::finding::{Comment, Field, Finding, Item, Place, Removal, Want};
use super::located::{Entry, Node, Value};
use super::printable::{Kind, Printable, Sentence, say};
use super::{aliases, messages, patches, scheduling, volumes};
use crate::core::crd::format;
use std::collections::BTreeMap;

/// Executors without pods.
const OTHERS: &str = "docker shell ssh virtualbox parallels custom docker+machine docker-autoscaler instance docker-windows";

/// A runner of the Kubernetes executor.
pub(super) struct Runner {
    /// The index of its source.
    pub(super) source: usize,
    /// How sentences call it.
    pub(super) label: Sentence,
    /// The cluster that its pods are in; empty where nothing names one.
    pub(super) cluster: String,
    /// The namespace of its pods, where it is known.
    pub(super) namespace: Option<Printable>,
    /// Whether jobs may choose other ones, and whether each has its own.
    pub(super) has_other_namespaces: bool,
    pub(super) is_namespace_per_job: bool,
    /// Labels of its pods that have a constant value.
    pub(super) pod_labels: BTreeMap<String, String>,
    /// The value of `manager.runner.gitlab.com/name`, or why it cannot be known.
    pub(super) name: Result<String, Sentence>,
    pub(super) read: Read,
    /// Whether the file is written by a program, so that a change of it does not last.
    pub(super) is_generated: bool,
}

/// What reading a runner gives.
#[derive(Default)]
pub(super) struct Read {
    pub(super) wants: Vec<Want>,
    pub(super) comments: Vec<Comment>,
    pub(super) findings: Vec<Finding>,
}

impl Read {
    pub(super) fn find(&mut self, place: impl Into<Place>, finding: Finding) {
        self.findings.push(finding.at(place));
    }

    pub(super) fn want(&mut self, node: &Node, item: Item, removal: Removal, remark: Sentence) {
        self.wants.push(Want {
            items: vec![item],
            place: node.into(),
            remark,
            removal,
        });
    }

    pub(super) fn comment(&mut self, why: Sentence, item: Item) {
        let comment = Comment { why, item };
        if !self.comments.contains(&comment) {
            self.comments.push(comment);
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.wants.iter().flat_map(|want| &want.items)
    }
}

/// Reads a runner; none for other executors. `meant` is the same with its slips repaired, `stable`
/// the name that a chart gives it.
pub(super) fn read(
    source: &Source,
    node: &Node,
    meant: Option<&Node>,
    stable: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Option<Runner> {
    let own_name = node.text_at("name").filter(|_| !source.is_template);
    let name = own_name.or(stable);
    let label = match name {
        Some(name) => say!("runner {}", Printable::or_hidden(Kind::Name, name)),
        None => say!("the runner in line {}", node.span.line),
    };
    let empty = Node::new(Value::Table(Vec::new()), node.span);
    let kubernetes = node.at("kubernetes").unwrap_or(&empty);
    let executor = node.at("executor").filter(|executor| executor.is_set());
    let is_kubernetes = match executor {
        Some(executor) => executor.is_unknown() || executor.as_text() == Some("kubernetes"),
        None if source.is_template => true,
        None => {
            let is_other = |name: &str| node.at(name).is_some();
            node.at("kubernetes").is_some() && !OTHERS.split(' ').any(is_other)
        }
    };
    if !is_kubernetes {
        let executor = executor.map(|executor| {
            let mut known = OTHERS.split(' ');
            let known = known.find(|known| executor.as_text() == Some(known));
            known.unwrap_or("another one")
        });
        let message = messages::other_executor(label, executor.unwrap_or("none"));
        findings.push(message.at(Place {
            span: node.span,
            path: node.path.clone(),
        }));
        return None;
    }
    if let Some(entry) = kubernetes
        .entries_at("node_selector")
        .iter()
        .find(|it| is_windows(it))
    {
        findings.push(messages::windows(label).at(&entry.node));
        return None;
    }
    let facts = Facts::of(node, kubernetes);
    let mut read = requests(&facts);
    patches::read(&facts, &mut read);
    settings(&facts, &label, &mut read);
    if let Some(kubernetes) = meant.and_then(|meant| meant.at("kubernetes")) {
        intended(&facts.corrected(kubernetes), &mut read);
    }
    findings.append(&mut read.findings);
    let name = match name {
        None if source.is_template => Err(say!(
            "the name of a registration template is not that of the runner: set runners.name in the chart's values"
        )),
        None => Err(say!("it has no name: give it one")),
        Some(name) if is_pod_name(name) => Err(say!(
            "its name is that of a pod and changes with every rollout: set runners.name in the chart's values"
        )),
        Some(name) => Some(sanitized(name))
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                say!("its name has no character that a label value may have: give it another one")
            }),
    };
    let cluster = kubernetes
        .text_at("host")
        .or_else(|| kubernetes.text_at("context"));
    let cluster = cluster.map(|text| host(text).to_owned());
    let is_set = |key: &str| kubernetes.at(key).is_some_and(Node::is_set);
    Some(Runner {
        source: 0,
        label,
        cluster: cluster
            .or(source.cluster.as_ref().map(ToString::to_string))
            .unwrap_or_default(),
        namespace: kubernetes
            .text_at("namespace")
            .and_then(|name| Printable::new(Kind::Object, name)),
        has_other_namespaces: is_set("namespace_overwrite_allowed"),
        is_namespace_per_job: is_set("namespace_per_job"),
        pod_labels: pod_labels(kubernetes),
        name,
        read,
        is_generated: own_name.is_some_and(is_pod_name),
    })
}

/// What goes into a policy, if it may.
fn requests(facts: &Facts<'_>) -> Read {
    let mut read = Read::default();
    aliases::read(facts, &mut read);
    volumes::read(facts, &mut read);
    scheduling::read(facts, &mut read);
    read
}

/// What misspelt keys ask for, as comments of a policy.
fn intended(corrected: &Facts<'_>, read: &mut Read) {
    for want in requests(corrected).wants {
        for mut item in want.items {
            if read.items().any(|known| known.is_same(&item)) || item.field == Field::Dind {
                continue;
            }
            // Values of labels are shown only where a policy needs them.
            if item.field == Field::NodeSelector {
                item.value = "…".into();
            } else if let Some(value) = item.value.get_mut("value") {
                *value = "…".into();
            }
            read.comment(
                say!(
                    "meant in line {}; the runner has ignored it so far",
                    want.place.span.line
                ),
                item,
            );
        }
    }
}

/// Settings that drydock has nothing to do with and that are worth a word.
fn settings(facts: &Facts<'_>, label: &Sentence, read: &mut Read) {
    let kubernetes = facts.kubernetes;
    let has_dind = read.items().any(|item| item.field == Field::Dind);
    let environment = facts.node.at("environment");
    let speaks = facts.speaks_of_docker();
    if let Some(environment) = environment.filter(|_| speaks) {
        read.find(environment, messages::environment());
    }
    let calls_dind = has_dind || speaks && facts.remote_daemon().is_none();
    let privileged = kubernetes.at("privileged");
    match facts.is_privileged {
        Some(true) if !has_dind && !speaks => {
            let place = privileged.unwrap_or(kubernetes);
            read.find(place, messages::privileged_without_dind(label));
        }
        // Kata and Sysbox run dind without it.
        Some(false) if calls_dind && kubernetes.text_at("runtime_class_name").is_none() => {
            let place = privileged.or(environment).unwrap_or(kubernetes);
            let place = Place {
                span: place.span,
                path: place.path.clone(),
            };
            read.find(place, messages::dind_without_privileged(label));
        }
        _ => {}
    }
    if facts.is_open() && calls_dind {
        let service = facts.dind_service.map(|(service, _)| service);
        let place = service.or(environment).unwrap_or(kubernetes);
        read.find(place, messages::open_daemon());
    }
    if let (Some(node), Some(name)) = (
        kubernetes.at("service_account"),
        kubernetes.text_at("service_account"),
    ) && name != "default"
    {
        let name = Printable::or_hidden(Kind::Name, name);
        read.find(node, messages::service_account(name));
    }
    let others = [
        (
            "namespace_overwrite_allowed",
            messages::namespace_overwrite(),
        ),
        ("namespace_per_job", messages::namespace_per_job()),
    ];
    for (key, message) in others {
        if let Some(node) = kubernetes.at(key).filter(|node| node.is_set()) {
            read.find(node, message);
        }
    }
}

fn is_windows(entry: &Entry) -> bool {
    let is_build = entry.key.ends_with("kubernetes.io/windows-build");
    is_build || entry.key.ends_with("kubernetes.io/os") && entry.node.as_text() == Some("windows")
}

/// Labels with a constant value, as the runner writes them.
fn pod_labels(kubernetes: &Node) -> BTreeMap<String, String> {
    let entries = kubernetes.entries_at("pod_labels").iter();
    let labels = entries.filter_map(|entry| {
        let value = entry.node.as_text().filter(|text| !text.contains('$'))?;
        Some((entry.key.clone(), sanitized(value)))
    });
    let is_constant = |(key, value): &(String, String)| {
        // The runner writes these two itself.
        let is_runners = key == "pod" || key.contains("runner.gitlab.com");
        !is_runners && !value.is_empty() && format::LABEL_KEY.check(key).is_ok()
    };
    labels.filter(is_constant).collect()
}

/// A text as the runner writes it into the value of a label (`sanitizeLabel` of
/// executors/kubernetes/util.go).
fn sanitized(name: &str) -> String {
    let is_good = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    let value: String = name
        .chars()
        .map(|char| if is_good(char) { char } else { '_' })
        .collect();
    let ends = ['-', '_', '.'];
    let value: String = value.trim_matches(ends).chars().take(63).collect();
    value.trim_matches(ends).to_owned()
}

/// Whether a name is that of a Deployment's pod, which changes with every rollout.
fn is_pod_name(name: &str) -> bool {
    let mut parts = name.rsplit('-');
    // The API server makes hashes without vowels, so that they are no words.
    let is_hash = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        let is_good =
            |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !b"aeiouy".contains(&byte);
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(is_good))
    };
    is_hash(parts.next(), 5..=5) && is_hash(parts.next(), 8..=10) && parts.next().is_some()
}

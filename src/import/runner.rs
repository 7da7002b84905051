//! One runner: its aliases, its volumes, and where its pods run.

use super::discovery::{Source, host};
use super::docker::Facts;
use super::finding::{Comment, Field, Finding, Item, Place, Removal, Setting};
use super::node::{Entry, Node, Value};
use super::runner_manager::Manager;
use super::safe_text::{Kind, Message, SafeText, message};
use super::{aliases, chart, messages, patches, scheduling, volumes};
use crate::core::crd::format;
use std::collections::BTreeMap;

/// Executors that create no pods.
const OTHERS: &str = "docker shell ssh virtualbox parallels custom docker+machine docker-autoscaler instance docker-windows";

/// A runner of the Kubernetes executor.
pub(super) struct Runner {
    /// The index of its source.
    pub(super) source: usize,
    /// Its name in messages.
    pub(super) label: Message,
    /// The cluster of its pods; empty if the file does not name one.
    pub(super) cluster: String,
    /// The namespace of its pods, if it is known.
    pub(super) namespace: Option<SafeText>,
    /// Whether jobs may run in other namespaces, and whether each has a namespace of its own.
    pub(super) has_other_namespaces: bool,
    pub(super) is_namespace_per_job: bool,
    /// Whether a job can change the labels of its pod.
    pub(super) can_change_labels: bool,
    /// Labels of its pods that have a constant value.
    pub(super) pod_labels: BTreeMap<String, String>,
    /// The value of `manager.runner.gitlab.com/name`, or why it cannot be known.
    pub(super) name: Result<String, Message>,
    pub(super) collected: Collected,
    /// Whether a program generates the file, so that a change does not last.
    pub(super) is_generated: bool,
}

/// What is found in the table of a runner.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) settings: Vec<Setting>,
    pub(super) comments: Vec<Comment>,
    pub(super) findings: Vec<Finding>,
}

impl Collected {
    pub(super) fn report(&mut self, place: impl Into<Place>, finding: Finding) {
        self.findings.push(finding.at(place));
    }

    pub(super) fn take(&mut self, node: &Node, item: Item, removal: Removal, remark: Message) {
        self.settings.push(Setting {
            items: vec![item],
            place: node.into(),
            remark,
            removal,
        });
    }

    pub(super) fn comment(&mut self, why: Message, item: Item) {
        let comment = Comment { why, item };
        if !self.comments.contains(&comment) {
            self.comments.push(comment);
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.settings.iter().flat_map(|setting| &setting.items)
    }
}

/// Settings of a runner outside of its own table.
pub(super) struct Outside<'s> {
    pub(super) source: &'s Source,
    pub(super) manager: Option<&'s Manager>,
}

impl<'s> Outside<'s> {
    /// The value of a variable of the manager.
    pub(super) fn variable(&self, name: &str) -> Option<&'s str> {
        let values = self.source.values.as_ref();
        let of_chart = values.and_then(|values| chart::variable(values, name));
        of_chart.or_else(|| self.manager?.variable(name))
    }

    /// The name with which the chart or the manager registers the runner.
    fn name(&self) -> Option<&'s str> {
        let values = self.source.values.as_ref();
        let name = values.and_then(chart::runner_name);
        name.or_else(|| self.manager?.variable("RUNNER_NAME"))
    }

    /// The namespace of the pods: from the table, the manager's variable, or the release.
    pub(super) fn namespace(&self, kubernetes: &Node) -> Option<SafeText> {
        let name = |name| SafeText::new(Kind::Object, name);
        match kubernetes.at("namespace").filter(|node| node.is_set()) {
            Some(node) if !node.is_unknown() => node.as_text().and_then(name),
            _ => {
                let variable = self.variable("KUBERNETES_NAMESPACE").and_then(name);
                let release = self.source.namespace.clone();
                variable.or(release.filter(|_| self.source.is_template))
            }
        }
    }
}

/// Reads a runner; none if its executor creates no pods on Linux. In `meant`, misspelt keys are
/// corrected.
pub(super) fn read(
    outside: &Outside<'_>,
    node: &Node,
    meant: Option<&Node>,
    findings: &mut Vec<Finding>,
) -> Option<Runner> {
    let source = outside.source;
    let own_name = node.text_at("name").filter(|_| !source.is_template);
    let name = own_name.or_else(|| outside.name());
    let label = match name {
        Some(name) => message!("runner {}", SafeText::or_hidden(Kind::Name, name)),
        None => message!("the runner in line {}", node.span.line),
    };
    let empty = Node::new(Value::Table(Vec::new()), node.span);
    let kubernetes = node.at("kubernetes").unwrap_or(&empty);
    if let Some(executor) = other_executor(node, source.is_template) {
        let place = Place {
            span: node.span,
            path: node.path.clone(),
        };
        findings.push(messages::other_executor(label, executor).at(place));
        return None;
    }
    let mut selectors = kubernetes.entries_at("node_selector").iter();
    if let Some(entry) = selectors.find(|entry| is_windows(entry)) {
        findings.push(messages::windows(label).at(&entry.node));
        return None;
    }
    let facts = Facts::of(node, kubernetes, outside);
    let mut out = requests(&facts);
    patches::read(&facts, &mut out);
    settings(&facts, &label, &mut out);
    if let Some(kubernetes) = meant.and_then(|meant| meant.at("kubernetes")) {
        intended(&facts.corrected(kubernetes), &mut out);
    }
    findings.append(&mut out.findings);
    let cluster = kubernetes
        .text_at("host")
        .or_else(|| kubernetes.text_at("context"));
    let cluster = match cluster {
        Some(text) => host(text).to_owned(),
        None => source
            .cluster
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let is_set = |key: &str| kubernetes.at(key).is_some_and(Node::is_set);
    Some(Runner {
        source: 0,
        label,
        cluster,
        // A template most often sets the namespace of the release.
        has_other_namespaces: is_set("namespace_overwrite_allowed")
            || kubernetes.at("namespace").is_some_and(Node::is_unknown),
        namespace: facts.namespace,
        is_namespace_per_job: is_set("namespace_per_job"),
        can_change_labels: is_set("pod_labels_overwrite_allowed"),
        pod_labels: pod_labels(kubernetes),
        name: name_label(name, source.is_template),
        collected: out,
        is_generated: own_name.is_some_and(is_pod_name),
    })
}

/// The executor of a runner, unless it creates pods.
fn other_executor(node: &Node, is_template: bool) -> Option<Message> {
    let named = |name: &'static str| message!("the executor {}", name);
    match node.at("executor").filter(|executor| executor.is_set()) {
        Some(executor) if executor.is_unknown() => None,
        Some(executor) => match executor.as_text() {
            Some("kubernetes") => None,
            text => {
                let known = OTHERS.split(' ').find(|known| text == Some(known));
                Some(known.map_or_else(|| message!("an executor that is not kubernetes"), named))
            }
        },
        None => {
            let other = OTHERS.split(' ').find(|name| node.at(name).is_some());
            let is_kubernetes = is_template || node.at("kubernetes").is_some() && other.is_none();
            (!is_kubernetes).then(|| other.map_or_else(|| message!("no executor"), named))
        }
    }
}

/// The value of `manager.runner.gitlab.com/name`, or why it is unknown.
fn name_label(name: Option<&str>, is_template: bool) -> Result<String, Message> {
    match name {
        None if is_template => Err(message!(
            "the name in a registration template is not the name of the runner: set runners.name in the chart's values"
        )),
        None => Err(message!("it has no name: give it one")),
        Some(name) if is_pod_name(name) => Err(message!(
            "its name is the name of a pod, which changes with every rollout: set runners.name in the chart's values"
        )),
        Some(name) => match sanitized(name) {
            name if name.is_empty() => Err(message!(
                "its name has no character that a label value may have: give it another one"
            )),
            name => Ok(name),
        },
    }
}

/// Reads the settings that may go into a policy.
fn requests(facts: &Facts<'_>) -> Collected {
    let mut out = Collected::default();
    aliases::read(facts, &mut out);
    volumes::read(facts, &mut out);
    scheduling::read(facts, &mut out);
    out
}

/// Adds the settings of misspelt keys as comments of the policy.
fn intended(corrected: &Facts<'_>, out: &mut Collected) {
    for setting in requests(corrected).settings {
        for mut item in setting.items {
            if out.items().any(|known| known.is_same(&item)) || item.field == Field::Dind {
                continue;
            }
            // Label values are hidden, unless a policy needs them.
            if item.field == Field::NodeSelector {
                item.value = "…".into();
            } else if let Some(value) = item.value.get_mut("value") {
                *value = "…".into();
            }
            out.comment(
                message!(
                    "intended by the misspelled key in line {}; the runner has ignored it so far",
                    setting.place.span.line
                ),
                item,
            );
        }
    }
}

/// Reports settings that are dangerous or that concern the namespace.
fn settings(facts: &Facts<'_>, label: &Message, out: &mut Collected) {
    let kubernetes = facts.kubernetes;
    let has_dind = out.items().any(|item| item.field == Field::Dind);
    let environment = facts.node.at("environment");
    if let Some(environment) = environment.filter(|_| facts.has_docker_variables()) {
        out.report(environment, messages::environment());
    }
    let calls_dind = has_dind || facts.calls_dind();
    let privileged = kubernetes.at("privileged");
    match facts.is_privileged {
        Some(true) if !calls_dind => {
            let place = privileged.unwrap_or(kubernetes);
            out.report(place, messages::privileged_without_dind(label));
        }
        // Kata and Sysbox run dind without it.
        Some(false) if calls_dind && kubernetes.text_at("runtime_class_name").is_none() => {
            let place = privileged.or(environment).unwrap_or(kubernetes);
            let place = Place {
                span: place.span,
                path: place.path.clone(),
            };
            out.report(place, messages::dind_without_privileged(label));
        }
        _ => {}
    }
    if facts.is_open() && calls_dind {
        let service = facts.dind_service.map(|(service, _)| service);
        let place = service.or(environment).unwrap_or(kubernetes);
        out.report(place, messages::open_daemon());
    }
    if let (Some(node), Some(name)) = (
        kubernetes.at("service_account"),
        kubernetes.text_at("service_account"),
    ) && name != "default"
    {
        let name = SafeText::or_hidden(Kind::Name, name);
        out.report(node, messages::service_account(name, facts.namespace()));
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
            out.report(node, message);
        }
    }
}

fn is_windows(entry: &Entry) -> bool {
    let is_build = entry.key.ends_with("kubernetes.io/windows-build");
    is_build || entry.key.ends_with("kubernetes.io/os") && entry.node.as_text() == Some("windows")
}

/// Returns the labels with a constant value, as the runner writes them.
fn pod_labels(kubernetes: &Node) -> BTreeMap<String, String> {
    let entries = kubernetes.entries_at("pod_labels").iter();
    let labels = entries.filter_map(|entry| {
        let value = entry.node.as_text().filter(|text| !text.contains('$'))?;
        Some((entry.key.clone(), sanitized(value)))
    });
    let is_constant = |(key, value): &(String, String)| {
        // The runner sets these labels itself.
        let is_runners = key == "pod" || key.contains("runner.gitlab.com");
        !is_runners && !value.is_empty() && format::LABEL_KEY.check(key).is_ok()
    };
    labels.filter(is_constant).collect()
}

/// Converts a text to a label value as the runner does (`sanitizeLabel` in
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

/// Whether a name is the name of a Deployment's pod, which changes with every rollout.
fn is_pod_name(name: &str) -> bool {
    let mut parts = name.rsplit('-');
    // The API server generates hashes without vowels.
    let is_hash = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        let is_good =
            |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !b"aeiouy".contains(&byte);
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(is_good))
    };
    is_hash(parts.next(), 5..=5) && is_hash(parts.next(), 8..=10) && parts.next().is_some()
}

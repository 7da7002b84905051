//! What one runner asks for: its aliases, its volumes and where its pods run.

use super::facts::{Facts, facts};
use super::finding::{Comment, Finding, Group, Item, Place, Want};
use super::located::{Entry, Node, Value};
use super::places::{Source, host};
use super::printable::{Kind, Printable, Sentence, say};
use super::{aliases, patches, scheduling, volumes};
use std::collections::BTreeMap;

/// A runner of the Kubernetes executor.
pub(super) struct Runner {
    /// How sentences call it.
    pub(super) label: Sentence,
    /// A part of the name of its policy.
    pub(super) slug: String,
    /// The cluster that its pods are in; empty where nothing names one.
    pub(super) cluster: String,
    pub(super) namespace: Namespace,
    /// Labels of its pods that have a constant value.
    pub(super) pod_labels: BTreeMap<String, String>,
    /// The value of `manager.runner.gitlab.com/name`, or why it cannot be known.
    pub(super) name: Result<String, Sentence>,
    pub(super) wants: Vec<Want>,
    pub(super) comments: Vec<Comment>,
    /// Whether the file is written by the manager itself, so that a change of it does not last.
    pub(super) is_generated: bool,
}

/// The namespaces that the pods of a runner are in.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespace {
    pub(super) name: Option<Printable>,
    pub(super) others: bool,
    pub(super) per_job: bool,
}

/// What reading a runner gives.
#[derive(Default)]
pub(super) struct Read {
    pub(super) wants: Vec<Want>,
    pub(super) comments: Vec<Comment>,
    pub(super) findings: Vec<Finding>,
}

impl Read {
    pub(super) fn find(&mut self, group: Group, place: Place, what: Sentence, todo: Sentence) {
        self.findings.push(Finding {
            group,
            places: vec![place],
            what,
            todo,
        });
    }
}

/// Reads a runner; none for other executors. `stable` is the name that a chart gives it.
pub(super) fn read(
    source: &Source,
    node: &Node,
    meant: Option<&Node>,
    stable: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Option<Runner> {
    let file = source.file;
    let name = node.text_at("name");
    let label = match name.filter(|_| !source.is_template).or(stable) {
        Some(name) => say!("runner {}", Printable::or_hidden(Kind::Name, name)),
        None => say!("the runner in line {}", node.span.line),
    };
    let place = |node: &Node| Place::of(file, node);
    let empty = Node::new(Value::Table(Vec::new()), node.span);
    let kubernetes = node.at("kubernetes").unwrap_or(&empty);
    let executor = node.text_at("executor");
    let others = [
        "docker",
        "ssh",
        "virtualbox",
        "parallels",
        "custom",
        "machine",
        "instance",
    ];
    let is_kubernetes = match executor {
        Some(executor) => executor == "kubernetes",
        None => {
            source.is_template
                || node.at("kubernetes").is_some()
                    && !others.iter().any(|other| node.at(other).is_some())
        }
    };
    let mut skip = |place: Place, what: Sentence| {
        findings.push(Finding {
            group: Group::NotTaken,
            places: vec![place],
            what,
            todo: say!("drydock repairs pods of the Kubernetes executor on Linux"),
        });
    };
    if !is_kubernetes {
        let known = [
            "docker",
            "shell",
            "ssh",
            "virtualbox",
            "parallels",
            "custom",
            "docker+machine",
            "docker-autoscaler",
            "instance",
            "docker-windows",
        ];
        let executor = known
            .into_iter()
            .find(|known| executor == Some(known))
            .unwrap_or(if executor.is_some() {
                "another one"
            } else {
                "none"
            });
        skip(
            Place {
                file,
                span: node.span,
                path: node.path.clone(),
            },
            say!("{} has the executor {}: it makes no pods", label, executor),
        );
        return None;
    }
    let selector = kubernetes.at("node_selector");
    let is_windows = |entry: &&Entry| {
        entry.key.ends_with("kubernetes.io/os") && entry.node.as_text() == Some("windows")
    };
    if let Some(entry) = selector.and_then(|selector| selector.entries().iter().find(is_windows)) {
        skip(
            place(&entry.node),
            say!(
                "{} runs jobs on Windows, where hostAliases do not work",
                label
            ),
        );
        return None;
    }
    let facts = facts(file, node, kubernetes);
    let mut read = Read::default();
    aliases::read(&facts, &mut read);
    volumes::read(&facts, &mut read);
    scheduling::read(&facts, &mut read);
    patches::read(&facts, node, &mut read);
    settings(&facts, &label, node, &mut read);
    if let Some(meant) = meant {
        intended(&facts, meant, &mut read);
    }
    findings.append(&mut read.findings);
    let pod_like = name.is_some_and(is_pod_name);
    let name = match name.filter(|_| !source.is_template).or(stable) {
        _ if source.is_template && stable.is_none() => Err(say!(
            "the name of a registration template is not that of the runner: set runners.name in the chart's values"
        )),
        Some(name) if is_pod_name(name) => Err(say!(
            "its name is that of a pod and changes with every rollout: set runners.name in the chart's values"
        )),
        Some(name) => Some(sanitized(name))
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                say!("its name has no character that a label value may have: give it another one")
            }),
        None => Err(say!("it has no name: give it one")),
    };
    let slug = name.clone().unwrap_or_default();
    Some(Runner {
        label,
        slug,
        cluster: cluster(source, kubernetes),
        namespace: namespace(source, kubernetes),
        pod_labels: pod_labels(kubernetes),
        name,
        wants: read.wants,
        comments: read.comments,
        is_generated: pod_like && !source.is_template,
    })
}

/// Settings that drydock has nothing to do with and that are worth a word.
fn settings(facts: &Facts<'_>, label: &Sentence, node: &Node, read: &mut Read) {
    let kubernetes = facts.kubernetes;
    let has_dind = read
        .wants
        .iter()
        .any(|want| matches!(want.item, Item::Dind { .. }));
    let environment = node.at("environment");
    if let Some(environment) = environment.filter(|_| facts.speaks_of_docker()) {
        read.find(
            Group::NotTaken,
            facts.place(environment),
            say!("environment: variables of jobs stay where they are"),
            say!("keep it in the file"),
        );
    }
    let is_local = facts.remote_daemon().is_none();
    let speaks = has_dind || facts.speaks_of_docker() && is_local;
    let privileged = kubernetes.at("privileged");
    match facts.is_privileged {
        Some(true) if !has_dind && !facts.speaks_of_docker() && facts.dind_service.is_none() => {
            let what = say!(
                "{}: every container of every job is privileged, and nothing in this file needs it: no dind service, no volume of Docker",
                label
            );
            read.find(
                Group::Dangerous,
                facts.place(privileged.unwrap_or(kubernetes)),
                what,
                say!("take it out, or keep it for the runner that builds images"),
            );
        }
        Some(false) if speaks && kubernetes.text_at("runtime_class_name").is_none() => {
            let place = privileged.or(environment).unwrap_or(kubernetes);
            let span = place.span;
            let place = Place {
                span,
                ..facts.place(place)
            };
            let what = say!("{}: dind without privileged does not start", label);
            read.find(
                Group::Dangerous,
                place,
                what,
                say!("write privileged = true under [runners.kubernetes] if dind is meant to work"),
            );
        }
        _ => {}
    }
    if facts.is_open() && speaks {
        let place = facts.dind_service.or(environment).unwrap_or(kubernetes);
        let what = say!(
            "dind listens without TLS on 0.0.0.0: whoever reaches the pod is root on its node"
        );
        read.find(
            Group::Dangerous,
            facts.place(place),
            what,
            say!("leave DOCKER_TLS_CERTDIR at /certs and call port 2376"),
        );
    }
    if let Some(account) = kubernetes
        .text_at("service_account")
        .filter(|account| *account != "default")
    {
        let what = say!(
            "every job, whoever wrote it, has the rights of the ServiceAccount {}",
            Printable::or_hidden(Kind::Name, account)
        );
        let place = facts.place(kubernetes.at("service_account").unwrap_or(kubernetes));
        read.find(Group::Dangerous, place, what, say!("see what it may do: kubectl auth can-i --list --as=system:serviceaccount:NAMESPACE:NAME"));
    }
    let many = [
        (
            "namespace_overwrite_allowed",
            "jobs may ask for another namespace",
        ),
        (
            "namespace_per_job",
            "each job has a namespace of its own, which has no label",
        ),
    ];
    for (key, what) in many {
        let node = kubernetes
            .at(key)
            .filter(|node| node.is_true() || node.as_text().is_some_and(|text| !text.is_empty()));
        if let Some(node) = node {
            let todo = if key == "namespace_per_job" {
                say!("components/namespace-per-job selects them by a name prefix (docs/install.md)")
            } else {
                say!("label every namespace that it allows")
            };
            read.find(
                Group::NotTaken,
                facts.place(node),
                say!("{}: {}", key, what),
                todo,
            );
        }
    }
}

/// What misspelt keys ask for, as comments of a policy.
fn intended(facts: &Facts<'_>, meant: &Node, read: &mut Read) {
    let Some(kubernetes) = meant.at("kubernetes") else {
        return;
    };
    let corrected = Facts {
        kubernetes,
        variables: facts.variables.clone(),
        service_names: facts.service_names.clone(),
        ..*facts
    };
    let mut other = Read::default();
    aliases::read(&corrected, &mut other);
    volumes::read(&corrected, &mut other);
    scheduling::read(&corrected, &mut other);
    let is_new = |want: &&Want| {
        !read
            .wants
            .iter()
            .any(|known| known.item.is_same(&want.item))
    };
    let new: Vec<&Want> = other.wants.iter().filter(is_new).collect();
    let comments: Vec<Comment> = new
        .iter()
        .map(|want| Comment {
            why: say!(
                "meant in line {}; the runner has ignored it so far",
                want.place.span.line
            ),
            lines: super::policy::fragment(&want.item),
        })
        .collect();
    read.comments.extend(comments);
}

fn cluster(source: &Source, kubernetes: &Node) -> String {
    let of = |key: &str| kubernetes.text_at(key).map(|text| host(text).to_owned());
    of("host")
        .or_else(|| of("context"))
        .or_else(|| source.cluster.as_ref().map(ToString::to_string))
        .unwrap_or_default()
}

fn namespace(source: &Source, kubernetes: &Node) -> Namespace {
    let name = kubernetes
        .text_at("namespace")
        .and_then(|name| Printable::new(Kind::Name, name));
    // The chart runs jobs in the release's namespace.
    let release = source.namespace.clone().filter(|_| source.is_template);
    let is_set = |key: &str| {
        kubernetes.at(key).is_some_and(|node| {
            node.is_true() || node.as_text().is_some_and(|text| !text.is_empty())
        })
    };
    Namespace {
        name: name.or(release),
        others: is_set("namespace_overwrite_allowed"),
        per_job: is_set("namespace_per_job"),
    }
}

fn pod_labels(kubernetes: &Node) -> BTreeMap<String, String> {
    let entries = kubernetes
        .at("pod_labels")
        .map(Node::entries)
        .unwrap_or_default();
    let is_constant = |key: &str, value: &str| {
        !value.contains('$')
            && !value.is_empty()
            && Printable::label_value(value).is_some()
            && crate::core::crd::format::LABEL_KEY.check(key).is_ok()
            && key != "pod"
            && !key.contains("runner.gitlab.com")
    };
    let labels = entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), entry.node.as_text()?.to_owned())));
    labels
        .filter(|(key, value)| is_constant(key, value))
        .collect()
}

/// The value that the runner gives its name in a label (`sanitizeLabel` of
/// executors/kubernetes/util.go).
pub(super) fn sanitized(name: &str) -> String {
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
    let is_part = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| {
            lengths.contains(&part.len())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        })
    };
    let (last, hash) = (parts.next(), parts.next());
    // The API server makes hashes without vowels, so that they are no words.
    let is_hash = |part: Option<&str>| {
        part.is_some_and(|part| !part.contains(['a', 'e', 'i', 'o', 'u', 'y']))
    };
    is_part(last, 5..=5)
        && is_part(hash, 8..=10)
        && is_hash(last)
        && is_hash(hash)
        && parts.next().is_some()
}

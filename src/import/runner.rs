//! Converts one `[[runners]]` table to a [`Runner`]: its settings, and how to select its pods.

use super::config_value::{ConfigValue, Data, Entry};
use super::discovery::{Source, host};
use super::finding::{Comment, Field, Finding, Item, Place, Removal, Setting};
use super::runner_config::RunnerConfig;
use super::runner_manager::Manager;
use super::safe_text::{Kind, Message, SafeText, message};
use super::{aliases, chart, messages, patches, scheduling, volumes};
use crate::core::crd::format;
use std::collections::BTreeMap;

/// Executors that create no pods.
const OTHER_EXECUTORS: &str = "docker shell ssh virtualbox parallels custom docker+machine docker-autoscaler instance docker-windows";

/// A runner with the Kubernetes executor.
pub(super) struct Runner {
    /// The index of its source in `Reading::sources`.
    pub(super) source: usize,
    /// The runner's name in messages.
    pub(super) label: Message,
    /// The cluster of its job pods. Empty if the file does not name one.
    pub(super) cluster: String,
    /// The namespace of its job pods, if the file contains it.
    pub(super) namespace: Option<SafeText>,
    /// Whether jobs may run in other namespaces too.
    pub(super) has_other_namespaces: bool,
    /// Whether the runner creates a namespace for each job.
    pub(super) is_namespace_per_job: bool,
    /// Whether a job can change the labels of its pod.
    pub(super) can_change_labels: bool,
    /// The labels of its job pods whose values contain no variable.
    pub(super) pod_labels: BTreeMap<String, String>,
    /// The value of the label `manager.runner.gitlab.com/name`, or why it is unknown.
    pub(super) name_label: Result<String, &'static str>,
    pub(super) collected: Collected,
    /// Whether the file is generated, so that an edit of it would be overwritten.
    pub(super) is_generated: bool,
}

/// The settings of a runner, and the findings about its table.
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

    pub(super) fn add_setting(
        &mut self,
        value: &ConfigValue,
        item: Item,
        removal: Removal,
        remark: Message,
    ) {
        self.settings.push(Setting {
            items: vec![item],
            place: value.into(),
            remark,
            removal,
        });
    }

    pub(super) fn add_comment(&mut self, why: Message, item: Item) {
        let comment = Comment { why, item };
        if !self.comments.contains(&comment) {
            self.comments.push(comment);
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.settings.iter().flat_map(|setting| &setting.items)
    }
}

/// The configuration of a runner outside of its own table.
pub(super) struct RunnerContext<'s> {
    pub(super) source: &'s Source,
    pub(super) manager: Option<&'s Manager>,
}

impl<'s> RunnerContext<'s> {
    /// Returns the value of an environment variable of the runner manager.
    pub(super) fn variable(&self, name: &str) -> Option<&'s str> {
        let values = self.source.values.as_ref();
        let of_chart = values.and_then(|values| chart::variable(values, name));
        of_chart.or_else(|| self.manager?.variable(name))
    }

    /// Returns the name with which the chart or the manager registers the runner.
    fn registered_name(&self) -> Option<&'s str> {
        let values = self.source.values.as_ref();
        let name = values.and_then(chart::runner_name);
        name.or_else(|| self.manager?.variable("RUNNER_NAME"))
    }

    /// Returns the namespace of the job pods: from the table, else from the manager's environment,
    /// else from the Helm release.
    pub(super) fn namespace(&self, kubernetes: &ConfigValue) -> Option<SafeText> {
        let name = |name| SafeText::new(Kind::Object, name);
        match kubernetes.set_at("namespace") {
            Some(value) if !value.is_unknown() => value.as_text().and_then(name),
            _ => {
                let variable = self.variable("KUBERNETES_NAMESPACE").and_then(name);
                let release = self.source.namespace.clone();
                variable.or(release.filter(|_| self.source.is_template))
            }
        }
    }
}

/// Reads a `[[runners]]` table. Returns `None` if the runner creates no Linux pods. `corrected` is
/// the same table with misspelt keys corrected.
pub(super) fn read(
    context: &RunnerContext<'_>,
    table: &ConfigValue,
    corrected: Option<&ConfigValue>,
    findings: &mut Vec<Finding>,
) -> Option<Runner> {
    let source = context.source;
    let own_name = table.text_at("name").filter(|_| !source.is_template);
    let name = own_name.or_else(|| context.registered_name());
    let label = match name {
        Some(name) => message!("runner {}", SafeText::or_hidden(Kind::Name, name)),
        None => message!("the runner in line {}", table.span.line),
    };
    let empty = ConfigValue::new(Data::Table(Vec::new()), table.span);
    let kubernetes = table.at("kubernetes").unwrap_or(&empty);
    if let Some(executor) = other_executor(table, source.is_template) {
        let place = Place::new(table.span, table);
        findings.push(messages::other_executor(label, executor).at(place));
        return None;
    }
    let mut selectors = kubernetes.entries_at("node_selector").iter();
    if let Some(entry) = selectors.find(|entry| is_windows(entry)) {
        findings.push(messages::windows(label).at(&entry.value));
        return None;
    }
    let config = RunnerConfig::of(table, kubernetes, context);
    let mut out = policy_settings(&config);
    patches::read(&config, &mut out);
    report_other_settings(&config, &label, &mut out);
    if let Some(kubernetes) = corrected.and_then(|corrected| corrected.at("kubernetes")) {
        comment_misspelt_settings(&config.with_kubernetes(kubernetes), &mut out);
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
    let is_set = |key: &str| kubernetes.set_at(key).is_some();
    Some(Runner {
        source: 0,
        label,
        cluster,
        // If a template expression sets the namespace, it is usually the namespace of the release.
        has_other_namespaces: is_set("namespace_overwrite_allowed")
            || kubernetes
                .at("namespace")
                .is_some_and(ConfigValue::is_unknown),
        namespace: config.namespace,
        is_namespace_per_job: is_set("namespace_per_job"),
        can_change_labels: is_set("pod_labels_overwrite_allowed"),
        pod_labels: pod_labels(kubernetes),
        name_label: name_label(name, source.is_template),
        collected: out,
        is_generated: own_name.is_some_and(is_pod_name),
    })
}

/// Describes the executor of a runner. Returns `None` for the Kubernetes executor.
fn other_executor(table: &ConfigValue, is_template: bool) -> Option<Message> {
    let named = |name: &'static str| message!("the executor {}", name);
    match table.set_at("executor") {
        Some(executor) if executor.is_unknown() => None,
        Some(executor) => match executor.as_text() {
            Some("kubernetes") => None,
            text => {
                let known = OTHER_EXECUTORS.split(' ').find(|name| text == Some(name));
                Some(known.map_or_else(|| message!("an executor other than kubernetes"), named))
            }
        },
        None => {
            let mut others = OTHER_EXECUTORS.split(' ');
            let other = others.find(|name| table.at(name).is_some());
            let is_kubernetes = is_template || table.at("kubernetes").is_some() && other.is_none();
            (!is_kubernetes).then(|| other.map_or_else(|| message!("no executor"), named))
        }
    }
}

/// Returns the value of the label `manager.runner.gitlab.com/name`, or why it is unknown.
fn name_label(name: Option<&str>, is_template: bool) -> Result<String, &'static str> {
    let label = name.map(sanitized).unwrap_or_default();
    match name {
        None if is_template => Err(
            "the name in a registration template is not the name of the runner; set runners.name in the chart's values",
        ),
        None => Err("the runner has no name; set its name"),
        Some(name) if is_pod_name(name) => Err(
            "the runner's name is the name of a pod, which changes with every rollout; set runners.name in the chart's values",
        ),
        Some(_) if label.is_empty() => Err(
            "the runner's name has no character that is valid in a label value; rename the runner",
        ),
        Some(_) => Ok(label),
    }
}

/// Reads the settings that a policy can replace.
fn policy_settings(config: &RunnerConfig<'_>) -> Collected {
    let mut out = Collected::default();
    aliases::read(config, &mut out);
    volumes::read(config, &mut out);
    scheduling::read(config, &mut out);
    out
}

/// Adds settings with misspelt keys to the policy, as comments.
fn comment_misspelt_settings(corrected: &RunnerConfig<'_>, out: &mut Collected) {
    for setting in policy_settings(corrected).settings {
        for mut item in setting.items {
            if out.items().any(|known| *known == item) || item.field == Field::ClientCerts {
                continue;
            }
            // The label value of a setting that the runner ignores is not printed.
            if item.field == Field::NodeSelector {
                item.value = "…".into();
            } else if let Some(value) = item.value.get_mut("value") {
                *value = "…".into();
            }
            out.add_comment(
                message!(
                    "intended by the misspelled key in line {}; the runner has ignored this key so far",
                    setting.place.span.line
                ),
                item,
            );
        }
    }
}

/// Reports settings that no policy can replace: dangerous ones, and ones about the namespace.
fn report_other_settings(config: &RunnerConfig<'_>, label: &Message, out: &mut Collected) {
    let kubernetes = config.kubernetes;
    let has_dind = out.items().any(|item| item.field == Field::ClientCerts);
    let environment = config.table.at("environment");
    if let Some(environment) = environment.filter(|_| config.has_docker_variables()) {
        out.report(environment, messages::environment());
    }
    let uses_dind = has_dind || config.has_dind_variables();
    let privileged = kubernetes.at("privileged");
    match config.is_privileged {
        Some(true) if !uses_dind => {
            let place = privileged.unwrap_or(kubernetes);
            out.report(place, messages::privileged_without_dind(label));
        }
        // Runtimes such as Kata and Sysbox run dind without privileged.
        Some(false) if uses_dind && kubernetes.text_at("runtime_class_name").is_none() => {
            let value = privileged.or(environment).unwrap_or(kubernetes);
            let place = Place::new(value.span, value);
            out.report(place, messages::dind_without_privileged(label));
        }
        _ => {}
    }
    if config.has_dind_without_tls() && uses_dind {
        let service = config.dind_service.map(|(service, _)| service);
        let place = service.or(environment).unwrap_or(kubernetes);
        out.report(place, messages::open_daemon());
    }
    if let Some(account) = kubernetes.set_at("service_account")
        && let Some(name) = account.as_text().filter(|name| *name != "default")
    {
        let name = SafeText::or_hidden(Kind::Name, name);
        out.report(account, messages::service_account(name, config.namespace()));
    }
    if let Some(value) = kubernetes.set_at("namespace_overwrite_allowed") {
        out.report(value, messages::namespace_overwrite());
    }
    if let Some(value) = kubernetes.set_at("namespace_per_job") {
        out.report(value, messages::namespace_per_job());
    }
}

fn is_windows(entry: &Entry) -> bool {
    let is_build = entry.key.ends_with("kubernetes.io/windows-build");
    is_build || entry.key.ends_with("kubernetes.io/os") && entry.value.as_text() == Some("windows")
}

/// Returns the labels whose values contain no variable, with the values that the runner writes.
fn pod_labels(kubernetes: &ConfigValue) -> BTreeMap<String, String> {
    let entries = kubernetes.entries_at("pod_labels").iter();
    let labels = entries.filter_map(|entry| {
        let value = entry.value.as_text().filter(|text| !text.contains('$'))?;
        Some((entry.key.clone(), sanitized(value)))
    });
    let is_constant = |(key, value): &(String, String)| {
        let is_set_by_runner = key == "pod" || key.contains("runner.gitlab.com");
        !is_set_by_runner && !value.is_empty() && format::LABEL_KEY.check(key).is_ok()
    };
    labels.filter(is_constant).collect()
}

/// Converts text to a label value as the runner does (`sanitizeLabel` in
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

/// Returns whether a name looks like the name of a pod that belongs to a Deployment.
fn is_pod_name(name: &str) -> bool {
    let mut parts = name.rsplit('-');
    // Kubernetes generates suffixes of names without vowels.
    let is_hash = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        let is_good =
            |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !b"aeiouy".contains(&byte);
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(is_good))
    };
    is_hash(parts.next(), 5..=5) && is_hash(parts.next(), 8..=10) && parts.next().is_some()
}

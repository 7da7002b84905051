//! Writes policies as YAML, with comments.

use super::finding::{Comment, Field, Item, without_nulls};
use super::safe_text::{Message, SafeText};
use crate::core::crd::MAX_HOSTNAMES;
use serde_json::{Map, Value, json};

/// The schema's limit for the entries of `hostAliases`.
const MAX_ALIASES: usize = 32;
/// The schema's limit for the hostnames of one entry of `hostAliases`.
const MAX_HOSTNAMES_PER_ALIAS: usize = 64;

const NO_VOLUMES_COMMENT: &str = "    # no volumes, as in the file; without this line drydock adds an emptyDir at /var/lib/docker and the node's /lib/modules\n";
const ONLY_REPORT_COMMENT: &str =
    "    # the volume at the certificate directory is correct, so drydock must not replace it\n";

/// A policy to write.
pub(super) struct Document {
    pub(super) name: String,
    /// Key and value of the label that the policy selects. `None` for all job pods.
    pub(super) selector: Option<(SafeText, SafeText)>,
    pub(super) items: Vec<Item>,
    pub(super) comments: Vec<Comment>,
    /// The comment lines above the policy.
    pub(super) head: Vec<Message>,
}

/// Writes the policies as a YAML stream.
pub(super) fn render(documents: &[Document]) -> String {
    let pages: Vec<String> = documents.iter().flat_map(Document::pages).collect();
    pages.join("---\n")
}

impl Document {
    /// Returns the policy as YAML. Returns several policies if one cannot contain all aliases.
    fn pages(&self) -> Vec<String> {
        let (aliases, others): (Vec<&Item>, Vec<&Item>) =
            (self.items.iter()).partition(|item| item.field == Field::Alias);
        let mut pages: Vec<Vec<Value>> = vec![Vec::new()];
        let names = |entry: &Value| entry["hostnames"].as_array().map_or(0, Vec::len);
        for entry in entries(&aliases) {
            if let Some(page) = pages.last_mut() {
                let count: usize = page.iter().map(names).sum();
                if page.len() < MAX_ALIASES && count + names(&entry) <= MAX_HOSTNAMES {
                    page.push(entry);
                } else {
                    pages.push(vec![entry]);
                }
            }
        }
        let pages = pages.into_iter().enumerate();
        let page = |(index, aliases): (usize, Vec<Value>)| match index {
            0 => self.page(&self.name, aliases, &others),
            _ => self.page(&format!("{}-page-{}", self.name, index + 1), aliases, &[]),
        };
        pages.map(page).collect()
    }

    fn page(&self, name: &str, aliases: Vec<Value>, others: &[&Item]) -> String {
        let selector = self.selector.as_ref();
        let selector = selector.map(|(key, value)| json!({key.as_str(): value.as_str()}));
        let spec = without_nulls(json!({
            "priority": selector.as_ref().map(|_| 10),
            "mode": "Enforce",
            "podSelector": selector.map(|labels| json!({"matchLabels": labels})),
            "hostAliases": not_empty(aliases),
            "dind": dind(others, true),
        }));
        let policy = json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "JobPodPolicy", "metadata": {"name": name}, "spec": spec});
        let mut comments = String::new();
        for Comment { why, item } in self.comments.iter().filter(|_| name == self.name) {
            comments.push_str(&format!("  # {why}\n"));
            for line in fragment(item).lines() {
                comments.push_str(&format!("  # {line}\n"));
            }
        }
        let mut text = String::new();
        for line in &self.head {
            text.push_str(&format!("# {line}\n"));
        }
        for line in yaml(&policy).split_inclusive('\n') {
            match line.trim_end() {
                "    volumes: []" => text.push_str(NO_VOLUMES_COMMENT),
                "    clientCerts:" if others.contains(&&Item::client_certs(true)) => {
                    text.push_str(ONLY_REPORT_COMMENT);
                }
                _ => {}
            }
            text.push_str(line);
            if line == "spec:\n" {
                text.push_str(&comments);
            }
        }
        text
    }
}

/// Returns the YAML of a `spec` that contains only one item.
fn fragment(item: &Item) -> String {
    let aliases = (item.field == Field::Alias).then(|| entries(&[item]));
    let spec = json!({"hostAliases": aliases, "dind": dind(&[item], false)});
    yaml(&without_nulls(spec).into())
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

/// Returns the entries of `hostAliases`: hostnames grouped by address, in the order of the file.
fn entries(aliases: &[&Item]) -> Vec<Value> {
    let mut entries: Vec<(&Value, Vec<&str>)> = Vec::new();
    for item in aliases {
        let hostname = item.key.as_str();
        let known = entries.iter_mut().rev().find(|(of, _)| **of == item.value);
        match known {
            Some((_, names)) if names.contains(&hostname) => {}
            Some((_, names)) if names.len() < MAX_HOSTNAMES_PER_ALIAS => names.push(hostname),
            _ => entries.push((&item.value, vec![hostname])),
        }
    }
    let entry = |(value, names): (&Value, Vec<&str>)| {
        let mut entry = value.as_object().cloned().unwrap_or_default();
        entry.insert("hostnames".to_owned(), names.into());
        entry.into()
    };
    entries.into_iter().map(entry).collect()
}

/// Returns the field `dind`, if an item belongs to it. If `is_whole`, `dind` contains the list of
/// volumes even if the list is empty, because drydock adds default volumes if there is no list.
fn dind(items: &[&Item], is_whole: bool) -> Option<Map<String, Value>> {
    let of = |field: Field| items.iter().filter(move |item| item.field == field);
    let list = |field| of(field).map(|it| it.value.clone()).collect::<Vec<Value>>();
    let volumes = of(Field::Volume).map(|item| {
        let mut volume = Map::new();
        volume.insert("name".to_owned(), item.name.as_str().into());
        volume.extend(item.value.as_object().cloned().unwrap_or_default());
        Value::from(volume)
    });
    let volumes: Vec<Value> = volumes.collect();
    let has_volumes = !volumes.is_empty() || is_whole && !items.is_empty();
    let selector = of(Field::NodeSelector).map(|it| (it.key.as_str().to_owned(), it.value.clone()));
    let selector: Map<String, Value> = selector.collect();
    let mut tolerations = list(Field::Toleration);
    tolerations.sort_by_key(Value::to_string);
    let scheduling = without_nulls(json!({
        "nodeSelector": (!selector.is_empty()).then_some(selector),
        "tolerations": not_empty(tolerations),
    }));
    let dind = without_nulls(json!({
        "images": not_empty(list(Field::Image)),
        "clientCerts": of(Field::ClientCerts).next().map(|item| &item.value),
        "volumes": has_volumes.then_some(volumes),
        "registryCAs": not_empty(list(Field::RegistryCa)),
        "scheduling": (!scheduling.is_empty()).then_some(scheduling),
    }));
    (!dind.is_empty()).then_some(dind)
}

fn not_empty(list: Vec<Value>) -> Option<Vec<Value>> {
    (!list.is_empty()).then_some(list)
}

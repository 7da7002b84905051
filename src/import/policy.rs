//! Policies as YAML, commented where something was decided.

use super::finding::{Comment, Content, Item};
use super::printable::{Printable, Sentence, say};

/// What the schema allows in one policy.
const ENTRIES: usize = 32;
const PER_ENTRY: usize = 64;
const MAX_HOSTNAMES: usize = crate::core::crd::MAX_HOSTNAMES;

/// A policy that is to be written.
pub(super) struct Document {
    pub(super) name: String,
    pub(super) selector: Option<(Printable, Printable)>,
    pub(super) items: Vec<Item>,
    pub(super) comments: Vec<Comment>,
    pub(super) head: Vec<Sentence>,
}

/// Writes the policies as a YAML stream.
pub(super) fn render(documents: &[Document]) -> String {
    let pages: Vec<String> = documents.iter().flat_map(Document::pages).collect();
    pages.join("---\n")
}

/// A scalar that YAML reads back as the same string.
fn yaml(text: &Printable) -> String {
    let text = text.as_str();
    let is_word = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '/')
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "._-/".contains(char));
    let is_other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .contains(&text.to_ascii_lowercase().as_str());
    let is_address = text.matches('.').count() == 3
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_word && !is_other || is_address {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// The toleration as a flow mapping.
pub(super) fn toleration(item: &Item) -> Sentence {
    let Item::Toleration { key, value, effect } = item else {
        return Sentence::default();
    };
    let operator = match value {
        Some(value) => say!(", operator: Equal, value: {}", Quoted(value)),
        None => say!(", operator: Exists"),
    };
    let effect = if effect.is_empty() {
        say!("")
    } else {
        say!(", effect: {}", *effect)
    };
    say!("{{key: {}{}{}}}", Quoted(key), operator, effect)
}

/// A scalar in a sentence of YAML.
struct Quoted<'p>(&'p Printable);

impl super::printable::Say for Quoted<'_> {
    fn say(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&yaml(self.0))
    }
}

/// The lines of an item for a comment.
pub(super) fn fragment(item: &Item) -> Vec<Sentence> {
    match item {
        Item::Alias { hostname, address } => vec![say!(
            "hostAliases: [{{ip: {}, hostnames: [{}]}}]",
            Quoted(&Printable::address(*address)),
            Quoted(hostname)
        )],
        Item::Dind { .. } => vec![say!("dind: {{volumes: []}}")],
        Item::Volume { .. } => vec![say!("dind: {{volumes: [{}]}}", volume(item))],
        Item::Ca {
            host,
            config_map,
            key,
        } => vec![say!(
            "dind: {{registryCAs: [{{host: {}, configMap: {{name: {}, key: {}}}}}]}}",
            Quoted(host),
            Quoted(config_map),
            Quoted(key)
        )],
        Item::Selector { key, .. } => vec![say!(
            "dind: {{scheduling: {{nodeSelector: {{{}: …}}}}}}",
            Quoted(key)
        )],
        Item::Toleration { key, .. } => vec![say!(
            "dind: {{scheduling: {{tolerations: [{{key: {}}}]}}}}",
            Quoted(key)
        )],
    }
}

/// A volume as a flow mapping.
fn volume(item: &Item) -> Sentence {
    let Item::Volume {
        path,
        name,
        read_only,
        content,
    } = item
    else {
        return Sentence::default();
    };
    let source = match content {
        Content::EmptyDir { in_memory, size } => {
            let medium = in_memory.then(|| say!("medium: Memory"));
            let size = size
                .as_ref()
                .map(|size| say!("sizeLimit: {}", Quoted(size)));
            say!(
                "emptyDir: {{{}}}",
                medium.into_iter().chain(size).collect::<Vec<_>>()
            )
        }
        Content::HostPath(path) => say!("hostPath: {{path: {}}}", Quoted(path)),
        Content::ConfigMap(name, items) => {
            let items: Vec<Sentence> = items
                .iter()
                .map(|(key, path)| say!("{{key: {}, path: {}}}", Quoted(key), Quoted(path)))
                .collect();
            let items = if items.is_empty() {
                say!("")
            } else {
                say!(", items: [{}]", items)
            };
            say!("configMap: {{name: {}{}}}", Quoted(name), items)
        }
    };
    let read_only = if *read_only { ", readOnly: true" } else { "" };
    say!(
        "{{name: {}, mountPath: {}{}, {}}}",
        Quoted(name),
        Quoted(path),
        read_only,
        source
    )
}

impl Document {
    /// The policy, and more of them where it has more hostnames than one may have.
    fn pages(&self) -> Vec<String> {
        let mut pages = vec![self.page(&self.name, &self.aliases(), true)];
        let aliases = self.aliases();
        let mut page: Vec<(Printable, Vec<Printable>)> = Vec::new();
        let mut rest = Vec::new();
        for entry in aliases {
            let count: usize = page.iter().map(|(_, names)| names.len()).sum();
            if page.len() == ENTRIES || count + entry.1.len() > MAX_HOSTNAMES {
                rest.push(std::mem::take(&mut page));
            }
            page.push(entry);
        }
        rest.push(page);
        if rest.len() > 1 {
            let numbered = rest.iter().enumerate().map(|(index, page)| {
                let name = if index == 0 {
                    self.name.clone()
                } else {
                    format!("{}-page-{}", self.name, index + 1)
                };
                self.page(&name, page, index == 0)
            });
            pages = numbered.collect();
        }
        pages
    }

    /// Hostnames by address, in the order in which they were found.
    fn aliases(&self) -> Vec<(Printable, Vec<Printable>)> {
        let mut entries: Vec<(Printable, Vec<Printable>)> = Vec::new();
        for item in &self.items {
            let Item::Alias { hostname, address } = item else {
                continue;
            };
            let address = Printable::address(*address);
            let place = entries
                .iter_mut()
                .rev()
                .find(|(known, _)| *known == address);
            match place {
                Some((_, names)) if names.contains(hostname) => {}
                Some((_, names)) if names.len() < PER_ENTRY => names.push(hostname.clone()),
                _ => entries.push((address, vec![hostname.clone()])),
            }
        }
        entries
    }

    fn page(&self, name: &str, aliases: &[(Printable, Vec<Printable>)], has_dind: bool) -> String {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.head.iter().map(|line| format!("# {}", line.as_str())));
        lines.push("apiVersion: drydock.dev/v1alpha1\nkind: JobPodPolicy\nmetadata:".to_owned());
        lines.push(format!("  name: {name}\nspec:"));
        if self.selector.is_some() {
            lines.push("  priority: 10".to_owned());
        }
        lines.push("  mode: Enforce".to_owned());
        if let Some((key, value)) = &self.selector {
            lines.push(format!(
                "  podSelector:\n    matchLabels:\n      {}: {}",
                yaml(key),
                yaml(value)
            ));
        }
        for comment in self.comments.iter().filter(|_| has_dind) {
            lines.push(format!("  # {}", comment.why.as_str()));
            lines.extend(
                comment
                    .lines
                    .iter()
                    .map(|line| format!("  # {}", line.as_str())),
            );
        }
        if !aliases.is_empty() {
            lines.push("  hostAliases:".to_owned());
        }
        for (address, names) in aliases {
            let names: Vec<String> = names.iter().map(yaml).collect();
            lines.push(format!(
                "  - ip: {}\n    hostnames: [{}]",
                yaml(address),
                names.join(", ")
            ));
        }
        if has_dind {
            self.dind(&mut lines);
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn dind(&self, lines: &mut Vec<String>) {
        let others: Vec<&Item> = self
            .items
            .iter()
            .filter(|item| !matches!(item, Item::Alias { .. }))
            .collect();
        if others.is_empty() {
            return;
        }
        let leaves = others
            .iter()
            .any(|item| matches!(item, Item::Dind { leave: true }));
        lines.push("  dind:".to_owned());
        if leaves {
            lines.push("    # what sits at the certificate directory is right there, so it is only reported".to_owned());
        }
        let on_conflict = if leaves { "Report" } else { "Replace" };
        lines.push(format!(
            "    clientCerts: {{onConflict: {on_conflict}, sizeLimit: 1Mi}}"
        ));
        let volumes: Vec<Sentence> = others
            .iter()
            .filter(|item| matches!(item, Item::Volume { .. }))
            .map(|item| volume(item))
            .collect();
        if volumes.is_empty() {
            lines.push("    # no volumes, as today; without this line drydock adds an emptyDir at /var/lib/docker and the node's /lib/modules".to_owned());
            lines.push("    volumes: []".to_owned());
        } else {
            lines.push("    volumes:".to_owned());
            lines.extend(
                volumes
                    .iter()
                    .map(|volume| format!("    - {}", volume.as_str())),
            );
        }
        let mut cas = others.iter().filter_map(|item| match item {
            Item::Ca {
                host,
                config_map,
                key,
            } => Some((host, config_map, key)),
            _ => None,
        });
        if let Some(first) = cas.next() {
            lines.push("    registryCAs:".to_owned());
            for (host, config_map, key) in std::iter::once(first).chain(cas) {
                lines.push(format!(
                    "    - host: {}\n      configMap: {{name: {}, key: {}}}",
                    yaml(host),
                    yaml(config_map),
                    yaml(key)
                ));
            }
        }
        let selectors: Vec<String> = others
            .iter()
            .filter_map(|item| match item {
                Item::Selector { key, value } => {
                    Some(format!("        {}: {}", yaml(key), yaml(value)))
                }
                _ => None,
            })
            .collect();
        let mut tolerations: Vec<&&Item> = others
            .iter()
            .filter(|item| matches!(item, Item::Toleration { .. }))
            .collect();
        tolerations.sort();
        if !selectors.is_empty() || !tolerations.is_empty() {
            lines.push("    scheduling:".to_owned());
        }
        if !selectors.is_empty() {
            lines.push(format!("      nodeSelector:\n{}", selectors.join("\n")));
        }
        if !tolerations.is_empty() {
            lines.push("      tolerations:".to_owned());
            lines.extend(
                tolerations
                    .iter()
                    .map(|item| format!("      - {}", toleration(item).as_str())),
            );
        }
    }
}

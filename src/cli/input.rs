//! Reads the input of commands: files, directories, stdin and values of `--address`.

use super::{SAMPLE_POLICY, SAMPLE_POLICY_NAME};
use crate::core::crd::format;
use crate::core::policy::{
    self, Address, AddressSource, AddressSourceKind, AddressesBySource, HostAlias, Policy,
    PolicyError, PolicySet, fixed_address,
};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The file name that stands for stdin.
const STDIN: &str = "-";

/// An input file, or stdin.
pub(super) struct Input {
    /// The name of the file in messages.
    pub(super) name: String,
    /// The content, or the error from reading it.
    pub(super) text: anyhow::Result<String>,
    /// Whether the arguments name the directory of the file instead of the file.
    pub(super) is_in_directory: bool,
}

/// Reads the files in order. `-` is stdin.
///
/// # Errors
/// Returns an error if `-` is given twice, because stdin can be read only once.
pub(super) fn read_all<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> anyhow::Result<Vec<Input>> {
    let paths: Vec<_> = paths.map(|path| (path.clone(), false)).collect();
    read(&paths)
}

/// Reads files, and the YAML and JSON files of directories in the order of their names. If
/// `recursive`, also reads subdirectories.
///
/// # Errors
/// Returns the errors of [`read_all`], and an error if a directory cannot be read or contains no
/// YAML or JSON file.
pub(super) fn read_with_directories<'p>(
    paths: impl Iterator<Item = &'p PathBuf>,
    recursive: bool,
) -> anyhow::Result<Vec<Input>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push((path.clone(), false));
            continue;
        }
        let mut found = Vec::new();
        search(path, recursive, &is_manifest, &mut found)?;
        if found.is_empty() {
            let advice = if recursive {
                "give a file"
            } else {
                "give a file, or use -R to also read subdirectories"
            };
            bail!(
                "{}: no .yaml, .yml or .json file in this directory; {advice}",
                path.display()
            );
        }
        all.extend(found.into_iter().map(|path| (path, true)));
    }
    read(&all)
}

/// Returns whether `kubectl apply -f DIRECTORY` would read the file.
fn is_manifest(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    suffix.is_some_and(|suffix| ["yaml", "yml", "json"].contains(&suffix))
}

/// Appends the wanted files of a directory to `found`, in the order of their names.
pub(super) fn search(
    directory: &Path,
    recursive: bool,
    is_wanted: &dyn Fn(&Path) -> bool,
    found: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.with_context(|| format!("{} cannot be read", directory.display()))?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        // Symbolic links to directories are not followed, because they may form a cycle.
        if entry.file_type()?.is_dir() {
            if recursive {
                search(&path, recursive, is_wanted, found)?;
            }
        } else if is_wanted(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn read(paths: &[(PathBuf, bool)]) -> anyhow::Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::new();
    let mut stdin_used = false;
    for (path, is_in_directory) in paths {
        let is_stdin = path.as_os_str() == STDIN;
        if is_stdin && std::mem::replace(&mut stdin_used, true) {
            bail!("- (stdin) is given twice, but it can be read only once");
        }
        let name = if is_stdin {
            "stdin".to_owned()
        } else {
            path.display().to_string()
        };
        inputs.push(Input {
            name,
            text: if is_stdin {
                read_stdin()
            } else {
                read_file(path)
            },
            is_in_directory: *is_in_directory,
        });
    }
    Ok(inputs)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    if path.is_dir() {
        let path = path.display();
        bail!("{path} is a directory; give its files, such as {path}/*.yaml");
    }
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", path.display()))
}

fn read_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("stdin cannot be read as UTF-8 text")?;
    Ok(text)
}

/// The valid policies of several files, and the errors of the invalid ones.
#[derive(Default)]
pub(super) struct Policies {
    /// The valid policies.
    pub(super) policies: Vec<Policy>,
    /// The errors, in the order of the files.
    pub(super) errors: Vec<PolicyError>,
    /// Warnings about fields that the API server ignores.
    pub(super) ignored: Vec<PolicyError>,
    /// Maps the name of each valid policy to its file and its place in the file.
    pub(super) places: BTreeMap<String, (String, String)>,
}

/// Parses the policies of several files, given by name and content. If two files contain a policy
/// of the same name, the second policy is an error.
pub(super) fn policies(inputs: &[(String, String)]) -> Policies {
    let mut all = Policies::default();
    for (name, text) in inputs {
        let file = policy::read(name, text);
        all.errors.extend(file.errors);
        all.ignored.extend(file.ignored);
        for policy in file.policies {
            let place = file.places.get(&policy.name).cloned().unwrap_or_default();
            if let Some((file, earlier)) = all.places.get(&policy.name) {
                all.errors.push(PolicyError {
                    file: name.clone(),
                    place,
                    problem: format!(
                        "metadata.name duplicates the name \"{}\" of the policy in {file}, {earlier}; names must be unique",
                        policy.name
                    ),
                    policy: Some(policy.name),
                    is_of_another_kind: false,
                });
            } else {
                let place = (name.clone(), place);
                all.places.insert(policy.name.clone(), place);
                all.policies.push(policy);
            }
        }
    }
    all
}

/// Returns the name and the text of the built-in sample policy.
pub(super) fn sample_policy() -> (String, String) {
    (SAMPLE_POLICY_NAME.to_owned(), SAMPLE_POLICY.to_owned())
}

/// A value of `--address`: the addresses of a Service, Ingress or Gateway, and the hostnames in the
/// rules of an Ingress. The syntax is `KIND/NAMESPACE/NAME=ADDRESS[,HOSTNAME…]`.
#[derive(Clone, Debug)]
pub(super) struct SourceAddress {
    pub(super) source: AddressSource,
    addresses: Vec<IpAddr>,
    hostnames: Vec<String>,
}

impl std::str::FromStr for SourceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, values) = text
            .split_once('=')
            .ok_or_else(|| format!("\"{text}\" is not of the form KIND/NAMESPACE/NAME=ADDRESS; use a value such as ingress/cicd/gitlab-registry=10.0.0.232"))?;
        let source: AddressSource = source.parse()?;
        let (mut addresses, mut hostnames) = (Vec::new(), Vec::new());
        for value in values.split(',') {
            let is_address =
                value.contains(':') || value.chars().all(|c| c.is_ascii_digit() || c == '.');
            if is_address || addresses.is_empty() {
                let ip =
                    fixed_address(value).map_err(|problem| format!("\"{value}\" is {problem}"))?;
                addresses.push(ip);
                continue;
            }
            if source.kind != AddressSourceKind::Ingress {
                return Err(format!(
                    "\"{value}\" is a hostname, but only the address of an Ingress can have hostnames; list the hostnames of {source} in the policy"
                ));
            }
            format::HOSTNAME
                .check(value)
                .map_err(|problem| format!("\"{value}\" is {problem}"))?;
            hostnames.push(value.to_owned());
        }
        Ok(Self {
            source,
            addresses,
            hostnames,
        })
    }
}

/// Merges the values of `--address` by source. Of each IP family, policies use the first address.
pub(super) fn live_addresses(given: &[SourceAddress]) -> AddressesBySource {
    let mut live = AddressesBySource::new();
    for SourceAddress {
        source,
        addresses,
        hostnames,
    } in given
    {
        // For a Service, the value is used as the load balancer address and as the cluster IP.
        let kinds = match source.kind {
            AddressSourceKind::Service => vec![
                AddressSourceKind::Service,
                AddressSourceKind::ServiceClusterIp,
            ],
            kind => vec![kind],
        };
        for kind in kinds {
            let source = AddressSource {
                kind,
                ..source.clone()
            };
            let resolved = live.entry(source).or_default();
            resolved.addresses.extend(addresses);
            resolved.hostnames.extend(hostnames.iter().cloned());
        }
    }
    live
}

/// Returns notes about values of `--address` that are missing or that no policy uses, and about
/// hostnames that are missing or ignored.
pub(super) fn address_notes(set: &PolicySet, live: &AddressesBySource) -> Vec<String> {
    let aliases = || {
        set.policies()
            .flat_map(|policy| policy.host_aliases.iter().map(move |alias| (policy, alias)))
    };
    let uses = |alias: &HostAlias, source: &AddressSource| matches!(&alias.address, Address::Live(live) if live == source);
    let unused = live.keys().filter(|source| {
        // A Service is used if a policy uses its load balancer or its cluster IP.
        let of_kind = |kind| AddressSource {
            kind,
            ..(*source).clone()
        };
        let kinds = match source.kind {
            AddressSourceKind::Service => vec![
                of_kind(AddressSourceKind::Service),
                of_kind(AddressSourceKind::ServiceClusterIp),
            ],
            AddressSourceKind::ServiceClusterIp => return false,
            kind => vec![of_kind(kind)],
        };
        !aliases().any(|(_, alias)| kinds.iter().any(|source| uses(alias, source)))
    });
    let mut notes: Vec<String> = unused
        .map(|source| format!("--address {source}: no policy uses this address"))
        .collect();
    for (policy, alias) in aliases() {
        let Address::Live(source) = &alias.address else {
            continue;
        };
        let kind = source.kind.name();
        let flag = format!("--address {kind}/{}/{}", source.namespace, source.name);
        let (name, hostnames) = (&policy.name, &alias.hostnames);
        let Some(resolved) = live.get(source) else {
            let hostnames = if hostnames.is_empty() {
                ",HOSTNAME"
            } else {
                ""
            };
            notes.push(format!(
                "the address of {source} in policy \"{name}\" is unknown without a cluster; set {flag}=ADDRESS{hostnames}"
            ));
            continue;
        };
        if !hostnames.is_empty() {
            continue;
        }
        if resolved.hostnames.is_empty() {
            notes.push(format!(
                "policy \"{name}\" takes hostnames from the rules of {source}; set {flag}=ADDRESS,HOSTNAME"
            ));
        }
        let selected = alias.suffixes.select(&resolved.hostnames);
        for hostname in selected.outside_domains {
            notes.push(format!(
                "{flag}: hostname {hostname} is ignored, because it has none of the hostnameSuffixes of policy \"{name}\""
            ));
        }
    }
    notes
}

//! Reads files and stdin for commands.

use super::{SAMPLE_POLICY, SAMPLE_POLICY_NAME};
use crate::core::policy::{
    self, LiveAddresses, Policy, PolicyError, Source, SourceKind, fixed_address,
};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The file name of stdin.
const STDIN: &str = "-";

/// A file that was read.
pub(super) struct Input {
    /// The name in messages.
    pub(super) name: String,
    /// The content, or the error.
    pub(super) text: anyhow::Result<String>,
}

/// Reads files in the given order; `-` is stdin.
///
/// # Errors
/// If stdin is named twice: it can be read once.
pub(super) fn read_all<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> anyhow::Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::new();
    let mut stdin_used = false;
    for path in paths {
        let is_stdin = path.as_os_str() == STDIN;
        if is_stdin && std::mem::replace(&mut stdin_used, true) {
            bail!("- (stdin) is named twice; it can be read once");
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
        });
    }
    Ok(inputs)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
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

/// The valid policies of several files, and the errors of the others.
#[derive(Default)]
pub(super) struct Policies {
    /// The valid policies.
    pub(super) policies: Vec<Policy>,
    /// The errors, file by file.
    pub(super) errors: Vec<PolicyError>,
}

/// Reads the policies of several files. A name in two files is an error in the second.
pub(super) fn policies(inputs: &[(String, String)]) -> Policies {
    let mut all = Policies::default();
    // The place of each policy by its name.
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for (name, text) in inputs {
        let file = policy::read(name, text);
        all.errors.extend(file.errors);
        for policy in file.policies {
            let place = file.places.get(&policy.name).cloned().unwrap_or_default();
            if let Some(earlier) = places.get(&policy.name) {
                all.errors.push(PolicyError {
                    file: name.clone(),
                    place,
                    problem: format!(
                        "metadata.name is \"{}\", the name of the policy in {earlier} too; names must differ",
                        policy.name
                    ),
                    policy: Some(policy.name),
                });
            } else {
                places.insert(policy.name.clone(), format!("{name}, {place}"));
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

/// `--address KIND/NAMESPACE/NAME=ADDRESS`: an address of a source.
#[derive(Clone, Debug)]
pub(super) struct SourceAddress {
    pub(super) source: Source,
    address: IpAddr,
}

impl std::str::FromStr for SourceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, address) = text
            .split_once('=')
            .ok_or_else(|| format!("\"{text}\" is not KIND/NAMESPACE/NAME=ADDRESS, as in ingress/cicd/gitlab-registry=10.0.0.232"))?;
        let ip = fixed_address(address).map_err(|problem| format!("\"{address}\" is {problem}"))?;
        Ok(Self {
            source: source.parse()?,
            address: ip,
        })
    }
}

/// Collects the values of `--address`; of each family the first applies.
pub(super) fn live_addresses(given: &[SourceAddress]) -> LiveAddresses {
    let mut live = LiveAddresses::new();
    for SourceAddress { source, address } in given {
        // The address applies whichever address of the Service a policy uses.
        let kinds = match source.kind {
            SourceKind::Service => vec![SourceKind::Service, SourceKind::ServiceClusterIp],
            kind => vec![kind],
        };
        for kind in kinds {
            let source = Source {
                kind,
                ..source.clone()
            };
            live.entry(source).or_default().addresses.push(*address);
        }
    }
    live
}

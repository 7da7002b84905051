//! `host_aliases` of a runner: which of them a policy for the whole cluster may own.

use super::facts::Facts;
use super::finding::{Comment, Finding, Group, Item, Removal, Want};
use super::located::{Node, Span};
use super::printable::{Kind, Printable, Sentence, say};
use super::runner::Read;
use crate::core::crd::format;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// What becomes of a hostname.
enum Fate {
    Taken(String),
    /// Not for a policy, for this reason.
    Left(&'static str),
    /// As a comment, with lines of YAML.
    Comment(&'static str, Vec<Sentence>),
}

pub(super) fn read(facts: &Facts<'_>, read: &mut Read) {
    // A hostname in a family → its first address, and the place.
    let mut first: BTreeMap<(String, bool), (IpAddr, Span)> = BTreeMap::new();
    for entry in facts
        .kubernetes
        .at("host_aliases")
        .map(Node::items)
        .unwrap_or_default()
    {
        let names = entry.at("hostnames").map(Node::items).unwrap_or_default();
        let place = facts.place(entry);
        let address = entry.at("ip").map(|node| (node, node.as_text()));
        let (address, problem) = match address {
            Some((_, Some(text))) => address_of(text.trim()),
            Some((node, None)) if node.is_unknown() => {
                (None, Some("a template or a variable decides the address"))
            }
            _ => (None, Some("the entry has no address")),
        };
        let written = entry
            .text_at("ip")
            .map(|text| Printable::or_hidden(Kind::Address, text.trim()));
        let written = written.unwrap_or_else(|| Printable::or_hidden(Kind::Address, ""));
        let mut taken = Vec::new();
        let mut kept = Vec::new();
        let mut left: BTreeMap<&'static str, Vec<Printable>> = BTreeMap::new();
        for name in names {
            let Some(text) = name.as_text() else {
                kept.push(name.span);
                left.entry("a template or a variable decides the hostname")
                    .or_default();
                continue;
            };
            let hostname = text.trim().to_lowercase();
            let shown = Printable::or_hidden(Kind::Hostname, &hostname);
            if let Some(address) = address {
                let slot = (hostname.clone(), address.is_ipv4());
                let (earlier, span) = *first.entry(slot).or_insert((address, name.span));
                if earlier != address {
                    kept.push(name.span);
                    let places = [span, name.span]
                        .map(|span| super::finding::Place {
                            span,
                            ..place.clone()
                        })
                        .to_vec();
                    let what = say!(
                        "{} is {} and {} in one runner; the first one counts, as in /etc/hosts",
                        shown,
                        Printable::address(earlier),
                        Printable::address(address)
                    );
                    read.findings.push(Finding {
                        group: Group::Conflict,
                        places,
                        what,
                        todo: say!("keep one of them"),
                    });
                    continue;
                }
            }
            let fate = match (problem, address) {
                (Some(problem), _) => Fate::Left(problem),
                (None, Some(address)) => fate(&hostname, address, facts),
                (None, None) => Fate::Left("the entry has no address"),
            };
            match fate {
                Fate::Taken(hostname) => taken.push(hostname),
                Fate::Left(why) => {
                    kept.push(name.span);
                    left.entry(why).or_default().push(shown);
                }
                Fate::Comment(why, lines) => {
                    kept.push(name.span);
                    left.entry(why).or_default().push(shown);
                    read.comments.push(Comment {
                        why: say!("line {}: {}", name.span.line, why),
                        lines,
                    });
                }
            }
        }
        if names.is_empty() {
            left.insert(problem.unwrap_or("the entry has no hostnames"), Vec::new());
        }
        for (why, names) in left {
            let what = if names.is_empty() {
                say!("{} ({})", why, written)
            } else {
                say!("{} ({}): {}", names, written, why)
            };
            let needs_alias = facts
                .dind_service
                .filter(|_| names.iter().any(|name| name.as_str() == "docker"));
            let todo = match needs_alias {
                Some(service) => say!(
                    "write alias = \"docker\" for the service in line {}; keep the line until then",
                    service.span.line
                ),
                None if why.starts_with("a template") => say!(
                    "write it out, or import the rendered form: {}",
                    super::text::RENDERED
                ),
                None => say!("keep it in the file"),
            };
            read.find(Group::NotTaken, place.clone(), what, todo);
        }
        let list = entry.at("hostnames").map(Node::extent).unwrap_or_default();
        let removal = if kept.is_empty() {
            Removal::All
        } else {
            Removal::Except { list, kept }
        };
        for hostname in taken {
            let (Some(hostname), Some(address)) =
                (Printable::new(Kind::Hostname, &hostname), address)
            else {
                continue;
            };
            let item = Item::Alias { hostname, address };
            read.wants.push(Want {
                item,
                place: place.clone(),
                keep: None,
                remark: Sentence::default(),
                removal: removal.clone(),
            });
        }
    }
}

/// Reads an address, or says why it is none that a policy can have.
fn address_of(text: &str) -> (Option<IpAddr>, Option<&'static str>) {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| {
        !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let has_zeros = parts.len() == 4
        && parts.iter().all(is_number)
        && parts
            .iter()
            .any(|part| part.len() > 1 && part.starts_with('0'));
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    match text.parse::<IpAddr>() {
        Ok(address) if format::ADDRESS.check(&address.to_string()).is_ok() => (Some(address), None),
        Ok(address) if address.is_loopback() => (
            Some(address),
            Some("a loopback address: those are the names of the job's own services"),
        ),
        Ok(address) if address.is_unspecified() => (
            Some(address),
            Some("the unspecified address, which is no host's"),
        ),
        Ok(_) => (
            None,
            Some("an IPv6 address that begins with zeros, which no host has"),
        ),
        Err(_) if has_zeros => (
            None,
            Some("an address with leading zeros, which some read as octal: write it without them"),
        ),
        Err(_) if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() => (
            None,
            Some(
                "an address with a port, which hostAliases cannot have: the API server refuses every pod of this runner for it",
            ),
        ),
        Err(_) => (
            None,
            Some("no IP address: the API server refuses every pod of this runner for it"),
        ),
    }
}

fn fate(hostname: &str, address: IpAddr, facts: &Facts<'_>) -> Fate {
    let parts: Vec<&str> = hostname.split('.').collect();
    let line = |text: Sentence| vec![text];
    if facts
        .service_names
        .iter()
        .any(|service| service == hostname)
    {
        return Fate::Left("the name of a service of this file's jobs");
    }
    if hostname.contains('*') {
        return Fate::Left("a wildcard, which hostAliases cannot have");
    }
    if format::SUBDOMAIN.check(hostname).is_err() {
        return Fate::Left("no hostname: the API server refuses every pod of this runner for it");
    }
    if hostname.starts_with("localhost") || hostname.ends_with(".localhost") {
        return Fate::Left("a name of the job's own loopback, never a policy's");
    }
    if hostname.starts_with("kubernetes") || parts.last() == Some(&"svc") {
        return Fate::Left("a name inside the cluster, never a policy's");
    }
    if !hostname.contains('.') {
        return Fate::Left("a name without a dot, which jobs give their services");
    }
    if let [service, namespace, "svc", "cluster", "local"] = parts.as_slice() {
        let [service, namespace] =
            [*service, *namespace].map(|text| Printable::or_hidden(Kind::Name, text));
        let name = Printable::or_hidden(Kind::Hostname, hostname);
        let source = say!(
            "hostAliases: [{{from: {{service: {{namespace: {}, name: {}, address: ClusterIP}}}}, hostnames: [{}]}}]",
            namespace,
            service,
            name
        );
        return Fate::Comment(
            "a Service of the cluster, whose address may change: a policy can follow it",
            line(source),
        );
    }
    if hostname.ends_with(".svc.cluster.local") {
        return Fate::Left("a name inside the cluster, never a policy's");
    }
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => Ipv6Addr::is_unicast_link_local(&address),
    };
    if is_link_local {
        let name = Printable::or_hidden(Kind::Hostname, hostname);
        let text = say!(
            "hostAliases: [{{ip: \"{}\", hostnames: [{}]}}]",
            Printable::address(address),
            name
        );
        return Fate::Comment(
            "a link-local address, which is another host on every node",
            line(text),
        );
    }
    Fate::Taken(hostname.to_owned())
}

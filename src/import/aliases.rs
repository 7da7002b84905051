//! Decides which `host_aliases` of a runner become `hostAliases` of a policy.

use super::config_value::ConfigValue;
use super::finding::{Item, Place, Removal, Setting};
use super::messages;
use super::runner::Collected;
use super::runner_config::RunnerConfig;
use super::safe_text::{Kind, Message, SafeText, message};
use crate::core::crd::format;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A rule for hostnames that are not taken over: a predicate, which gets the hostname and the
/// hostnames of the runner's services, and the reason for the report.
type Refusal = (fn(&str, &[String]) -> bool, &'static str);
const REFUSALS: [Refusal; 7] = [
    (
        |name, services| services.iter().any(|service| service == name),
        "a service of these jobs has this hostname",
    ),
    (
        |name, _| name.contains('*'),
        "a wildcard, which hostAliases do not support",
    ),
    (
        |name, _| name.ends_with(|last: char| last.is_ascii_digit()) && name.contains(':'),
        "a hostname with a port, which hostAliases do not support",
    ),
    (
        |name, _| format::SUBDOMAIN.check(name).is_err(),
        "not a hostname, so the API server refuses every pod of this runner",
    ),
    (
        |name, _| name.starts_with("localhost") || name.ends_with(".localhost"),
        "a name of the loopback address; the import never takes over such a name",
    ),
    (
        |name, _| {
            let is_service = name.ends_with(".svc.cluster.local") && name.split('.').count() == 5;
            let is_inside = name.ends_with(".svc") || name.ends_with(".svc.cluster.local");
            name.starts_with("kubernetes") || is_inside && !is_service
        },
        "a name inside the cluster; the import never takes over such a name",
    ),
    (
        |name, _| !name.contains('.'),
        "a name without a dot, which may be the hostname of a job's service",
    ),
];

const SERVICE: &str =
    "a Service of the cluster, whose address may change; the policy can refer to the Service";
const LINK_LOCAL: &str = "a link-local address, which is a different host on every node";
const LOOPBACK: &str = "a loopback address, which in a pod is the address of the job's services";
const LEADING_ZEROS: &str =
    "an address with leading zeros, which some programs read as octal: write it without them";
const PORT: &str = "an address with a port, which hostAliases do not support, so the API server refuses every pod of this runner";

pub(super) fn read(config: &RunnerConfig<'_>, out: &mut Collected) {
    // The first address and its place, by hostname and by whether the address is IPv4.
    let mut first: BTreeMap<(String, bool), (IpAddr, Place)> = BTreeMap::new();
    for entry in config.kubernetes.items_at("host_aliases") {
        let (address, problem) = address(entry.at("ip"));
        let mut items = Vec::new();
        let mut kept = Vec::new();
        let mut not_taken: BTreeMap<&'static str, Vec<SafeText>> = BTreeMap::new();
        for name in entry.items_at("hostnames") {
            let hostname = name.as_text().map(|text| text.trim().to_lowercase());
            let shown =
                SafeText::or_hidden(Kind::Hostname, hostname.as_deref().unwrap_or_default());
            if let (Some(hostname), Some(address)) = (&hostname, address) {
                let first = first.entry((hostname.clone(), address.is_ipv4()));
                let (earlier, place) = first.or_insert_with(|| (address, name.into()));
                if *earlier != address {
                    let [one, other] = [*earlier, address].map(SafeText::trusted);
                    let message = messages::two_addresses(&shown, one, other);
                    out.findings.push(message.at(place.clone()).at(name));
                    kept.push(name.span);
                    continue;
                }
            }
            let mut refuse = |why| {
                kept.push(name.span);
                let names = not_taken.entry(why).or_default();
                names.extend(hostname.iter().map(|_| shown.clone()));
            };
            let Some(hostname) = &hostname else {
                refuse("a template or a variable sets the hostname");
                continue;
            };
            let refusal = REFUSALS
                .iter()
                .find(|(applies, _)| applies(hostname, &config.service_names));
            let problem = problem.or(refusal.map(|(_, why)| *why));
            match (problem, address, SafeText::new(Kind::Hostname, hostname)) {
                (None, Some(address), Some(hostname)) => match comment(&hostname, address) {
                    Some((why, item)) => {
                        refuse(why);
                        out.add_comment(message!("line {}: {}", name.span.line, why), item);
                    }
                    None => items.push(Item::alias(hostname, address)),
                },
                (problem, ..) => refuse(problem.unwrap_or("not a valid hostname")),
            }
        }
        if entry.items_at("hostnames").is_empty() {
            not_taken.insert(problem.unwrap_or("the entry has no hostnames"), Vec::new());
        }
        let ip = entry.text_at("ip").map(str::trim).unwrap_or_default();
        let ip = SafeText::new(Kind::Address, ip);
        for (why, names) in not_taken {
            let is_docker = names.iter().any(|name| name.as_str() == "docker");
            let what = match (names.is_empty(), &ip) {
                (true, None) => message!("{}", why),
                (true, Some(ip)) => message!("{} ({})", why, ip),
                (false, None) => message!("{}: {}", Message::list(&names), why),
                (false, Some(ip)) => message!("{} ({}): {}", Message::list(&names), ip, why),
            };
            let message = match config.dind_service.filter(|_| is_docker) {
                Some((service, _)) => messages::alias_of_dind(what, service.span.line),
                None if why.starts_with("a template") => messages::unknown_alias(what),
                None if why.contains("API server refuses")
                    || why.starts_with("the entry has no") =>
                {
                    messages::wrong_alias(what)
                }
                None if [SERVICE, LINK_LOCAL].contains(&why) => messages::commented_alias(what),
                None => messages::alias(what),
            };
            out.report(entry, message);
        }
        let list = entry
            .at("hostnames")
            .map(ConfigValue::extent)
            .unwrap_or_default();
        if !items.is_empty() {
            out.settings.push(Setting {
                items,
                place: entry.into(),
                remark: Message::default(),
                removal: Removal::Except { list, kept },
            });
        }
    }
}

/// Parses an address. Also returns the reason if a policy cannot contain the address.
fn address(value: Option<&ConfigValue>) -> (Option<IpAddr>, Option<&'static str>) {
    let Some(value) = value else {
        return (None, Some("the entry has no address"));
    };
    let Some(text) = value.as_text().map(str::trim) else {
        return (None, Some("a template or a variable sets the address"));
    };
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| {
        (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let has_zero = |part: &&str| part.len() > 1 && part.starts_with('0');
    let has_zeros = parts.len() == 4 && parts.iter().all(is_number) && parts.iter().any(has_zero);
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    let has_port = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let address = text.parse::<IpAddr>().ok();
    let problem = match address {
        Some(it) if format::ADDRESS.check(&it.to_string()).is_ok() => return (address, None),
        Some(it) if it.is_loopback() => LOOPBACK,
        Some(it) if it.is_unspecified() => "the unspecified address, which no host has",
        Some(_) => "an IPv6 address that starts with zeros, which no host has",
        None if has_zeros => LEADING_ZEROS,
        None if has_port => PORT,
        None => "ip is not an IP address, so the API server refuses every pod of this runner",
    };
    (address, Some(problem))
}

/// Returns the reason and the item if the policy must contain the alias only as a comment, because
/// a person must decide about it.
fn comment(hostname: &SafeText, address: IpAddr) -> Option<(&'static str, Item)> {
    let parts: Vec<&str> = hostname.as_str().split('.').collect();
    if let [service, namespace, "svc", "cluster", "local"] = parts.as_slice() {
        let [service, namespace] =
            [*service, *namespace].map(|it| SafeText::or_hidden(Kind::Name, it));
        let item = Item::service(hostname.clone(), &namespace, &service);
        return Some((SERVICE, item));
    }
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let item = || Item::alias(hostname.clone(), address);
    is_link_local.then(|| (LINK_LOCAL, item()))
}

//! Selects hostnames from the rules of an Ingress (H7). A user who can edit the Ingress controls
//! its rules, and must not be able to redirect arbitrary hostnames in job pods.

use super::AddressSource;
use crate::core::crd::MAX_INGRESS_HOSTNAMES;
use std::collections::{BTreeMap, BTreeSet};

/// The hostnames from the rules of each Ingress, as recorded in the status of a policy.
pub type RecordedHostnames = BTreeMap<AddressSource, BTreeSet<String>>;

/// The hostnames that an entry of `hostAliases` accepts from the rules of an Ingress.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostnameSuffixes {
    /// The hostnames in one of these domains.
    Domains(Vec<String>),
    /// The hostnames recorded in the status, for a stored policy without domains.
    Recorded(BTreeSet<String>),
}

/// The hostnames of an Ingress, in the order of its rules.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct IngressHostnames<'a> {
    /// The accepted hostnames.
    pub accepted: Vec<&'a str>,
    /// The hostnames outside of the domains.
    pub outside_domains: Vec<&'a str>,
    /// The hostnames in a domain that exceed `MAX_INGRESS_HOSTNAMES`.
    pub over_limit: Vec<&'a str>,
}

impl HostnameSuffixes {
    /// Returns whether the policy has no domains.
    pub fn are_missing(&self) -> bool {
        matches!(self, Self::Recorded(_))
    }

    /// Sorts hostnames into accepted and rejected ones.
    pub fn select<'a>(&self, hostnames: &'a [String]) -> IngressHostnames<'a> {
        let mut all = IngressHostnames::default();
        for hostname in hostnames {
            let list = if !self.include(hostname) {
                &mut all.outside_domains
            } else if all.accepted.len() < MAX_INGRESS_HOSTNAMES {
                &mut all.accepted
            } else {
                &mut all.over_limit
            };
            list.push(hostname);
        }
        all
    }

    /// Returns whether a hostname is equal to a domain or is a subdomain of it. `evilmylab.com` is
    /// not a subdomain of `mylab.com`.
    fn include(&self, hostname: &str) -> bool {
        let domains = match self {
            Self::Domains(domains) => domains,
            Self::Recorded(hostnames) => return hostnames.contains(hostname),
        };
        domains.iter().any(|domain| {
            hostname
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::HostnameSuffixes;
    use crate::core::crd::MAX_INGRESS_HOSTNAMES;
    use rstest::rstest;

    #[rstest]
    #[case::the_domain("mylab.com", true)]
    #[case::below_it("gitlab.mylab.com", true)]
    #[case::far_below_it("a.b.mylab.com", true)]
    #[case::another_of_the_same_end("evilmylab.com", false)]
    #[case::above_it("com", false)]
    #[case::elsewhere("github.com", false)]
    #[case::the_domain_in_the_middle("mylab.com.evil.org", false)]
    #[case::the_second_domain("registry.lan", true)]
    fn h7_a_suffix_ends_at_a_dot(#[case] hostname: &str, #[case] expected: bool) {
        let suffixes = HostnameSuffixes::Domains(vec!["mylab.com".to_owned(), "lan".to_owned()]);
        let hostnames = [hostname.to_owned()];
        let all = suffixes.select(&hostnames);
        assert_eq!(all.accepted.len(), usize::from(expected));
        assert_eq!(all.outside_domains.len(), usize::from(!expected));
    }

    #[test]
    fn h7_hostnames_over_the_limit_are_not_accepted() {
        let suffixes = HostnameSuffixes::Domains(vec!["lab".to_owned()]);
        let one = |number: usize| [format!("h{number}.lab"), format!("h{number}.com")];
        let hostnames: Vec<String> = (0..MAX_INGRESS_HOSTNAMES + 2).flat_map(one).collect();
        let all = suffixes.select(&hostnames);
        assert_eq!(all.accepted.len(), MAX_INGRESS_HOSTNAMES);
        assert_eq!(all.over_limit, ["h64.lab", "h65.lab"]);
        assert_eq!(all.outside_domains.len(), MAX_INGRESS_HOSTNAMES + 2);
    }
}

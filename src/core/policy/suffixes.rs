//! Which hostnames are taken from the rules of an Ingress (H7). Who may edit the Ingress chooses them, and every job resolves them.

use super::Source;
use crate::core::crd::HOSTNAMES_OF_RULES;
use std::collections::{BTreeMap, BTreeSet};

/// The hostnames that a policy has taken from the rules of each Ingress, as its status has recorded them.
pub type Recorded = BTreeMap<Source, BTreeSet<String>>;

/// Which hostnames of the rules of an Ingress are taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostnameSuffixes {
    /// Those that belong to one of these domains.
    Domains(Vec<String>),
    /// Those that were taken before: the policy is stored, and names no domains.
    Recorded(BTreeSet<String>),
}

/// Hostnames of rules, in their order.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Taken<'a> {
    /// Those that are taken.
    pub taken: Vec<&'a str>,
    /// Those that belong to none of the domains.
    pub outside: Vec<&'a str>,
    /// Those that do, but are too many.
    pub too_many: Vec<&'a str>,
}

impl HostnameSuffixes {
    /// Whether the policy names no domains.
    #[must_use]
    pub fn are_missing(&self) -> bool {
        matches!(self, Self::Recorded(_))
    }

    /// Returns which hostnames are taken, and which are not.
    #[must_use]
    pub fn take<'a>(&self, hostnames: &'a [String]) -> Taken<'a> {
        let mut all = Taken::default();
        for hostname in hostnames {
            let list = if !self.include(hostname) {
                &mut all.outside
            } else if all.taken.len() < HOSTNAMES_OF_RULES {
                &mut all.taken
            } else {
                &mut all.too_many
            };
            list.push(hostname);
        }
        all
    }

    /// Whether a hostname is taken; that it is one of the domains or below one: a suffix ends at a dot.
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
    use crate::core::crd::HOSTNAMES_OF_RULES;
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
        let all = suffixes.take(&hostnames);
        assert_eq!(all.taken.len(), usize::from(expected));
        assert_eq!(all.outside.len(), usize::from(!expected));
    }

    #[test]
    fn h7_so_many_hostnames_are_taken_and_no_more() {
        let suffixes = HostnameSuffixes::Domains(vec!["lab".to_owned()]);
        let one = |number: usize| [format!("h{number}.lab"), format!("h{number}.com")];
        let hostnames: Vec<String> = (0..HOSTNAMES_OF_RULES + 2).flat_map(one).collect();
        let all = suffixes.take(&hostnames);
        assert_eq!(all.taken.len(), HOSTNAMES_OF_RULES);
        assert_eq!(all.too_many, ["h64.lab", "h65.lab"]);
        assert_eq!(all.outside.len(), HOSTNAMES_OF_RULES + 2);
    }
}

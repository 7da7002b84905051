//! Findings about a cluster, computed from facts. Pure: `cli::doctor` reads the facts from the API
//! server.
//!
//! ```text
//! Facts ─► installed, replicas, admission    is drydock there, does it answer
//!       ─► works                             is a job pod repaired, now
//!       ─► namespaces, runners, policies     is there something to repair, by which policy
//!       ─► others                            who else changes job pods
//!       ─► pod                               one pod that exists
//!                                          ─► Report
//! ```
//!
//! A fact that could not be read is a finding of its own.
//! A check is one line; a finding also says what it means for a job, and which command to run next.

pub mod admission;
pub mod facts;
pub mod installation;
mod installed;
mod labels;
mod namespaces;
mod others;
mod pod;
mod pod_security;
mod policies;
pub mod policy_set;
pub mod probe;
mod quotas;
mod refusal;
mod replicas;
pub mod report;
pub mod rights;
pub mod runner;
mod runners;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod words;
mod works;

pub use facts::Facts;
pub use namespaces::{OptedIn, opted_in};
pub use report::Report;

use report::Section;

/// Returns what is right and what is wrong with a cluster.
#[must_use]
pub fn diagnose(facts: &Facts) -> Report {
    if let Some(asked) = &facts.pod {
        let sections = vec![Section::new("Pod", pod::checks(facts, asked))];
        return Report { sections };
    }
    let mut installed = installed::checks(facts);
    installed.extend(replicas::checks(facts));
    installed.extend(admission::checks(facts));
    let mut namespaces = namespaces::checks(facts);
    namespaces.extend(quotas::checks(facts));
    let mut sections = vec![
        Section::new("Installed", installed),
        Section::new("Works", works::checks(facts)),
        Section::new("Namespaces", namespaces),
        Section::new("Runners", runners::checks(facts)),
        Section::new("Policies", policies::checks(facts)),
        Section::new("Other webhooks", others::checks(facts)),
    ];
    sections.retain(|section| !section.checks.is_empty());
    Report { sections }
}

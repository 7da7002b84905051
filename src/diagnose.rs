//! Findings about a cluster, computed from facts. Pure: `cli::doctor` reads the facts from the API
//! server.
//!
//! ```text
//! Facts ─► view                              what follows at once: installation, namespaces
//!       ─► installed, replicas, admission    is drydock there, does it answer
//!       ─► works                             is a job pod repaired, now
//!       ─► namespaces, runners, policies     is there something to repair, by which policy
//!       ─► others                            who else changes job pods
//!       ─► pod                               one pod that exists
//!                                          ─► Report
//! ```
//!
//! A fact that could not be read is a finding of its own.
//! A check is one line; a finding also says what it means for a job, and which command to run next.
//! `finding` has their texts.

pub mod dry_run_pods;
pub mod facts;
pub mod finding;
pub mod installation;
mod installed;
mod label_selector;
mod namespaces;
mod other_webhooks;
mod pod;
mod pod_security;
mod policies;
pub mod policy_set;
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
mod text;
pub mod view;
pub mod webhook_metrics;
mod works;

pub use facts::Facts;
pub use report::Report;
pub use view::View;

use report::Section;

/// Returns what is right and what is wrong with a cluster.
#[must_use]
pub fn diagnose(facts: &Facts) -> Report {
    let view = View::of(facts);
    if let Some(asked) = &facts.pod {
        let sections = vec![Section::new("Pod", pod::checks(&view, asked))];
        return Report { sections };
    }
    let mut installed = installed::checks(&view);
    installed.extend(replicas::checks(&view));
    installed.extend(webhook_metrics::checks(&view));
    let mut namespaces = namespaces::checks(&view);
    namespaces.extend(quotas::checks(&view));
    let mut sections = vec![
        Section::new("Installed", installed),
        Section::new("Works", works::checks(&view)),
        Section::new("Namespaces", namespaces),
        Section::new("Runners", runners::checks(&view)),
        Section::new("Policies", policies::checks(&view)),
        Section::new("Other webhooks", other_webhooks::checks(&view)),
    ];
    sections.retain(|section| !section.checks.is_empty());
    Report { sections }
}

//! Computes the findings of `drydock doctor` from facts about a cluster. This module does no I/O:
//! `cli::doctor` reads the facts from the API server.
//!
//! ```text
//! Facts ─► View ─► installed, replicas, webhook_metrics    is drydock installed and reachable?
//!               ─► works                                   is a job pod repaired?
//!               ─► namespaces, quotas                      which namespaces have opted in?
//!               ─► runners, policies                       which jobs are repaired, and how?
//!               ─► other_webhooks                          which other webhooks are called?
//!               ─► pod                                     what did drydock change in a pod?
//!                                                       ─► Report
//! ```
//!
//! A failed request to the API server is a finding too. A check has one line of text; a finding
//! also has its meaning for a job and the commands to run next. The module `finding` contains
//! these texts.

pub mod dry_run_pods;
pub mod facts;
pub mod finding;
pub mod installation;
mod installed;
mod label_selector;
mod namespaces;
mod other_webhooks;
pub mod permissions;
mod pod;
mod pod_security;
mod policies;
pub mod policy_set;
mod quotas;
mod refusal;
mod replicas;
pub mod report;
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

/// Returns the report about the cluster or, with `--pod`, about one pod.
#[must_use]
pub fn diagnose(facts: &Facts) -> Report {
    let view = View::of(facts);
    if let Some(inspected) = &facts.pod {
        let sections = vec![Section::new("Pod", pod::checks(&view, inspected))];
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

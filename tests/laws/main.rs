//! The laws of the contract, over generated pods and policies: fixpoint, effect, frame, validity.
//!
//! `cargo test --test laws` draws the same cases each time. To look further: `PROPTEST_CASES=100000
//! PROPTEST_RNG_SEED=7 cargo test --test laws`. A failure prints the policies and the pod as YAML;
//! put the pair into `laws/regressions.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect is to fail"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the modules of a test are nobody's library"
)]

mod case;
#[path = "../../src/testing/cases.rs"]
mod cases;
mod certificate_directories;
mod client_certs;
mod container_start;
mod desired;
mod docker_connection;
mod docker_setups;
mod generated_pods;
mod generated_policies;
mod generated_volumes;
mod host_aliases;
mod mount_changes;
mod mount_effects;
mod pod_model;
mod regressions;
mod unchanged_fields;
mod verdict;

use case::{Case, Run};
use desired::{Desired, desired};
use drydock::core::pod::Pod;
use drydock::core::policy::Mode;
use drydock::core::rules::Audience;
use mount_changes::View;
use pod_model::Answer;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::collections::BTreeSet;

type Law = Result<(), TestCaseError>;

fn config() -> Config {
    Config {
        max_shrink_iters: 50_000,
        ..cases::config(3_000)
    }
}

prop_compose! {
    fn case()(
        policies in generated_policies::policies(),
        live in generated_policies::live(),
        audits in proptest::bool::weighted(0.05),
        pod in generated_pods::pod(),
    ) -> Case {
        let namespace_mode = if audits { Mode::Audit } else { Mode::Enforce };
        Case { policies, live, namespace_mode, pod }
    }
}

/// Whether the API server refuses the pod anyway, for a reason that makes its mounts ambiguous.
fn is_faulty(case: &Case) -> bool {
    !unchanged_fields::faults(&case.pod).is_empty()
}

/// Checks a law on the mounts of a changed pod, if the contract defines the result.
fn with_mounts(case: &Case, law: impl Fn(&View<'_>) -> Law) -> Law {
    let run = case.run();
    let desired = desired(case);
    let dind = desired.as_ref().and_then(|desired| desired.dind.as_ref());
    let directories = dind
        .map(|dind| certificate_directories::directories(&case.pod, dind))
        .unwrap_or_default();
    let is_open = is_faulty(case) || directories.iter().any(|directory| directory.overlaps);
    if run.outcome == "denied" || is_open {
        return Ok(());
    }
    law(&View::new(&case.pod, &run, dind, &directories)?)
}

fn hosts_law(case: &Case, run: &Run, desired: &Desired<'_>) -> Law {
    if run.outcome == "denied" {
        return Ok(());
    }
    host_aliases::owned_hostnames_resolve(run, desired)?;
    let movers = host_aliases::all_else_stays(case, run, desired)?;
    host_aliases::shadowed_hostnames_are_told(case, run, desired)?;
    unchanged_fields::annotations_say_it(case, run, Some(desired), &movers)
}

/// Enough of the generated pods work for the law about working pods to be meaningful.
#[test]
fn many_generated_pods_work() {
    let (mut runner, pods) = (TestRunner::new(config()), generated_pods::pod());
    let drawn = (0..1000).map(|_| pods.new_tree(&mut runner).unwrap().current());
    let answers: Vec<Answer> = drawn.map(|pod| docker_connection::meets(&pod)).collect();
    let count = |desired| answers.iter().filter(|answer| **answer == desired).count();
    let (yes, no) = (count(Answer::Yes), count(Answer::No));
    assert!(yes >= 100 && no >= 100, "{yes} work, {no} do not");
}

proptest! {
    #![proptest_config(config())]

    /// A2: fixpoint.
    #[test]
    fn a_second_plan_changes_nothing(case in case()) {
        let run = case.run();
        prop_assert_eq!(run.patch.is_some(), run.outcome == "mutated", "P4");
        if run.patch.is_some() {
            let (audited, names) = case.judge(&case.pod, |verdict| (verdict.audited.changes.len(), format!("{:?}", verdict.outcome)));
            case.judge(&run.output, |verdict| {
                let changes: Vec<String> = verdict.enforced.changes.iter().map(ToString::to_string).collect();
                prop_assert!(changes.is_empty() && verdict.patch.is_none(), "A2: {} and again: {:?}", names, changes);
                prop_assert!(verdict.enforced.denial.is_none(), "A2: what was changed is refused");
                prop_assert_eq!(verdict.audited.changes.len(), audited, "M5: Audit policies speak about the result");
                Ok(())
            })?;
        }
    }

    /// A3; and the patched original equals the pod in the memory of the rules.
    #[test]
    fn the_patch_applies_and_does_what_was_planned(case in case()) {
        let run = case.run();
        unchanged_fields::the_patch_is_plain(&case, &run)?;
        if run.patch.is_some() {
            let text = run.output.to_string();
            let read = Pod::from_json(&text).unwrap();
            prop_assert_eq!(case::picture(&read), case.picture());
        }
    }

    /// H1 to H7, A5.
    #[test]
    fn owned_hostnames_resolve_as_the_policies_say(case in case()) {
        let (run, desired) = (case.run(), desired(&case));
        match &desired {
            Some(desired) => hosts_law(&case, &run, desired)?,
            None => unchanged_fields::annotations_say_it(&case, &run, None, &BTreeSet::new())?,
        }
    }

    /// D3, D5, D7, D9, and D2, D6, D8 where they leave a directory alone.
    #[test]
    fn the_certificate_directory_is_shared_and_writable(case in case()) {
        let (run, desired) = (case.run(), desired(&case));
        if let Some(dind) = desired.and_then(|desired| desired.dind) && !is_faulty(&case) {
            let directories = certificate_directories::directories(&case.pod, &dind);
            client_certs::denied_where_it_conflicts(&run, &dind, &directories)?;
            for directory in directories.iter().filter(|_| run.outcome != "denied") {
                client_certs::directory_is_shared(&case.pod, &run, &dind, directory)?;
                client_certs::left_alone_is_left(&case.pod, &run, &dind, directory)?;
            }
        }
    }

    /// V1 to V7, D1.
    #[test]
    fn desired_volumes_are_mounted(case in case()) {
        with_mounts(&case, |view| {
            view.desired_volumes_are_mounted()?;
            view.undecided_images_are_told()
        })?;
    }

    /// R1, D8.
    #[test]
    fn registry_cas_and_relocated_volumes_are_mounted(case in case()) {
        with_mounts(&case, |view| {
            view.registry_cas_are_mounted()?;
            view.displaced_volumes_are_relocated()?;
            view.displaced_mounts_are_told()
        })?;
    }

    /// A1: frame.
    #[test]
    fn other_fields_are_unchanged(case in case()) {
        let (run, desired) = (case.run(), desired(&case));
        unchanged_fields::all_else_is_as_it_was(&case, &run)?;
        if run.outcome != "denied" {
            let dind = desired.as_ref().and_then(|desired| desired.dind.as_ref());
            unchanged_fields::scheduling_is_added(&case, &run, dind)?;
        }
        with_mounts(&case, |view| view.every_new_mount_has_a_reason())?;
    }

    /// Kubelet, dind and client still work in the changed pod (see `laws/docker_connection.rs`).
    #[test]
    fn a_working_pod_still_works(case in case()) {
        let case = case.with_sensible_volumes();
        let run = case.run();
        if run.outcome != "denied" && !is_faulty(&case) {
            let (before, after) = (docker_connection::daemons_up(&case.pod), docker_connection::daemons_up(&run.output));
            let is_contested = before > 0 && after > before;
            // D2: each of two daemons with one directory overwrites the other's CA; this is
            // reported.
            let desired = desired(&case);
            let dind = desired.as_ref().and_then(|desired| desired.dind.as_ref());
            let is_shared = dind.is_some_and(|dind| {
                let directories = certificate_directories::directories(&case.pod, dind);
                directories.iter().any(|directory| directory.dinds.len() > 1)
            });
            if docker_connection::meets(&case.pod) == Answer::Yes && !is_contested && !is_shared {
                prop_assert_eq!(docker_connection::meets(&run.output), Answer::Yes, "client and daemon met before");
            }
            for kept in docker_connection::other_files::files(&case.pod) {
                let is_readable = docker_connection::other_files::is_readable(&case.pod, &run.output, &kept);
                prop_assert!(is_readable, "{:?} is not readable any more", kept);
            }
        }
    }

    /// A4: validity.
    #[test]
    fn the_pod_has_no_new_validation_error(case in case()) {
        unchanged_fields::no_less_valid(&case, &case.run())?;
    }

    /// M1, M5: the order of the files and Audit policies make no difference to the pod.
    #[test]
    fn only_rank_and_mode_decide(case in case()) {
        let run = case.run();
        let mut other = case.clone();
        other.policies.reverse();
        other.policies.retain(|policy| policy["spec"]["mode"] != "Audit");
        let same = other.run();
        prop_assert_eq!(&run.patch, &same.patch);
        let warned = case.judge(&case.pod, |verdict| verdict.findings(Audience::Author).all(|(note, _)| note.warning("drydock").chars().count() <= 120));
        prop_assert!(warned, "T3: an API warning has at most 120 characters");
    }
}

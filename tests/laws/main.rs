//! Property tests of the rules in `docs/rules.md` over generated pods and policies: a second plan
//! changes nothing, the required changes are made, other fields are unchanged, the pod stays valid.
//!
//! `cargo test --test laws` generates the same cases each time. For more and other cases, run
//! `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=7 cargo test --test laws`. A failure prints the
//! policies and the pod as YAML; add them to `laws/regressions.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the modules of a test are not a public API"
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

/// Returns whether the API server would reject the original pod because its mounts are ambiguous.
fn is_faulty(case: &Case) -> bool {
    !unchanged_fields::faults(&case.pod).is_empty()
}

/// Checks a law on the mounts of a changed pod, if the rules define the result.
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

fn host_aliases_law(case: &Case, run: &Run, desired: &Desired<'_>) -> Law {
    if run.outcome == "denied" {
        return Ok(());
    }
    host_aliases::owned_hostnames_resolve(run, desired)?;
    let changing_policies = host_aliases::other_entries_are_unchanged(case, run, desired)?;
    host_aliases::shadowed_hostnames_are_reported(case, run, desired)?;
    unchanged_fields::annotations_are_correct(case, run, Some(desired), &changing_policies)
}

/// Enough generated pods work, and enough do not, for the law about working pods to be meaningful.
#[test]
fn many_generated_pods_work() {
    let (mut runner, pods) = (TestRunner::new(config()), generated_pods::pod());
    let drawn = (0..1000).map(|_| pods.new_tree(&mut runner).unwrap().current());
    let answers: Vec<Answer> = drawn.map(|pod| docker_connection::works(&pod)).collect();
    let count = |desired| answers.iter().filter(|answer| **answer == desired).count();
    let (yes, no) = (count(Answer::Yes), count(Answer::No));
    assert!(
        yes >= 100 && no >= 100,
        "too few of a kind: {yes} pods work, {no} do not"
    );
}

proptest! {
    #![proptest_config(config())]

    /// Planning is idempotent (rule A2).
    #[test]
    fn a_second_plan_changes_nothing(case in case()) {
        let run = case.run();
        prop_assert_eq!(run.patch.is_some(), run.outcome == "mutated", "patch and outcome disagree (P4)");
        if run.patch.is_some() {
            let (audited, names) = case.judge(&case.pod, |verdict| (verdict.audited.changes.len(), format!("{:?}", verdict.outcome)));
            case.judge(&run.output, |verdict| {
                let changes: Vec<String> = verdict.enforced.changes.iter().map(ToString::to_string).collect();
                prop_assert!(changes.is_empty() && verdict.patch.is_none(), "a second plan after {} made changes (A2): {:?}", names, changes);
                prop_assert!(verdict.enforced.denial.is_none(), "the changed pod is denied (A2)");
                prop_assert_eq!(verdict.audited.changes.len(), audited, "Audit policies report other changes for the changed pod (M5)");
                Ok(())
            })?;
        }
    }

    /// The patch always applies (rule A3), and the patched pod equals the pod to which the changes
    /// were applied in memory.
    #[test]
    fn the_patch_applies_and_has_the_planned_effect(case in case()) {
        let run = case.run();
        unchanged_fields::the_patch_always_applies(&case, &run)?;
        if run.patch.is_some() {
            let text = run.output.to_string();
            let read = Pod::from_json(&text).unwrap();
            prop_assert_eq!(case::changed_parts(&read), case.changed_parts());
        }
    }

    /// Rules H1 to H7 and A5.
    #[test]
    fn hostnames_of_policies_have_the_addresses_of_the_policies(case in case()) {
        let (run, desired) = (case.run(), desired(&case));
        match &desired {
            Some(desired) => host_aliases_law(&case, &run, desired)?,
            None => unchanged_fields::annotations_are_correct(&case, &run, None, &BTreeSet::new())?,
        }
    }

    /// Rules D3, D5, D7 and D9, and the cases of D2, D6 and D8 in which a directory is unchanged.
    #[test]
    fn the_certificate_directory_is_shared_and_writable(case in case()) {
        let (run, desired) = (case.run(), desired(&case));
        if let Some(dind) = desired.and_then(|desired| desired.dind) && !is_faulty(&case) {
            let directories = certificate_directories::directories(&case.pod, &dind);
            client_certs::denied_if_and_only_if_in_conflict(&run, &dind, &directories)?;
            for directory in directories.iter().filter(|_| run.outcome != "denied") {
                client_certs::directory_is_shared(&case.pod, &run, &dind, directory)?;
                client_certs::unchanged_directories_keep_their_mounts(&case.pod, &run, &dind, directory)?;
            }
        }
    }

    /// Rules V1 to V7 and D1.
    #[test]
    fn desired_volumes_are_mounted(case in case()) {
        with_mounts(&case, |view| {
            view.desired_volumes_are_mounted()?;
            view.undecided_images_are_reported()
        })?;
    }

    /// Rules R1 and D8.
    #[test]
    fn registry_cas_and_relocated_volumes_are_mounted(case in case()) {
        with_mounts(&case, |view| {
            view.registry_cas_are_mounted()?;
            view.displaced_volumes_are_relocated()?;
            view.displaced_mounts_are_reported()
        })?;
    }

    /// Fields that no rule writes are unchanged, and each new mount has a reason (rule A1).
    #[test]
    fn other_fields_are_unchanged(case in case()) {
        let (run, desired) = (case.run(), desired(&case));
        unchanged_fields::fields_without_rules_are_unchanged(&case, &run)?;
        if run.outcome != "denied" {
            let dind = desired.as_ref().and_then(|desired| desired.dind.as_ref());
            unchanged_fields::scheduling_is_added(&case, &run, dind)?;
        }
        with_mounts(&case, |view| view.every_new_mount_has_a_reason())?;
    }

    /// A pod that works without changes still works (see `laws/docker_connection.rs`).
    #[test]
    fn a_working_pod_still_works(case in case()) {
        let case = case.with_usable_volumes();
        let run = case.run();
        if run.outcome != "denied" && !is_faulty(&case) {
            let (before, after) = (docker_connection::daemons_up(&case.pod), docker_connection::daemons_up(&run.output));
            let is_contested = before > 0 && after > before;
            // Two daemons that share a directory overwrite each other's CA, which is reported (rule
            // D2).
            let desired = desired(&case);
            let dind = desired.as_ref().and_then(|desired| desired.dind.as_ref());
            let is_shared = dind.is_some_and(|dind| {
                let directories = certificate_directories::directories(&case.pod, dind);
                directories.iter().any(|directory| directory.dinds.len() > 1)
            });
            if docker_connection::works(&case.pod) == Answer::Yes && !is_contested && !is_shared {
                prop_assert_eq!(docker_connection::works(&run.output), Answer::Yes, "the pod worked only before the change");
            }
            for kept in docker_connection::other_files::files(&case.pod) {
                let is_readable = docker_connection::other_files::is_readable(&case.pod, &run.output, &kept);
                prop_assert!(is_readable, "{:?} is no longer readable", kept);
            }
        }
    }

    /// The changed pod has no new validation error (rule A4).
    #[test]
    fn the_pod_has_no_new_validation_error(case in case()) {
        unchanged_fields::no_new_faults(&case, &case.run())?;
    }

    /// The order of policies and the presence of Audit policies do not affect the patch (rules M1,
    /// M5).
    #[test]
    fn only_rank_and_mode_decide(case in case()) {
        let run = case.run();
        let mut other = case.clone();
        other.policies.reverse();
        other.policies.retain(|policy| policy["spec"]["mode"] != "Audit");
        let same = other.run();
        prop_assert_eq!(&run.patch, &same.patch);
        let warned = case.judge(&case.pod, |verdict| verdict.findings(Audience::Author).all(|(note, _)| note.warning("drydock").chars().count() <= 120));
        prop_assert!(warned, "an API warning has more than 120 characters (T3)");
    }
}

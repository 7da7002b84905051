//! What is taken over, place by place, and what of it can go from its file.

use super::compose::Written;
use super::diff;
use super::finding::{Finding, Group, Item, Place, Removal, Want};
use super::located::Span;
use super::places::File;
use super::printable::{Printable, Sentence, say};
use super::report::Report;
use super::runner::Runner;
use std::collections::BTreeSet;

/// Wants of one place of one runner that are in a policy.
pub(super) struct Taken<'r> {
    runner: &'r Runner,
    place: &'r Place,
    removal: &'r Removal,
    /// Those that no conflict tells of.
    wants: Vec<&'r Want>,
    policies: BTreeSet<Printable>,
    /// Whether a policy selects them by the runner's name, and whether one is its own.
    by_name: bool,
    is_own: bool,
    /// Whether something of the place is in no policy after all.
    is_part: bool,
}

pub(super) fn taken<'r>(
    runners: &'r [Runner],
    written: &[Vec<Written>],
    in_conflict: &BTreeSet<(usize, usize)>,
    findings: &mut Vec<Finding>,
) -> Vec<Taken<'r>> {
    let mut all: Vec<Taken<'r>> = Vec::new();
    for (index, (runner, written)) in runners.iter().zip(written).enumerate() {
        let mut of_runner: Vec<Taken<'r>> = Vec::new();
        for (at, (want, written)) in runner.wants.iter().zip(written).enumerate() {
            let known = of_runner
                .iter()
                .position(|taken| *taken.place == want.place);
            let position = known.unwrap_or(of_runner.len());
            if known.is_none() {
                of_runner.push(Taken {
                    runner,
                    place: &want.place,
                    removal: &want.removal,
                    wants: Vec::new(),
                    policies: BTreeSet::new(),
                    by_name: false,
                    is_own: false,
                    is_part: false,
                });
            }
            let Some(taken) = of_runner.get_mut(position) else {
                continue;
            };
            let is_told = in_conflict.contains(&(index, at));
            match written {
                Written::To {
                    policy,
                    by_name,
                    is_own,
                } => {
                    taken.by_name |= by_name;
                    if !is_told {
                        taken.wants.push(want);
                        taken.is_own |= is_own;
                        taken.policies.insert(policy.clone());
                    }
                }
                Written::Nowhere(why) => {
                    taken.is_part = true;
                    if !is_told {
                        let what = say!(
                            "{} ({}): only {} has it, and no policy can select its pods: {}",
                            want.item.subject(),
                            want.item.value(),
                            runner.label,
                            why
                        );
                        findings.push(Finding {
                            group: Group::NotTaken,
                            places: vec![want.place.clone()],
                            what,
                            todo: say!("then import again; until then leave the line"),
                        });
                    }
                }
            }
        }
        all.extend(of_runner);
    }
    // One finding in one group: a danger or a conflict is not told a second time.
    let is_elsewhere = |place: &Place| {
        let worse = findings
            .iter()
            .filter(|finding| finding.group <= Group::Conflict);
        worse
            .into_iter()
            .any(|finding| finding.places == [place.clone()])
    };
    all.retain(|taken| !taken.wants.is_empty() && !is_elsewhere(taken.place));
    all
}

impl Taken<'_> {
    fn keep(&self) -> Option<&Sentence> {
        self.wants.iter().find_map(|want| want.keep.as_ref())
    }

    /// What of the place can go from its file.
    fn removal(&self) -> &Removal {
        let is_certain =
            !self.is_part && !self.by_name && !self.runner.is_generated && self.keep().is_none();
        if is_certain {
            self.removal
        } else {
            &Removal::None
        }
    }

    pub(super) fn finding(&self, is_removed: bool) -> Finding {
        let mut parts: Vec<Sentence> = Vec::new();
        for want in &self.wants {
            let part = match &want.item {
                // All names of a place have its one address.
                Item::Alias { hostname, .. } if !parts.is_empty() => say!("{}", hostname),
                Item::Alias { hostname, address } => {
                    say!("hostAliases {}: {}", Printable::address(*address), hostname)
                }
                Item::Dind { .. } => say!("clientCerts"),
                item @ (Item::Volume { .. } | Item::Ca { .. }) => {
                    say!("{} ({})", item.subject(), item.value())
                }
                item => say!("{}", item.subject()),
            };
            parts.push(if want.remark.is_empty() {
                part
            } else {
                part.and(&say!(" ({})", want.remark))
            });
        }
        let policies: Vec<Printable> = self.policies.iter().cloned().collect();
        let what = say!(
            "{} → {}{}",
            parts,
            if policies.len() > 1 {
                "policies "
            } else {
                "policy "
            },
            policies
        );
        let what = if self.is_own {
            what.and(&"; other runners do not have it, and the policy may be shared with them by taking out its podSelector")
        } else {
            what
        };
        let todo = match self.keep() {
            Some(keep) => keep.clone(),
            None if self.runner.is_generated => say!(
                "redundant once the job namespace is labelled enforce; this file is generated or came by a pipe, so change runners.config in the chart's values, or the file that it came from"
            ),
            None if self.by_name => say!(
                "redundant once the job namespace is labelled enforce and the runner is 17.9 or later; then remove it by hand"
            ),
            None if is_removed => {
                say!("redundant once the job namespace is labelled enforce: see the diff")
            }
            None => say!(
                "redundant once the job namespace is labelled enforce; then remove it by hand (no diff: it would show other values of the line, or what is left of it)"
            ),
        };
        Finding {
            group: Group::Taken,
            places: vec![self.place.clone()],
            what,
            todo,
        }
    }
}
/// Writes the diffs, and says which of the places they remove.
pub(super) fn diffs(files: &[File], taken: &[Taken<'_>], report: &mut Report) -> Vec<bool> {
    let mut removed = vec![false; taken.len()];
    for (index, file) in files.iter().enumerate() {
        let mut removals: Vec<(usize, Span, &Removal)> = Vec::new();
        for (at, taken) in taken.iter().enumerate() {
            if taken.place.file == index && taken.place.path.is_none() {
                removals.push((at, taken.place.span, taken.removal()));
            }
        }
        let pairs: Vec<(Span, &Removal)> = removals
            .iter()
            .map(|(_, span, removal)| (*span, *removal))
            .collect();
        let (text, done) = diff::render(file, &pairs);
        report.diff.push_str(&text);
        for ((at, ..), done) in removals.iter().zip(done) {
            if let Some(removed) = removed.get_mut(*at) {
                *removed = done;
            }
        }
    }
    removed
}

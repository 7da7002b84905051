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
    wants: Vec<&'r Want>,
    policies: BTreeSet<Printable>,
    /// Whether a policy selects them by the runner's name, and whether one is its own.
    by_name: bool,
    is_own: bool,
    /// Whether something of the place is in no policy after all.
    is_part: bool,
    /// Whether the conflict that tells of all of it is in the report.
    is_told: bool,
}
pub(super) fn taken<'r>(
    runners: &'r [Runner],
    written: &[Vec<Written>],
    in_conflict: &BTreeSet<(usize, usize)>,
    findings: &mut Vec<Finding>,
) -> Vec<Taken<'r>> {
    let mut all = Vec::new();
    for (index, (runner, written)) in runners.iter().zip(written).enumerate() {
        let mut of_runner: Vec<Taken<'r>> = Vec::new();
        for (at, (want, written)) in runner.wants.iter().zip(written).enumerate() {
            let is_conflict = in_conflict.contains(&(index, at));
            let position = of_runner.iter().position(|taken| {
                taken
                    .wants
                    .iter()
                    .chain(&[])
                    .any(|other| other.place == want.place)
                    || taken.place() == Some(&want.place)
            });
            let place = position.unwrap_or_else(|| {
                of_runner.push(Taken {
                    runner,
                    wants: Vec::new(),
                    policies: BTreeSet::new(),
                    by_name: false,
                    is_own: false,
                    is_part: false,
                    is_told: true,
                });
                of_runner.len() - 1
            });
            let Some(taken) = of_runner.get_mut(place) else {
                continue;
            };
            match written {
                Written::To {
                    policy,
                    by_name,
                    is_own,
                } => {
                    taken.wants.push(want);
                    taken.by_name |= by_name;
                    taken.is_own |= is_own;
                    taken.is_told &= is_conflict;
                    taken.policies.insert(policy.clone());
                }
                Written::Nowhere(why) => {
                    taken.is_part = true;
                    if !is_conflict {
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
        // One finding in one group: what is a danger or a conflict is not told a second time.
        let is_elsewhere = |place: &Place| {
            findings.iter().any(|finding| {
                finding.group <= Group::Conflict
                    && finding.places.contains(place)
                    && finding.places.len() == 1
            })
        };
        of_runner
            .retain(|taken| !taken.wants.is_empty() && !taken.place().is_some_and(is_elsewhere));
        all.extend(of_runner);
    }
    all
}
impl Taken<'_> {
    fn place(&self) -> Option<&Place> {
        self.wants.first().map(|want| &want.place)
    }

    fn keep(&self) -> Option<&Sentence> {
        self.wants.iter().find_map(|want| want.keep.as_ref())
    }

    /// What of the place can go from its file.
    fn removal(&self) -> &Removal {
        let is_certain =
            !self.is_part && !self.by_name && !self.runner.is_generated && self.keep().is_none();
        let removal = self
            .wants
            .first()
            .map(|want| &want.removal)
            .filter(|_| is_certain);
        removal.unwrap_or(&Removal::None)
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
            places: self.place().cloned().into_iter().collect(),
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
            let Some(place) = taken.place().filter(|place| {
                files.get(place.file).is_some() && place.file == index && place.path.is_none()
            }) else {
                continue;
            };
            removals.push((at, place.span, taken.removal()));
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

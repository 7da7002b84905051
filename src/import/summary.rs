//! What the report says of whole files, and the commands to run next.

use super::finding::{Finding, Group, Place};
use super::located::{Node, Span, Value};
use super::places::{File, Source};
use super::printable::{Printable, Sentence, say};
use super::report::Report;
use super::runner::Runner;
use super::text::{self, Encoding};
use std::collections::BTreeSet;

/// Adds what concerns whole files, and the commands to run.
pub(super) fn finish(files: &[File], runners: &[Runner], has_policies: bool, report: &mut Report) {
    for (index, file) in files.iter().enumerate() {
        for masks in &file.masks {
            let within = |place: &Place| {
                place.file == index
                    && masks
                        .conditional
                        .iter()
                        .any(|(first, last)| *first <= place.span.line && place.span.last <= *last)
            };
            for finding in report
                .findings
                .iter_mut()
                .filter(|finding| finding.places.iter().any(within))
            {
                finding.what = finding
                    .what
                    .clone()
                    .and(&" (only if a condition of the template holds)");
            }
            if let (Some((first, _)), Some((_, last))) =
                (masks.skipped.first(), masks.skipped.last())
            {
                let place = Place {
                    file: index,
                    span: Span {
                        line: *first,
                        column: 1,
                        last: *last,
                        last_column: 1,
                    },
                    path: None,
                };
                let what = say!(
                    "template: lines of actions are not read, the body of if and with is read as if its condition held, that of range and else is not"
                );
                report.findings.push(Finding {
                    group: Group::NotTaken,
                    places: vec![place],
                    what,
                    todo: say!("import the rendered form: {}", text::RENDERED),
                });
            }
        }
        let mut note = |text: Sentence| report.notes.push((index, text));
        match file.encoding {
            Encoding::Utf8 => {}
            Encoding::Marked => note(say!(
                "begins with a byte order mark; runners before 16 refuse it"
            )),
            Encoding::Utf16 => note(say!(
                "is UTF-16, which the runner refuses; save it as UTF-8"
            )),
        }
        let lines = credentials(file);
        if !lines.is_empty() {
            note(say!(
                "has credentials in line {}; they are not printed",
                lines.into_iter().collect::<Vec<u32>>()
            ));
        }
        for secret in &file.secrets {
            note(say!(
                "has a Secret in line {}, which was not read",
                secret.span.line
            ));
        }
    }
    report
        .findings
        .sort_by(|one, other| (&one.places, &one.what).cmp(&(&other.places, &other.what)));
    report.findings.dedup_by(|one, other| {
        (one.group, &one.places, &one.what) == (other.group, &other.places, &other.what)
    });
    if !has_policies {
        report.summary = say!("nothing to import: no runner here asks for what a policy can do");
        return;
    }
    report.next = commands(runners);
}
/// Check, apply and label, in this order.
fn commands(runners: &[Runner]) -> Vec<Sentence> {
    let mut commands = vec![
        say!("drydock check imported.yaml        # the policies on stdout, saved"),
        say!("kubectl apply -f imported.yaml"),
    ];
    let mut names: BTreeSet<Printable> = BTreeSet::new();
    let mut is_unknown = false;
    for runner in runners {
        match &runner.namespace.name {
            Some(name) => {
                names.insert(name.clone());
            }
            None => is_unknown |= !runner.namespace.per_job,
        }
        is_unknown |= runner.namespace.others;
    }
    let mut label = |name: Sentence, why: &'static str| {
        commands.push(say!(
            "kubectl label namespace {} drydock.dev/job-pods=audit{}",
            name,
            why
        ));
        commands.push(say!("kubectl label namespace {} drydock.dev/job-pods=enforce --overwrite        # once audit says what you expect", name));
    };
    for name in names {
        label(say!("{}", name), "");
    }
    if is_unknown {
        label(
            say!("NAMESPACE"),
            "        # every other namespace that has job pods: KUBERNETES_NAMESPACE, the release's, or default",
        );
    }
    if runners.iter().any(|runner| runner.namespace.per_job) {
        commands.push(say!("# namespaces that the runner makes for each job have no labels: components/namespace-per-job selects them by a name prefix (docs/install.md)"));
    }
    commands
}
/// Lines of a file that have a credential.
fn credentials(file: &File) -> BTreeSet<u32> {
    const KEYS: [&str; 8] = [
        "token",
        "bearer_token",
        "runnertoken",
        "runnerregistrationtoken",
        "accesskey",
        "secretkey",
        "sentry_dsn",
        "accountkey",
    ];
    fn walk(node: &Node, lines: &mut BTreeSet<u32>) {
        for entry in node.entries() {
            let is_credential = KEYS.iter().any(|key| entry.key.eq_ignore_ascii_case(key));
            if is_credential && matches!(&entry.node.value, Value::Text(text) if !text.is_empty()) {
                lines.insert(entry.node.span.line);
            }
            walk(&entry.node, lines);
        }
        node.items().iter().for_each(|item| walk(item, lines));
    }
    let mut lines = BTreeSet::new();
    for Source { config, values, .. } in &file.sources {
        config
            .iter()
            .chain(values)
            .for_each(|node| walk(node, &mut lines));
    }
    lines
}

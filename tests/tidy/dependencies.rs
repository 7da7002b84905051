//! Checks the dependencies in `Cargo.lock` against the licences, duplicates, bans and sources of
//! `deny.toml`.
//!
//! `cargo deny check bans licenses sources` checks the same and more, but building it takes longer
//! than running all tests. Advisories are not checked, because their database is on the network.

use super::assert_none;
use super::files::root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use toml::de::{DeTable, DeValue};

/// Returns the packages that `cargo metadata` resolves for the targets of `deny.toml`.
fn packages(deny: &DeTable<'_>) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    command.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    for target in strings(setting(deny, "graph", "targets")) {
        command.args(["--filter-platform", target]);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn setting<'d>(deny: &'d DeTable<'d>, table: &str, key: &str) -> &'d DeValue<'d> {
    let table = deny.get(table).unwrap().get_ref().as_table().unwrap();
    table.get(key).unwrap().get_ref()
}

fn strings<'d>(array: &'d DeValue<'d>) -> Vec<&'d str> {
    let array = array.as_array().unwrap().iter();
    array.map(|text| text.get_ref().as_str().unwrap()).collect()
}

/// Returns the `crate` of each entry of a list in `[bans]`.
fn crates<'d>(deny: &'d DeTable<'d>, list: &str) -> BTreeSet<&'d str> {
    let entries = setting(deny, "bans", list).as_array().unwrap().iter();
    let names = entries.map(|entry| {
        let entry = entry.get_ref().as_table().unwrap();
        entry.get("crate").unwrap().get_ref().as_str().unwrap()
    });
    names.collect()
}

/// Returns whether an SPDX expression can be satisfied with allowed licences.
///
/// `/` is an old spelling of `OR`. `AND` takes precedence over `OR`, and `WITH` belongs to its
/// licence.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.trim();
    if let Some((left, right)) = split_outside(expression, &[" OR ", "/"]) {
        return is_allowed(left, allowed) || is_allowed(right, allowed);
    }
    if let Some((left, right)) = split_outside(expression, &[" AND "]) {
        return is_allowed(left, allowed) && is_allowed(right, allowed);
    }
    let inner = expression
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    inner.map_or_else(
        || allowed.contains(&expression),
        |inner| is_allowed(inner, allowed),
    )
}

/// Splits at the first operator outside of parentheses.
fn split_outside<'e>(expression: &'e str, operators: &[&str]) -> Option<(&'e str, &'e str)> {
    let mut depth = 0;
    for (at, character) in expression.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        let rest = &expression[at..];
        let operator = operators
            .iter()
            .find(|operator| rest.starts_with(**operator));
        if let (0, Some(operator)) = (depth, operator) {
            return Some((&expression[..at], &rest[operator.len()..]));
        }
    }
    None
}

#[test]
fn dependencies_conform_to_deny_toml() {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let deny = DeTable::parse(&text).unwrap();
    let deny = deny.get_ref();
    let allowed = strings(setting(deny, "licenses", "allow"));
    let (banned, skipped) = (crates(deny, "deny"), crates(deny, "skip"));
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for package in packages(deny) {
        let (name, version) = (&package["name"], &package["version"]);
        let (name, version) = (name.as_str().unwrap(), version.as_str().unwrap());
        // The packages of this workspace have no source.
        let Some(source) = package["source"].as_str() else {
            continue;
        };
        if !source.starts_with("registry+https://github.com/rust-lang/crates.io-index") {
            wrong.push(format!("{name} {version} comes from {source}"));
        }
        if !is_allowed(package["license"].as_str().unwrap_or(""), &allowed) {
            wrong.push(format!("{name} {version} has {}", package["license"]));
        }
        if banned.contains(name) {
            wrong.push(format!("{name} {version} is banned"));
        }
        let exact = format!("{name}@{version}");
        if skipped.contains(exact.as_str()) {
            seen.insert(exact);
            continue;
        }
        let versions = versions.entry(name.to_owned()).or_default();
        versions.insert(version.to_owned());
    }
    assert!(
        versions.len() > 150,
        "only {} packages found",
        versions.len()
    );
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        wrong.push(format!("{name} is there in several versions: {versions:?}"));
    }
    for skipped in skipped.iter().filter(|skipped| !seen.contains(**skipped)) {
        wrong.push(format!(
            "{skipped} is skipped in [bans], but is not in Cargo.lock"
        ));
    }
    assert_none(&wrong, "change the dependency, or deny.toml with a reason");
}

#[test]
fn licence_expressions_are_read_as_spdx_defines_them() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Apache-2.0", true),
        ("GPL-3.0 OR MIT AND ISC", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

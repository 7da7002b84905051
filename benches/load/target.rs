//! Formats targets for tables, and whether they are reached.

/// Returns whether a target is reached; without a target, an empty text.
pub(crate) fn verdict(measured: f64, target: Option<f64>) -> &'static str {
    match target {
        Some(target) if measured <= target => "reached",
        Some(_) => "not reached",
        None => "",
    }
}

/// Formats a target for a table.
pub(crate) fn bound(target: Option<f64>) -> String {
    target.map_or_else(|| "–".to_owned(), |target| format!("≤ {target}"))
}

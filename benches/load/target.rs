//! What was promised, and whether it was kept: a word in a table, no judgement.

/// Says whether a target was reached; where there is none, nothing.
pub(crate) fn verdict(measured: f64, target: Option<f64>) -> &'static str {
    match target {
        Some(target) if measured <= target => "reached",
        Some(_) => "not reached",
        None => "",
    }
}

/// Writes a target for a table.
pub(crate) fn bound(target: Option<f64>) -> String {
    target.map_or_else(|| "–".to_owned(), |target| format!("≤ {target}"))
}

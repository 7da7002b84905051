//! Formats counts, durations and lists for messages.

use std::fmt::Display;

/// Returns a number with a noun: `1 replica`, `2 replicas`.
pub(super) fn count(number: impl TryInto<u64>, one: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// Returns `one` if the number is 1, otherwise `many`.
pub(super) fn plural<'w>(number: usize, one: &'w str, many: &'w str) -> &'w str {
    if number == 1 { one } else { many }
}

/// Formats a duration in days if it is at least 2 days, otherwise in hours if it is at least 2
/// hours, otherwise in minutes.
pub(super) fn duration(seconds: i64) -> String {
    let (minute, hour, day) = (60, 60 * 60, 24 * 60 * 60);
    let seconds = seconds.max(0);
    match seconds {
        _ if seconds >= 2 * day => count(seconds / day, "day"),
        _ if seconds >= 2 * hour => count(seconds / hour, "hour"),
        _ => count(seconds / minute, "minute"),
    }
}

/// Returns ` in namespace NAME`, or an empty string if there is no namespace.
pub(super) fn in_namespace(namespace: Option<&str>) -> String {
    namespace.map_or_else(String::new, |name| format!(" in namespace {name}"))
}

/// Joins items with commas and `and`. Replaces all items after the sixth by their number.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const MAX: usize = 6;
    let all: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match all.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        many if many.len() > MAX => {
            let named: Vec<&str> = many.iter().take(MAX).map(String::as_str).collect();
            format!("{} and {} more", named.join(", "), many.len() - MAX)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_largest_unit_of_which_there_are_two() {
        for (seconds, said) in [
            (-5, "0 minutes"),
            (60, "1 minute"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(duration(seconds), said);
        }
    }

    #[test]
    fn a_long_list_ends_with_the_number_of_the_others() {
        assert_eq!(list([""; 0]), "");
        assert_eq!(list(["a"]), "a");
        assert_eq!(list(["a", "b", "c"]), "a, b and c");
        assert_eq!(list(1..=8), "1, 2, 3, 4, 5, 6 and 2 more");
    }
}

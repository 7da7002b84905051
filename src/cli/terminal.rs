//! Breaks lines at the width of the terminal. Lines of piped or redirected output are not broken,
//! so that `grep` finds whole lines.

/// Returns the width of the terminal on stdout or, if stdout is not a terminal, the value of
/// `$COLUMNS`. This variable also sets the width of `--help`.
pub(super) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    let columns = columns.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
    columns.filter(|columns| *columns > 0)
}

/// Breaks each line that is wider than the terminal. Continuation lines are indented like the line,
/// plus `hanging` columns.
pub(super) fn fit(text: &str, hanging: usize) -> String {
    match columns() {
        Some(width) => text
            .split_inclusive('\n')
            .map(|line| break_line(line, width, hanging))
            .collect(),
        None => text.to_owned(),
    }
}

fn break_line(line: &str, width: usize, hanging: usize) -> String {
    if line.trim_end().chars().count() <= width {
        return line.to_owned();
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let hanging = |number| {
        if number == 0 {
            indent
        } else {
            indent + hanging
        }
    };
    let lines = wrap_at(line, |number| width.saturating_sub(hanging(number)));
    let lines = lines.iter().enumerate();
    lines
        .map(|(number, text)| format!("{:indent$}{text}\n", "", indent = hanging(number)))
        .collect()
}

/// Breaks text between words. A word that is longer than `width` gets its own line. Replaces
/// control characters, which messages of other programs may contain, with spaces.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    wrap_at(text, |_| width)
}

/// Works like [`wrap`], with a width for each line number.
fn wrap_at(text: &str, width: impl Fn(usize) -> usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let clean = text.replace(char::is_control, " ");
    for word in clean.split_whitespace() {
        let number = lines.len() - 1;
        let Some(line) = lines.last_mut() else {
            break;
        };
        let fits = line.chars().count() + 1 + word.chars().count() <= width(number);
        if line.is_empty() {
            line.push_str(word);
        } else if fits {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_broken_between_words_and_indented() {
        let line = "  one two three four five\n";
        assert_eq!(break_line(line, 30, 2), line);
        let expected = "  one two three\n    four five\n";
        assert_eq!(break_line(line, 16, 2), expected);
        assert_eq!(break_line("averylongword b\n", 4, 0), "averylongword\nb\n");
    }
}

//! The command line that starts a Docker daemon (rules D1 and D2).
//!
//! The entrypoint of the image, `dockerd-entrypoint.sh`, generates certificates if it runs without
//! arguments or with a first argument that begins with `-`. If `dockerd` is started directly, or is
//! the first argument of the entrypoint, nothing is generated.
//! Source: docker-library/docker `dockerd-entrypoint.sh`.

use crate::core::pod::{Container, Text};

/// Programs that start another program, which their arguments name.
const SHELLS_AND_INITS: [&str; 6] = ["sh", "bash", "ash", "tini", "dumb-init", "docker-init"];
const CERTDIR: &str = "DOCKER_TLS_CERTDIR";

/// How a command line starts the daemon.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Start {
    /// Whether the daemon starts without the entrypoint, so that no certificates are generated.
    pub(super) bypasses_entrypoint: bool,
    /// The value of `DOCKER_TLS_CERTDIR` in the command line, or the reason why it is unknown.
    pub(super) certdir: Option<Result<String, &'static str>>,
}

/// Returns how a container with the image of dind starts the daemon, or `None` if it runs another
/// program. `command` and `args` are one command line.
pub(super) fn of(container: &Container<'_>) -> Option<Start> {
    let command = container.command.as_deref().unwrap_or_default();
    let args = container.args.as_deref().unwrap_or_default();
    // Without a command, `args` are the arguments of the entrypoint. It runs its first
    // argument as a command if that is not a flag.
    if command.is_empty() && args.first().is_none_or(|first| first.starts_with('-')) {
        return Some(Start::default());
    }
    of_line(command.iter().chain(args).map(Text::as_str))
}

/// Reads a command line: the daemon itself, `env` before another command line, or a shell or init
/// whose words mention the daemon.
fn of_line<'w>(words: impl Iterator<Item = &'w str>) -> Option<Start> {
    let mut words = words.peekable();
    let mut start = Start::default();
    loop {
        let program = base_name(words.next()?);
        if program.starts_with("dockerd") {
            let is_flag = |word: &str| word.is_empty() || word.starts_with('-');
            let is_entrypoint = program.starts_with("dockerd-entrypoint");
            start.bypasses_entrypoint =
                !is_entrypoint || words.next().is_some_and(|word| !is_flag(word));
            return Some(start);
        }
        if SHELLS_AND_INITS.contains(&program) {
            return of_script(start, words);
        }
        if program != "env" {
            return None;
        }
        // Options and assignments come before the program (coreutils and BusyBox).
        while let Some(word) = words.next_if(|word| word.starts_with('-') || word.contains('=')) {
            take_env_word(&mut start, word, &mut words);
        }
    }
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn take_env_word<'w>(start: &mut Start, word: &'w str, rest: &mut impl Iterator<Item = &'w str>) {
    let unset = Some(Ok(String::new()));
    match word {
        "-i" | "-" | "--ignore-environment" => start.certdir = unset,
        "-u" | "--unset" => {
            if rest.next() == Some(CERTDIR) {
                start.certdir = unset;
            }
        }
        "-C" | "--chdir" => {
            rest.next();
        }
        _ => match word.split_once('=') {
            Some((CERTDIR, value)) => start.certdir = Some(Ok(value.to_owned())),
            Some(("--unset", CERTDIR)) => start.certdir = unset,
            _ if word.strip_prefix("-u") == Some(CERTDIR) => start.certdir = unset,
            _ => {}
        },
    }
}

/// Reads the words of a shell or an init. The script is not interpreted: the first mention of the
/// entrypoint counts, or else of the daemon.
fn of_script<'w>(mut start: Start, words: impl Iterator<Item = &'w str>) -> Option<Start> {
    let mut mentions_daemon = false;
    let mut previous_is_entrypoint = false;
    let mut bypasses_entrypoint = None;
    for word in words {
        if sets_certdir(word) {
            start.certdir = Some(Err("the container's command sets it"));
        }
        for token in Tokens(word) {
            if std::mem::take(&mut previous_is_entrypoint) {
                bypasses_entrypoint
                    .get_or_insert(token.is_some_and(|word| !word.starts_with(['-', '$'])));
            }
            let word = token.unwrap_or_default();
            mentions_daemon |= word.contains("dockerd");
            previous_is_entrypoint = word.contains("dockerd-entrypoint");
        }
    }
    // A script that does not mention the entrypoint starts dockerd directly. An entrypoint that is
    // the last word has no arguments, and generates certificates.
    start.bypasses_entrypoint = bypasses_entrypoint.unwrap_or(!previous_is_entrypoint);
    mentions_daemon.then_some(start)
}

fn sets_certdir(script: &str) -> bool {
    let mut mentions = script.match_indices(CERTDIR);
    let is_unset = script.contains("unset ");
    mentions.any(|(at, name)| {
        let after = script.get(at + name.len()..).unwrap_or_default();
        is_unset || after.starts_with('=')
    })
}

/// Splits a script at blanks, quotes and operators. A token is a word, or `None` for an operator or
/// redirection: the words after it are not arguments of the command before it.
struct Tokens<'w>(&'w str);

impl<'w> Iterator for Tokens<'w> {
    type Item = Option<&'w str>;

    fn next(&mut self) -> Option<Self::Item> {
        const ENDS: [char; 8] = [';', '&', '|', '(', ')', '<', '>', '\n'];
        let is_quote = |c: char| matches!(c, '"' | '\'' | '`');
        let is_blank = |c: char| is_quote(c) || (c.is_whitespace() && c != '\n');
        self.0 = self.0.trim_start_matches(is_blank);
        let rest = self.0.trim_start_matches(ENDS);
        if rest.len() < self.0.len() {
            self.0 = rest;
            return Some(None);
        }
        let end = rest.find(|c: char| is_blank(c) || ENDS.contains(&c));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = after;
        // A number directly before `<` or `>` is a file descriptor, not an argument.
        let is_descriptor = word.bytes().all(|byte| byte.is_ascii_digit());
        let is_redirected = is_descriptor && after.starts_with(['<', '>']);
        (!word.is_empty()).then(|| Some(word).filter(|_| !is_redirected))
    }
}

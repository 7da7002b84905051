//! The command line that starts a Docker daemon (rules D1 and D2).
//!
//! The entrypoint of the image, `dockerd-entrypoint.sh`, generates certificates if it runs without
//! arguments or with a first argument that begins with `-`. If `dockerd` is started directly, or is
//! the first argument of the entrypoint, no certificates are generated.
//! Source: docker-library/docker `dockerd-entrypoint.sh`.

use crate::core::pod::{Container, Text};

/// Shells and init programs, which start the program in their arguments.
const SHELLS_AND_INITS: [&str; 6] = ["sh", "bash", "ash", "tini", "dumb-init", "docker-init"];
const CERTDIR: &str = "DOCKER_TLS_CERTDIR";

/// The parts of a command line that determine how the daemon starts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct StartCommand {
    /// Whether the daemon starts without the TLS setup of the entrypoint, so that no certificates
    /// are generated.
    pub(super) bypasses_entrypoint: bool,
    /// The value to which the command line sets `DOCKER_TLS_CERTDIR`, or the reason why the value
    /// is unknown.
    pub(super) certdir: Option<Result<String, &'static str>>,
}

/// Returns how a container with a dind image starts the daemon, or `None` if the container runs
/// another program. `command` and `args` together are the command line.
pub(super) fn parse(container: &Container<'_>) -> Option<StartCommand> {
    let command = container.command.as_deref().unwrap_or_default();
    let args = container.args.as_deref().unwrap_or_default();
    // Without a command, `args` are the arguments of the entrypoint. The entrypoint runs its first
    // argument as a command unless that argument is a flag.
    if command.is_empty() && args.first().is_none_or(|first| first.starts_with('-')) {
        return Some(StartCommand::default());
    }
    parse_words(command.iter().chain(args).map(Text::as_str))
}

/// Parses a command line: the daemon itself, `env` with another command line, or a shell or init
/// program whose arguments mention the daemon.
fn parse_words<'w>(words: impl Iterator<Item = &'w str>) -> Option<StartCommand> {
    let mut words = words.peekable();
    let mut start = StartCommand::default();
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
            return parse_script(start, words);
        }
        if program != "env" {
            return None;
        }
        // The options and assignments of `env` precede the program (coreutils and BusyBox).
        while let Some(word) = words.next_if(|word| word.starts_with('-') || word.contains('=')) {
            apply_env_word(&mut start, word, &mut words);
        }
    }
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn apply_env_word<'w>(
    start: &mut StartCommand,
    word: &'w str,
    rest: &mut impl Iterator<Item = &'w str>,
) {
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

/// Parses the arguments of a shell or an init program. A script is not interpreted, only searched
/// for the first mention of the entrypoint, or else of the daemon.
fn parse_script<'w>(
    mut start: StartCommand,
    words: impl Iterator<Item = &'w str>,
) -> Option<StartCommand> {
    let mut mentions_daemon = false;
    let mut previous_is_entrypoint = false;
    let mut bypasses_entrypoint = None;
    for word in words {
        if sets_certdir(word) {
            start.certdir = Some(Err("is set by the container's command"));
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
    // A script that does not mention the entrypoint starts dockerd directly. If the entrypoint is
    // the last word, it has no arguments and generates certificates.
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
/// a redirection, after which the words are not arguments of the preceding command.
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

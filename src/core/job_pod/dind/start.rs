//! How a container starts its Docker daemon (rules D1 and D2).
//!
//! The image's entrypoint, `dockerd-entrypoint.sh`, generates certificates where it runs without
//! arguments or with a first argument that begins with `-`. Where `dockerd` is started directly, or
//! as the entrypoint's first argument, nothing is generated.
//! Source: docker-library/docker `dockerd-entrypoint.sh`.

use super::Certificates;
use crate::core::pod::{Container, Text};

/// Programs that start another one, which their arguments name.
const SHELLS_AND_INITS: [&str; 6] = ["sh", "bash", "ash", "tini", "dumb-init", "docker-init"];
const CERTDIR: &str = "DOCKER_TLS_CERTDIR";

/// How a daemon is started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Start {
    /// Whether the entrypoint is left out, so that nothing is generated.
    is_direct: bool,
    /// The value that the command gives `DOCKER_TLS_CERTDIR`, or why it cannot be known.
    pub(super) certdir: Option<Result<String, &'static str>>,
}

impl Start {
    /// Returns what becomes of the certificates with TLS on and this clean `CERTDIR`.
    pub(super) fn certificates(&self, certdir: &str) -> Certificates {
        if self.is_direct {
            Certificates::NotGenerated(certdir.to_owned())
        } else {
            Certificates::In(certdir.to_owned())
        }
    }
}

/// Returns how a container with dind's image starts the daemon; nothing where it runs something
/// else. `command` and `args` are read as one line.
pub(super) fn of(container: &Container<'_>) -> Option<Start> {
    let command = container.command.as_deref().unwrap_or_default();
    let args = container.args.as_deref().unwrap_or_default();
    if command.is_empty() {
        // The arguments of the image's entrypoint.
        let Some(first) = args.first() else {
            return Some(Start::default());
        };
        // Any other first argument is a command, which the entrypoint executes at once.
        return if first.starts_with('-') {
            Some(Start::default())
        } else {
            of_line(args.iter().map(Text::as_str))
        };
    }
    of_line(command.iter().chain(args).map(Text::as_str))
}

/// Reads a command line: the daemon itself, `env` before another line, or a shell or init whose
/// words mention the daemon.
fn of_line<'w>(words: impl Iterator<Item = &'w str>) -> Option<Start> {
    let mut words = words.peekable();
    let mut start = Start::default();
    loop {
        let program = words.next()?;
        if is_daemon(program) {
            start.is_direct = is_direct(program, words.next());
            return Some(start);
        }
        match base_name(program) {
            "env" => {
                while let Some(word) = words.next_if(|word| is_word_of_env(word)) {
                    take_env_word(&mut start, word, &mut words);
                }
            }
            program if SHELLS_AND_INITS.contains(&program) => {
                return of_script(start, words);
            }
            _ => return None,
        }
    }
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

/// `dockerd`, `dockerd-entrypoint.sh`, `dockerd-rootless.sh`, with or without their path.
fn is_daemon(program: &str) -> bool {
    base_name(program).starts_with("dockerd")
}

/// Whether nothing is generated: the program is no entrypoint, or its first argument is a command.
fn is_direct(program: &str, first_argument: Option<&str>) -> bool {
    let is_entrypoint = base_name(program).starts_with("dockerd-entrypoint");
    let is_flag = |word: &str| word.is_empty() || word.starts_with('-');
    !is_entrypoint || first_argument.is_some_and(|word| !is_flag(word))
}

/// Options and assignments of `env`, which come before the program (coreutils and BusyBox).
fn is_word_of_env(word: &str) -> bool {
    word.starts_with('-') || word.contains('=')
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
/// entrypoint counts, else one of the daemon.
fn of_script<'w>(mut start: Start, words: impl Iterator<Item = &'w str>) -> Option<Start> {
    let mut mentions_daemon = false;
    // Whether the next token is the entrypoint's first argument.
    let mut follows_entrypoint = false;
    let mut is_direct = None;
    for word in words {
        if sets_certdir(word) {
            start.certdir = Some(Err("the container's command sets it"));
        }
        for token in Tokens(word) {
            match token {
                Token::Word(word) => {
                    if std::mem::take(&mut follows_entrypoint) {
                        is_direct.get_or_insert(!word.starts_with(['-', '$']));
                    }
                    mentions_daemon |= word.contains("dockerd");
                    follows_entrypoint = word.contains("dockerd-entrypoint");
                }
                Token::End if std::mem::take(&mut follows_entrypoint) => {
                    is_direct.get_or_insert(false);
                }
                Token::End => {}
            }
        }
    }
    if follows_entrypoint {
        is_direct.get_or_insert(false);
    }
    start.is_direct = is_direct.unwrap_or(true);
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

/// A part of a shell script.
enum Token<'w> {
    Word(&'w str),
    /// An operator or redirection: the words after it are no arguments of the command before it.
    End,
}

/// Cuts a script at blanks, quotes and operators.
struct Tokens<'w>(&'w str);

impl<'w> Iterator for Tokens<'w> {
    type Item = Token<'w>;

    fn next(&mut self) -> Option<Token<'w>> {
        const ENDS: [char; 8] = [';', '&', '|', '(', ')', '<', '>', '\n'];
        let is_quote = |c: char| matches!(c, '"' | '\'' | '`');
        let is_blank = |c: char| is_quote(c) || (c.is_whitespace() && c != '\n');
        self.0 = self.0.trim_start_matches(is_blank);
        let rest = self.0.trim_start_matches(ENDS);
        if rest.len() < self.0.len() {
            self.0 = rest;
            return Some(Token::End);
        }
        let end = rest.find(|c: char| is_blank(c) || ENDS.contains(&c));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = after;
        // The number of a redirected file belongs to the redirection.
        let is_descriptor = word.bytes().all(|byte| byte.is_ascii_digit());
        match (word, is_descriptor && after.starts_with(['<', '>'])) {
            ("", _) => None,
            (_, true) => Some(Token::End),
            (word, false) => Some(Token::Word(word)),
        }
    }
}

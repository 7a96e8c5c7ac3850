//! The command line: which command was asked for, and the help that is read from the files' headers.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use crate::Result;
use crate::project::Project;
use crate::step::Outcome;

/// A command, its help, and what runs it.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// The text of its file; the `//!` lines at the top are its help.
    file: &'static str,
    pub(crate) run: Run,
}

/// What runs a command: the project, and the arguments behind the command's name.
pub(crate) type Run = fn(&Project, Parser) -> Result<Outcome>;

/// What a command line asks for.
pub(crate) enum Request {
    Overview,
    HelpOn(&'static Command),
    Run(&'static Command, Parser),
}

pub(crate) fn parse(
    commands: &'static [Command],
    args: impl IntoIterator<Item = OsString>,
) -> Result<Request> {
    let named = |name: &OsString| commands.iter().find(|command| name == command.name);
    let args: Vec<OsString> = args.into_iter().collect();
    let Some((first, rest)) = args.split_first() else {
        return Ok(Request::Overview);
    };
    let asks_help = |arg: &OsString| arg == "help" || is_help_flag(arg);
    if asks_help(first) {
        return Ok(rest.first().and_then(named).map_or(Request::Overview, Request::HelpOn));
    }
    let Some(command) = named(first) else {
        let message =
            format!("no command `{}`; `cargo xtask help` lists them", first.to_string_lossy());
        return Err(lexopt::Error::from(message).into());
    };
    if rest.first().is_some_and(is_help_flag) {
        return Ok(Request::HelpOn(command));
    }
    Ok(Request::Run(command, Parser::from_args(rest.to_vec())))
}

fn is_help_flag(arg: &OsString) -> bool {
    arg == "--help" || arg == "-h"
}

/// What `cargo xtask help` prints.
pub(crate) fn overview(commands: &[Command]) -> String {
    let mut text = String::from("cargo xtask COMMAND [ARGUMENTS]\n\n");
    for command in commands {
        let first = header(command.file).next().unwrap_or_default();
        text += &format!("  {:<10} {first}\n", command.name);
    }
    text + "\n`cargo xtask COMMAND --help` says more."
}

impl Command {
    pub(crate) const fn new(name: &'static str, file: &'static str, run: Run) -> Self {
        Self { name, file, run }
    }

    /// What `cargo xtask NAME --help` prints.
    pub(crate) fn help(&self) -> String {
        let lines: Vec<&str> = header(self.file).collect();
        format!("cargo xtask {}: {}", self.name, lines.join("\n"))
    }
}

/// The `//!` block at the top of a file, without its marks.
fn header(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
}

/// For the commands that take no arguments.
pub(crate) fn nothing_more(mut args: Parser) -> Result {
    match args.next()? {
        None => Ok(()),
        Some(arg) => Err(arg.unexpected().into()),
    }
}

/// The next argument that is not an option, if there is one.
pub(crate) fn word(args: &mut Parser) -> Result<Option<String>> {
    match args.next()? {
        None => Ok(None),
        Some(Arg::Value(value)) => Ok(Some(value.to_string_lossy().into_owned())),
        Some(arg) => Err(arg.unexpected().into()),
    }
}

/// Everything that is left, to be passed on as it stands; a leading `--` is ours and is dropped.
pub(crate) fn passed_on(args: &mut Parser) -> Result<Vec<OsString>> {
    let mut rest: Vec<OsString> = args.raw_args()?.collect();
    if rest.first().is_some_and(|arg| arg == "--") {
        rest.remove(0);
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::COMMANDS;

    fn request(args: &[&str]) -> Result<Request> {
        parse(COMMANDS, args.iter().map(OsString::from))
    }

    #[test]
    fn every_command_says_in_one_line_what_it_does() {
        for command in COMMANDS {
            let first = header(command.file).next().unwrap_or_default();
            assert!(first.ends_with('.') && first.len() <= 88, "{}: {first:?}", command.name);
            assert!(command.help().starts_with(&format!("cargo xtask {}: ", command.name)));
            assert!(overview(COMMANDS).contains(first));
        }
    }

    #[test]
    fn help_is_found_wherever_it_is_asked_for() {
        for args in [&[][..], &["help"], &["--help"], &["-h"], &["help", "nonsense"]] {
            assert!(matches!(request(args), Ok(Request::Overview)), "{args:?}");
        }
        for args in [&["help", "ci"], &["ci", "--help"], &["ci", "-h"]] {
            assert!(matches!(request(args), Ok(Request::HelpOn(command)) if command.name == "ci"));
        }
    }

    #[test]
    fn an_unknown_command_is_a_usage_error() {
        assert!(request(&["nonsense"]).is_err_and(|error| error.is::<lexopt::Error>()));
    }

    #[test]
    fn arguments_are_passed_on_as_they_stand() {
        let Ok(Request::Run(command, mut args)) = request(&["demo", "--", "--help", "x"]) else {
            panic!("`--` ends what is ours");
        };
        assert_eq!(command.name, "demo");
        assert_eq!(passed_on(&mut args).unwrap(), ["--help", "x"]);
    }

    #[test]
    fn an_argument_too_many_is_refused() {
        let Ok(Request::Run(_, args)) = request(&["ci", "--fast"]) else { panic!("ci runs") };
        assert!(nothing_more(args).is_err());
    }
}

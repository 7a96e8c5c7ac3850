//! Plays the script of one example: runs the program, is its peers, compares what comes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::process::Process;
use super::wire::{Door, Wire};
use crate::Result;

/// One program, and what must be seen of it.
pub(super) struct Example {
    pub(super) program: &'static str,
    /// `{path}` stands for a path in a folder of its own, `{upstream}` for the address of a server that we play.
    pub(super) args: &'static [&'static str],
    pub(super) script: &'static [Act],
    /// What its standard output holds, in this order.
    pub(super) prints: &'static [&'static str],
}

impl Example {
    /// Whether it is this program's, or runs it beside its own.
    pub(super) fn plays(&self, name: &str) -> bool {
        let beside = |act: &Act| matches!(act, Act::Runs(program, ..) if *program == name);
        self.program == name || self.script.iter().any(beside)
    }
}

/// Who we are in one step of a script.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Peer {
    /// Connects to the program.
    Client(u8),
    /// Is connected to by the program.
    Upstream(u8),
}

/// One step of a script. A peer's connection is made by the first step that names it.
#[derive(Debug)]
pub(super) enum Act {
    Send(Peer, &'static str),
    /// Exactly these bytes come next.
    Expect(Peer, &'static str),
    /// We end our side and still listen.
    Finish(Peer),
    /// The program ends its side.
    Ended(Peer),
    /// The program ends, with success, without being told.
    Exits,
    /// Another program is run against this one and succeeds; it is one of ours, or else an installed one.
    /// `{address}` in its arguments stands for where the program listens, `{port}` for the port of that, `{path}` as in
    /// [`Example::args`].
    /// The last is what it prints.
    Runs(&'static str, &'static [&'static str], &'static str),
}

pub(super) fn play(example: &Example, programs: &Path, folder: &Path) -> Result {
    let upstream = Door::open()?;
    let path = folder.join("socket").to_string_lossy().into_owned();
    let fill = |arg: &&str| arg.replace("{path}", &path).replace("{upstream}", &upstream.address());
    let args: Vec<String> = example.args.iter().map(fill).collect();
    let mut process = Process::start(&programs.join(example.program), &args)?;
    let mut wires = BTreeMap::new();
    for act in example.script {
        let done = match act {
            Act::Runs(program, args, prints) => process.listening_on().and_then(|address| {
                let port = address.rsplit(':').next().unwrap_or_default();
                let fill =
                    |arg: &&str| fill(arg).replace("{address}", &address).replace("{port}", port);
                let args: Vec<String> = args.iter().map(fill).collect();
                run_beside(program, programs, &args, prints)
            }),
            act => perform(act, &mut process, &upstream, &mut wires),
        };
        done.map_err(|error| {
            format!("{act:?}: {error}\nthe program printed:\n{}", process.printed())
        })?;
    }
    let printed = process.end();
    let mut rest = printed.as_str();
    for fragment in example.prints {
        let at = rest.find(fragment).ok_or_else(|| {
            format!("`{fragment}` is missing, or stands in the wrong place, in\n{printed}")
        })?;
        rest = &rest[at + fragment.len()..];
    }
    Ok(())
}

fn perform(
    act: &Act,
    process: &mut Process,
    upstream: &Door,
    wires: &mut BTreeMap<Peer, Wire>,
) -> Result {
    let (peer, does): (&Peer, &dyn Fn(&mut Wire) -> Result) = match act {
        Act::Send(peer, text) => (peer, &|wire| wire.send(text)),
        Act::Expect(peer, text) => (peer, &|wire| wire.expect(text)),
        Act::Finish(peer) => (peer, &Wire::finish),
        Act::Ended(peer) => (peer, &Wire::ended),
        Act::Exits => return process.exits(),
        Act::Runs(program, ..) => return Err(format!("{program} is run elsewhere").into()),
    };
    let wire = match wires.entry(*peer) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(match peer {
            Peer::Client(_) => Wire::connect(&process.listening_on()?)?,
            Peer::Upstream(_) => upstream.accept()?,
        }),
    };
    does(wire)
}

/// Runs another program to its end.
fn run_beside(program: &str, programs: &Path, args: &[String], prints: &str) -> Result {
    let ours = programs.join(program);
    let path = if ours.exists() { ours } else { program.into() };
    if path.is_relative() && !is_installed(&path) {
        println!("notice: {program} is not installed; it is left out");
        return Ok(());
    }
    let mut process = Process::start(&path, args)?;
    process.exits().map_err(|error| format!("{error}; it printed\n{}", process.printed()))?;
    let printed = process.end();
    if printed.contains(prints) {
        Ok(())
    } else {
        Err(format!("`{prints}` is missing in\n{printed}").into())
    }
}

/// Whether the system finds it.
fn is_installed(program: &Path) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a script against a line of shell.
    fn play_shell(
        line: &'static str,
        script: &'static [Act],
        prints: &'static [&'static str],
    ) -> Result {
        let args: &'static [&'static str] = Vec::leak(vec!["-c", line]);
        let example = Example { program: "sh", args, script, prints };
        play(&example, Path::new("/bin"), Path::new("/tmp"))
    }

    #[test]
    fn a_program_that_does_as_written_passes() {
        play_shell("echo one; echo two", &[Act::Exits], &["one", "two"]).unwrap();
    }

    #[test]
    fn output_that_is_missing_or_in_another_order_is_found() {
        assert!(play_shell("echo one", &[Act::Exits], &["two"]).is_err());
        assert!(play_shell("echo one; echo two", &[Act::Exits], &["two", "one"]).is_err());
    }

    #[test]
    fn a_program_that_is_run_beside_must_succeed_and_print() {
        let listens = "echo listening on x; exec sleep 60";
        let runs =
            |line, prints| play_shell(listens, Vec::leak(vec![Act::Runs("sh", line, prints)]), &[]);
        runs(&["-c", "echo to {address}"], "to x").unwrap();
        assert!(runs(&["-c", "echo to {address}"], "to y").is_err());
        assert!(runs(&["-c", "echo to {address}; exit 1"], "to x").is_err());
    }

    #[test]
    fn a_program_that_fails_is_found() {
        assert!(play_shell("exit 3", &[Act::Exits], &[]).is_err());
    }

    #[test]
    fn a_server_that_does_not_say_where_it_listens_is_found() {
        let script: &[Act] = &[Act::Send(Peer::Client(0), "x")];
        let error = play_shell("echo hello; exec sleep 60", script, &[]).unwrap_err().to_string();
        assert!(error.contains("the first line is \"hello\""), "{error}");
        let error = play_shell("exit 0", script, &[]).unwrap_err().to_string();
        assert!(error.contains("ended before it listened"), "{error}");
    }
}

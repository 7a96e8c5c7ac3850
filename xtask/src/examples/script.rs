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
}

pub(super) fn play(example: &Example, programs: &Path, folder: &Path) -> Result {
    let upstream = Door::open()?;
    let fill = |arg: &&str| {
        let path = folder.join("socket");
        arg.replace("{path}", &path.to_string_lossy()).replace("{upstream}", &upstream.address())
    };
    let args: Vec<String> = example.args.iter().map(fill).collect();
    let mut process = Process::start(&programs.join(example.program), &args)?;
    let mut wires = BTreeMap::new();
    for act in example.script {
        perform(act, &mut process, &upstream, &mut wires).map_err(|error| {
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

//! Sockets that the parent has left open: a process of its own is started as a service manager starts one.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use wharf::tcp;

use super::process::{arguments, command, is_alone, run};
use super::rig::{Peer, Story, TestLoop};

const TAKEN: &str = "sv_24_a_socket_that_a_service_manager_passed_is_served";
const OTHERS: &str = "sv_24_sockets_that_were_passed_to_another_process_are_left_alone";

fn inherited() -> Vec<OwnedFd> {
    // SAFETY: the process runs this one test alone, and nothing has opened or taken a descriptor from 3 on before.
    unsafe { tcp::inherited_sockets() }
}

/// Runs `test` in a process whose descriptor 3 is `socket`, with `LISTEN_PID` made by the shell of `pid`.
fn activate(socket: TcpListener, test: &str, pid: &str) {
    let program = std::env::current_exe().unwrap();
    // A shell puts the socket in its place and knows its own number, which `exec` keeps.
    let script = format!("LISTEN_FDS=1 LISTEN_PID={pid} exec \"$@\" 3<&0 0</dev/null");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(program).args(arguments(module_path!(), test));
    for (name, value) in command(module_path!(), test).get_envs() {
        shell.env(name, value.unwrap());
    }
    shell.stdin(Stdio::from(OwnedFd::from(socket)));
    run(shell);
}

#[test]
fn sv_24_a_socket_that_a_service_manager_passed_is_served() {
    if !is_alone(TAKEN) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        return activate(socket, TAKEN, "$$");
    }
    let mut sockets = inherited();
    assert_eq!(sockets.len(), 1);
    let socket = sockets.remove(0);
    let flags = FdFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC), "it is not handed on to children of ours");
    let mut ev = TestLoop::new();
    let story = Story::new();
    let server = ev.finish(tcp::listen_on(&ev.handle, socket, story.echoes())).unwrap();
    let mut peer = Peer::tcp(server.addresses()[0].ip().unwrap());
    peer.send(b"hello");
    ev.until(|| peer.received() == b"hello");
}

#[test]
fn sv_24_sockets_that_were_passed_to_another_process_are_left_alone() {
    if !is_alone(OTHERS) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        return activate(socket, OTHERS, "1");
    }
    assert!(inherited().is_empty());
    let target = std::fs::read_link("/proc/self/fd/3").unwrap();
    assert!(target.to_string_lossy().starts_with("socket:"), "{target:?} is still open");
}

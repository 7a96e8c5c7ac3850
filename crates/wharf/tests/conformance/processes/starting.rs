//! Starting a child: what it is given, and what is left of one that cannot be started.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::Command;
use std::rc::Rc;
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use wharf::subprocess::{self, StartError, Stdio};

use super::hearing::{Call, Ear, Heard, run, shell, to_child};
use crate::servers::process::{alone, open};
use crate::servers::rig::TestLoop;
use crate::support::{Folder, poll};

const NONE: [&str; 0] = [];

/// Runs a child to its end and gives what it wrote to stdout.
#[track_caller]
fn output_of(
    ev: &mut TestLoop,
    heard: &Heard,
    child: subprocess::Exec<impl FnOnce() -> Ear + 'static>,
) -> String {
    ev.finish(child).unwrap();
    ev.until(|| heard.is_lost());
    String::from_utf8(heard.received(1)).unwrap()
}

#[test]
fn sp_20_each_standard_descriptor_is_a_pipe_null_inherited_or_given() {
    let folder = Folder::new();
    let path = folder.join("out");
    fs::write(folder.join("in"), "from a file").unwrap();
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let child = shell(&ev, &heard, "cat; echo lost >&2")
        .stdin(File::open(folder.join("in")).unwrap())
        .stdout(File::create(&path).unwrap())
        .stderr(Stdio::Null);
    let (transport, _) = ev.finish(child).unwrap();
    assert!((0..4).all(|fd| transport.pipe_transport(fd).is_none()));
    ev.until(|| heard.is_lost());
    assert_eq!(fs::read_to_string(&path).unwrap(), "from a file");
    assert_eq!(heard.lines(), ["made", "exited 0", "lost eof"]);

    let heard = Heard::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = shell(&ev, &heard, "readlink /proc/self/fd/0 /proc/self/fd/2; cat <&0 >&2")
        .stdin(Stdio::Inherit)
        .stderr(OwnedFd::from(theirs));
    let output = output_of(&mut ev, &heard, child);
    let ours_is = fs::read_link("/proc/self/fd/0").unwrap();
    let (stdin, stderr) = output.split_once('\n').unwrap();
    assert_eq!(stdin, ours_is.to_str().unwrap());
    assert!(stderr.starts_with("socket:"), "{stderr}");
    drop(ours);
}

#[test]
fn sp_20_what_a_standard_command_says_holds() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let mut command = Command::new("sh");
    command.args(["-c", "echo out"]).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped());
    let (transport, _) =
        ev.finish(subprocess::from_command(&ev, command, heard.factory())).unwrap();
    let piped: Vec<bool> = (0..3).map(|fd| transport.pipe_transport(fd).is_some()).collect();
    assert_eq!(piped, [false, true, false]);
    ev.until(|| heard.is_lost());
    assert_eq!(heard.received(1), b"out\n");
}

#[test]
fn sp_21_without_pipes_there_are_three_callbacks() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let child = shell(&ev, &heard, "exit 5")
        .stdin(Stdio::Inherit)
        .stdout(Stdio::Inherit)
        .stderr(Stdio::Inherit);
    ev.finish(child).unwrap();
    ev.until(|| heard.is_lost());
    assert_eq!(heard.lines(), ["made", "exited 5", "lost eof"]);
}

#[test]
fn sp_22_a_program_that_cannot_be_started_leaves_nothing() {
    alone(module_path!(), "sp_22_a_program_that_cannot_be_started_leaves_nothing", || {
        let folder = Folder::new();
        let plain = folder.join("plain");
        fs::write(&plain, "#!/bin/sh\n").unwrap();
        let nonsense = folder.join("nonsense");
        fs::write(&nonsense, [0_u8, 1, 2]).unwrap();
        fs::set_permissions(&nonsense, fs::Permissions::from_mode(0o755)).unwrap();
        let cases: [(OsString, ErrorKind); 4] = [
            ("no-such-program-here".into(), ErrorKind::NotFound),
            (plain.into(), ErrorKind::PermissionDenied),
            (folder.path().into(), ErrorKind::PermissionDenied),
            ("with\0zero".into(), ErrorKind::InvalidInput),
        ];
        let mut ev = TestLoop::new();
        // Whatever is made once is made before counting.
        ev.finish(subprocess::exec(&ev, "no-such-program-here", NONE, || Heard::new().protocol()))
            .unwrap_err();
        let before = open();
        for (program, kind) in cases {
            let heard = Heard::new();
            let child = subprocess::exec(&ev, &program, NONE, heard.factory()).pipe_from_child(3);
            let error = ev.finish(child).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            let inner = error.get_ref().unwrap().downcast_ref::<StartError>().unwrap();
            let name =
                if kind == ErrorKind::InvalidInput { "<string-with-nul>".into() } else { program };
            assert_eq!(inner.program, name);
            assert!(error.to_string().starts_with("cannot start \""), "{error}");
            ev.quieten();
            assert_eq!((heard.lines(), heard.alive()), (Vec::new(), 0));
        }
        let heard = Heard::new();
        let child = subprocess::exec(&ev, &nonsense, NONE, heard.factory());
        let error = ev.finish(child).unwrap_err();
        let inner = error.get_ref().unwrap().downcast_ref::<StartError>().unwrap();
        assert_eq!(inner.error.raw_os_error(), Some(nix::errno::Errno::ENOEXEC as i32));
        assert_eq!(open(), before);
        assert_eq!(ev.statistics().sources, 0);
        let nobody = nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
        assert_eq!(nobody, Err(nix::errno::Errno::ECHILD), "there is no child");
    });
}

#[test]
fn sp_22_a_folder_that_is_not_there_fails_the_start() {
    let mut ev = TestLoop::new();
    let child = shell(&ev, &Heard::new(), "true").current_dir("/no/such/folder");
    assert_eq!(ev.finish(child).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn sp_23_a_shell_takes_a_line_and_exec_takes_arguments() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let child = shell(&ev, &heard, "echo \"$0 $1\" | tr a-z A-Z").arg("zero").arg("a b; c");
    assert_eq!(output_of(&mut ev, &heard, child), "ZERO A B; C\n");
    let heard = Heard::new();
    let child = subprocess::exec(&ev, "printf", ["%s,", "a b", "$HOME", "*"], heard.factory());
    assert_eq!(output_of(&mut ev, &heard, child), "a b,$HOME,*,");
}

#[test]
fn sp_25_environment_folder_name_and_group_are_as_asked_for() {
    let folder = Folder::new();
    let path = folder.path().canonicalize().unwrap();
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let child =
        shell(&ev, &heard, "echo $A-$B-${HOME-unset}; pwd; exec 3</proc/self/stat; cat <&3")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs([("A", "1"), ("B", "2"), ("C", "3")])
            .env_remove("C")
            .current_dir(&path)
            .process_group(0);
    let output = output_of(&mut ev, &heard, child);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["1-2-unset", path.to_str().unwrap()]);
    let (pid, rest) = (heard.transport().pid().to_string(), lines[2].rsplit(") ").next().unwrap());
    assert_eq!(rest.split(' ').nth(2), Some(pid.as_str()), "its group is its own");

    let heard = Heard::new();
    let child = subprocess::exec(&ev, "/bin/sh", ["-c", "echo $0"], heard.factory());
    assert_eq!(output_of(&mut ev, &heard, child.arg0("another")), "another\n");
}

#[test]
fn sp_25_a_session_a_user_and_a_group_are_as_asked_for() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let child = shell(&ev, &heard, "exec 3</proc/self/stat; cat <&3").session();
    let output = output_of(&mut ev, &heard, child);
    let rest = output.rsplit(") ").next().unwrap();
    let pid = heard.transport().pid().to_string();
    assert_eq!(rest.split(' ').nth(3), Some(pid.as_str()), "its session is its own");

    if !nix::unistd::geteuid().is_root() {
        eprintln!("notice: only root may become somebody else; skipped");
        return;
    }
    let heard = Heard::new();
    let child = shell(&ev, &heard, "id -u; id -g; id -G").user(12_345).group(23_456);
    assert_eq!(output_of(&mut ev, &heard, child), "12345\n23456\n23456\n");
}

#[test]
fn sp_25_a_function_may_run_in_the_child_before_the_program() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let child = shell(&ev, &heard, "umask");
    let child = super::forking::with_umask(child, 0o027);
    assert_eq!(output_of(&mut ev, &heard, child), "0027\n");
    let failing = super::forking::failing(shell(&ev, &Heard::new(), "true"));
    let error = ev.finish(failing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[test]
fn sp_25_what_is_passed_comes_under_its_number_and_nothing_else_leaks() {
    let mut ev = TestLoop::new();
    let leaky: Vec<File> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"passed\n").unwrap();
    let heard = Heard::new();
    let child = shell(&ev, &heard, "ls /proc/self/fd >&4; read a <&7; read b <&5; echo $a $b")
        .pass_fd(7, theirs)
        .pipe_from_child(4)
        .pipe_to_child(5);
    let (transport, _) = ev.finish(child).unwrap();
    to_child(&transport, 5).write(b"written\n");
    ev.until(|| heard.is_lost());
    assert_eq!(heard.received(1), b"passed written\n");
    let listed = String::from_utf8(heard.received(4)).unwrap();
    let numbers = |listed: &str| -> BTreeSet<i32> {
        listed.lines().map(|line| line.parse().unwrap()).collect()
    };
    // What this process has inherited itself, without a mark, a child of anybody's gets.
    let any = Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let mut expected = numbers(&String::from_utf8(any.stdout).unwrap());
    expected.extend([4, 5, 7]);
    assert_eq!(numbers(&listed), expected);
    assert_eq!(heard.lines_of(4), ["data 4", "pipe lost 4 eof"]);
    drop(leaky);
}

#[test]
fn sp_25_pipes_may_have_numbers_that_are_taken_here() {
    // Their ends have low numbers here as well, so taking one over must not close another.
    let mut ev = TestLoop::new();
    let taken = File::open("/dev/null").unwrap();
    let first = taken.as_raw_fd().max(3);
    for order in [[first, first + 1, first + 2], [first + 2, first + 1, first]] {
        let heard = Heard::new();
        let line = format!(
            "for fd in {first} {} {}; do echo $fd >/dev/fd/$fd; done",
            first + 1,
            first + 2
        );
        let child =
            order.iter().fold(shell(&ev, &heard, &line), |child, fd| child.pipe_from_child(*fd));
        ev.finish(child).unwrap();
        ev.until(|| heard.is_lost());
        for fd in order {
            assert_eq!(heard.received(fd), format!("{fd}\n").into_bytes());
        }
    }
    for numbers in [[1, 4], [-1, 4], [5, 5]] {
        let child =
            shell(&ev, &Heard::new(), "true").pipe_from_child(numbers[0]).pipe_to_child(numbers[1]);
        assert_eq!(ev.finish(child).unwrap_err().kind(), ErrorKind::InvalidInput, "{numbers:?}");
    }
}

#[test]
fn sp_28_children_are_started_from_a_loop_in_any_thread() {
    let threads: Vec<_> = (0..4)
        .map(|code| {
            thread::spawn(move || {
                let heard = run(&format!("exit {code}"));
                assert!(heard.lines().contains(&format!("exited {code}")));
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn sp_29_a_start_that_is_given_up_kills_and_reaps_the_child() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let child = shell(&ev, &heard, "exec sleep 1000");
    let mut starting: Pin<Box<dyn Future<Output = _>>> = Box::pin(IntoFuture::into_future(child));
    assert!(poll(&mut starting).is_pending());
    assert!(ev.statistics().sources > 0);
    drop(starting);
    let handle = ev.handle.clone();
    assert_eq!(handle.connections(), [], "it is nobody's, and waits to be reaped");
    ev.until(|| handle.statistics().sources == 0);
    assert_eq!((heard.lines(), heard.alive()), (Vec::new(), 0));
    // The same when the loop is not there to reap it.
    let child = shell(&ev, &heard, "exec sleep 1000");
    let mut starting: Pin<Box<dyn Future<Output = _>>> = child.into_future();
    assert!(poll(&mut starting).is_pending());
    drop(ev);
    assert!(poll(&mut starting).is_ready());
    assert_eq!((heard.lines(), heard.alive()), (Vec::new(), 0));
}

#[test]
fn sp_29_a_start_that_is_given_up_after_connection_made_is_an_abort() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let starting = shell(&ev, &heard, "exec sleep 1000").into_future();
    let task = Rc::new(RefCell::new(Some(ev.spawn(starting))));
    let given_up = Rc::clone(&task);
    heard.on(Call::Made, move |_| drop(given_up.take()));
    ev.until(|| heard.is_lost());
    assert_eq!(heard.lines().last().unwrap(), "lost aborted");
    assert!(task.borrow().is_none());
}

#[test]
fn sp_30_the_childs_mask_is_empty_and_sigpipe_ends_it() {
    alone(module_path!(), "sp_30_the_childs_mask_is_empty_and_sigpipe_ends_it", || {
        let mut ev = TestLoop::new();
        SigSet::all().thread_block().unwrap();
        ev.add_signal_handler(Signal::SIGHUP as i32, || {}).unwrap();
        for slow in [false, true] {
            let heard = Heard::new();
            let mut child = shell(&ev, &heard, "cat /proc/self/status");
            if slow {
                child = child.session();
            }
            let output = output_of(&mut ev, &heard, child);
            let sets = ["SigBlk", "SigIgn", "SigCgt"];
            let lines = output.lines().filter(|line| sets.iter().any(|set| line.starts_with(set)));
            assert_eq!(lines.clone().count(), 3);
            for line in lines {
                let (what, mask) = line.split_once(":\t").unwrap();
                let mask = u64::from_str_radix(mask, 16).unwrap();
                let is_set = |signal: Signal| mask & (1 << (signal as i32 - 1)) != 0;
                match what {
                    "SigBlk" | "SigCgt" => assert_eq!(mask, 0, "{line}"),
                    _ => assert!(!is_set(Signal::SIGPIPE) && !is_set(Signal::SIGHUP), "{line}"),
                }
            }
        }
    });
}

#[test]
fn sp_30_a_signal_that_is_ignored_here_stays_ignored() {
    alone(module_path!(), "sp_30_a_signal_that_is_ignored_here_stays_ignored", || {
        super::forking::ignore(Signal::SIGUSR2);
        let heard = run("kill -USR2 $$; echo alive");
        assert_eq!(heard.received(1), b"alive\n");
    });
}

#[test]
fn sp_22_a_factory_is_called_once_and_before_the_child_is_started() {
    let mut ev = TestLoop::new();
    let heard = Heard::new();
    let calls = Rc::new(Cell::new(0));
    let (counted, ear) = (Rc::clone(&calls), heard.factory());
    let child = subprocess::exec(&ev, "no-such-program-here", NONE, move || {
        counted.set(counted.get() + 1);
        ear()
    });
    ev.finish(child).unwrap_err();
    assert_eq!((calls.get(), heard.alive()), (1, 0));
}

//! The demo as its users run it: what it prints, and how it exits.

use std::process::{Command, Output};

fn demo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_demo")).args(args).output().expect("the demo starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_short_run_echoes_everything_on_every_transport() {
    let output =
        demo(&["--clients", "4", "--messages", "20", "--idle", "20", "--size", "300K", "--seed=7"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.ends_with("every byte came back as it was sent\n"), "{stdout}");
    for transport in
        ["tcp4", "unix", "buffered", "tls", "tls-unix", "starttls", "udp4", "unixgram", "cat"]
    {
        let row = stdout
            .lines()
            .rfind(|line| line.split(' ').next() == Some(transport))
            .unwrap_or_default();
        let cells: Vec<&str> = row.split_whitespace().take(3).collect();
        assert_eq!(cells, [transport, "4", "80"], "{stdout}");
    }
    assert!(!stdout.contains('\r'), "no live line where there is no terminal");
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let output = demo(&["--fast"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "error: no option --fast; --help lists them\n");
    assert!(output.stdout.is_empty());
}

#[test]
fn help_goes_to_standard_output() {
    let output = demo(&["--help"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("--transport NAME"));
}

#[test]
fn a_place_that_cannot_be_had_is_an_error_and_exits_with_1() {
    let output = demo(&["--idle-server", "unix", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
}

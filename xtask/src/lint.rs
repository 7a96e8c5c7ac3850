//! Check formatting, clippy, documentation, fuzz targets and packaging.

use lexopt::Parser;
use xshell::cmd;

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli};

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    let sh = &project.sh;
    step("rustfmt", || cmd!(sh, "cargo fmt --all --check").run())?;
    step("clippy", || {
        cmd!(sh, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()
    })?;
    step("clippy of TLS with ring alone", || {
        // Every other build has aws-lc-rs, and the tests had come to need it.
        let alone = ["-p", "wharf-tls", "--no-default-features", "--features", "ring"];
        cmd!(sh, "cargo clippy {alone...} --all-targets --locked -- -D warnings").run()
    })?;
    step("fuzz targets", || fuzz_targets(project))?;
    step("rustdoc", || {
        cmd!(sh, "cargo doc --no-deps --locked").env("RUSTDOCFLAGS", "-D warnings").run()
    })?;
    step("package", || {
        // Offline, because the steps above have fetched what is needed; unverified, because they have built it.
        cmd!(sh, "cargo package --workspace --no-verify --allow-dirty --offline --quiet").run()
    })
}

/// They are a workspace of their own, which nothing else here builds, and a change of what they use would go unseen.
fn fuzz_targets(project: &Project) -> Result<()> {
    let sh = &project.sh;
    let manifest = ["--manifest-path", "fuzz/Cargo.toml"];
    cmd!(sh, "cargo fmt {manifest...} --check").run()?;
    let target = &project.metadata.target_directory;
    // Nothing is linked, so the fuzzer's own code, in C++, may be missing.
    let fuzzer = project.root.join("libfuzzer.a");
    cmd!(
        sh,
        "cargo clippy {manifest...} --locked --target-dir {target} -- --cfg fuzzing -D warnings"
    )
    .env("CUSTOM_LIBFUZZER_PATH", fuzzer)
    .run()?;
    Ok(())
}

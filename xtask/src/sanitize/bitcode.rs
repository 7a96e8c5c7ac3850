//! A standard library for ThreadSanitizer, made without its source.
//!
//! The sanitizer has to see every lock that is taken and every thread that is woken, and much of that is code of the
//! standard library.
//! With its source, cargo builds it anew; but each of its objects also carries what LLVM made it from, for the sake of
//! link-time optimisation.
//! So the linker of the tool chain, which is LLVM too, makes each object once more, with the sanitizer as the only pass.
//!
//! One thing is fixed in there by then: the fence that the last owner of an `Arc` goes through, see `arc.rs`.
//! Whether the outcome sees what it must, and nothing else, is tried on `witness.rs` before it is used.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use xshell::{Cmd, Shell, cmd};

use crate::Result;
use crate::project::Project;

/// Every function is made one for the sanitizer; then it has its way.
const PASSES: &str = "forceattrs,tsan-module,function(tsan)";
const ATTRIBUTE: &str = "-force-attribute=sanitize_thread";

/// What this needs of the machine.
pub(super) struct Tools<'a> {
    sh: &'a Shell,
    sysroot: &'a Path,
    host: &'a str,
}

impl<'a> Tools<'a> {
    /// Or what is missing.
    pub(super) fn find(
        sh: &'a Shell,
        sysroot: &'a Path,
        host: &'a str,
    ) -> std::result::Result<Self, &'static str> {
        let tools = Self { sh, sysroot, host };
        if !["rust-lld", "rust-objcopy"].iter().all(|name| tools.path(name).exists()) {
            return Err("the linker and the objcopy of nightly");
        }
        if cmd!(sh, "ar --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
            return Err("`ar`");
        }
        Ok(tools)
    }

    fn target(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(self.host)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.target().join("bin").join(name)
    }

    /// One of the tool chain's own programs: they find LLVM where the compiler does.
    fn tool(&self, name: &str) -> Cmd<'a> {
        let path = self.path(name);
        cmd!(self.sh, "{path}").env("LD_LIBRARY_PATH", self.sysroot.join("lib")).quiet()
    }

    /// Makes the library in `place`, tries it, and gives the flags that rustc needs for it.
    pub(super) fn make_std(&self, project: &Project, place: &Path) -> Result<Vec<OsString>> {
        let sh = self.sh;
        let made = place.join("lib/rustlib").join(self.host);
        sh.remove_path(place)?;
        sh.create_dir(made.join("lib"))?;
        symlink(self.target().join("bin"), made.join("bin"))?;
        for file in sh.read_dir(self.target().join("lib"))? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let copy = made.join("lib").join(&*name);
            // What the sanitizer itself stands on stays as it is.
            if name.ends_with(".rlib") && !name.contains("builtins") {
                sh.copy_file(&file, &copy)?;
                self.instrument(&copy)?;
            } else {
                symlink(&file, &copy)?;
            }
        }

        let source = project.root.join("xtask/src/sanitize");
        let (arc, arc_source) = (place.join("arc.o"), source.join("arc.rs"));
        let object = ["--crate-type", "lib", "--emit", "obj", "-Cpanic=abort", "-O"];
        cmd!(sh, "rustc +nightly --edition 2024 {object...} -o {arc} {arc_source}").run()?;
        let mut flags: Vec<OsString> =
            ["-Zsanitizer=thread", "-Cunsafe-allow-abi-mismatch=sanitizer", "--sysroot"]
                .map(OsString::from)
                .into();
        flags.push(place.into());
        flags.push("-Clink-arg=-Wl,--wrap=__tsan_atomic64_fetch_sub".into());
        flags.push(format!("-Clink-arg={}", arc.display()).into());
        self.try_out(&flags, place, &source.join("witness.rs"))?;
        Ok(flags)
    }

    /// Makes the objects of a library anew.
    fn instrument(&self, library: &Path) -> Result {
        let sh = self.sh;
        let folder = sh.create_temp_dir()?;
        let _inside = sh.push_dir(folder.path());
        cmd!(sh, "ar x {library}").quiet().run()?;
        for object in sh.read_dir(".")? {
            if object.extension().is_none_or(|extension| extension != "o") {
                continue;
            }
            let section = "--dump-section=.llvmbc=bitcode";
            self.tool("rust-objcopy")
                .args([section.as_ref(), object.as_os_str()])
                .arg("/dev/null")
                .run()?;
            let passes = format!("--lto-newpm-passes={PASSES}");
            self.tool("rust-lld")
                .args(["-flavor", "gnu", "-r", "--lto-O0", &passes, "-mllvm", ATTRIBUTE])
                .args(["bitcode", "-o"])
                .arg(&object)
                .run()?;
            cmd!(sh, "ar r {library} {object}").quiet().run()?;
        }
        Ok(())
    }

    /// It sees every synchronisation of a program that is in order, and the race of one that is not.
    fn try_out(&self, flags: &[OsString], place: &Path, source: &Path) -> Result {
        let (sh, host) = (self.sh, self.host);
        let witness = place.join("witness");
        let place = ["--target", host];
        cmd!(sh, "rustc +nightly --edition 2024 -g {flags...} {place...} -o {witness} {source}")
            .run()?;
        for (arg, is_racy) in [(None, false), (Some("race"), true)] {
            let run = cmd!(sh, "{witness} {arg...}").ignore_status().output()?;
            let report = String::from_utf8_lossy(&run.stderr);
            if report.contains("ThreadSanitizer: data race") != is_racy {
                let found = if is_racy { "overlooks a race" } else { "sees a race that is none" };
                return Err(format!("the sanitizer {found}:\n{report}").into());
            }
        }
        Ok(())
    }
}

//! A step of a command: a title, its output, its time.

use std::time::Instant;

use crate::Result;

/// How a step ended when it did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// What it needs is not on this machine; the text says what.
    Skipped(String),
}

impl Outcome {
    pub(crate) fn skipped(why: impl Into<String>) -> Result<Self> {
        Ok(Self::Skipped(why.into()))
    }
}

/// A step that only runs a program ends with `()`.
impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// Runs `work` under a title and says how long it took.
pub(crate) fn step<T, E>(
    title: &str,
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<Outcome>
where
    T: Into<Outcome>,
    E: Into<crate::Error>,
{
    println!("\n=== {title}");
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f32();
    match outcome {
        Ok(done) => {
            let outcome = done.into();
            match &outcome {
                Outcome::Done => println!("=== {title}: done in {seconds:.1} s"),
                Outcome::Skipped(why) => println!("=== {title}: skipped, {why}"),
            }
            Ok(outcome)
        }
        Err(error) => {
            println!("=== {title}: failed after {seconds:.1} s");
            Err(error.into())
        }
    }
}

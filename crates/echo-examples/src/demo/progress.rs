//! What is shown while it runs: a line that changes on a terminal, nothing but plain lines elsewhere.

use std::io::{self, IsTerminal, Write};

use super::fleet::Progress;
use super::options::Options;

/// How wide the bar is.
const BAR: usize = 24;

/// A line on the terminal that is written again and again; it shows nothing elsewhere.
pub(super) struct Line {
    live: bool,
    total: Total,
}

/// What a hundred percent are.
enum Total {
    Messages(u64),
    Seconds(f64),
}

impl Line {
    pub(super) fn new(options: &Options) -> Self {
        let total = match options.seconds {
            Some(duration) => Total::Seconds(duration.as_secs_f64()),
            None => Total::Messages(options.messages.saturating_mul(options.clients as u64)),
        };
        Self { live: io::stdout().is_terminal(), total }
    }

    /// Shows how far `name` is.
    pub(super) fn show(&self, name: &str, progress: Progress) {
        if self.live {
            write(&format!("\r{}\x1b[K", self.text(name, progress)));
        }
    }

    /// Takes the line away, for a plain one in its place.
    pub(super) fn clear(&self) {
        if self.live {
            write("\r\x1b[K");
        }
    }

    fn text(&self, name: &str, progress: Progress) -> String {
        let share = match self.total {
            Total::Messages(total) => progress.messages as f64 / total as f64,
            Total::Seconds(total) => progress.elapsed.as_secs_f64() / total,
        };
        let share = share.clamp(0.0, 1.0);
        let full = (share * BAR as f64) as usize;
        let (done, rest) = ("#".repeat(full), "-".repeat(BAR - full));
        let messages = progress.messages;
        format!("{name:<9} [{done}{rest}] {:>3.0} %  {messages} messages", share * 100.0)
    }
}

fn write(text: &str) {
    // A terminal that is gone is no reason to stop.
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_bar_fills_by_messages_or_by_time() {
        let messages = Line { live: false, total: Total::Messages(200) };
        let half = Progress { messages: 100, elapsed: Duration::from_secs(1) };
        assert_eq!(
            messages.text("tcp4", half),
            "tcp4      [############------------]  50 %  100 messages"
        );
        let seconds = Line { live: false, total: Total::Seconds(1.0) };
        assert!(seconds.text("unix", half).contains("100 %"));
    }
}

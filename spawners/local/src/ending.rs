//! Which signal is due, given how long a server has been asked to stop. Decides only.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Config;

/// The steps of a stop, from polite to final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// SIGINT to the server.
    Interrupt,
    /// SIGTERM to the server.
    Terminate,
    /// SIGKILL to all its processes.
    Kill,
}

/// How long what a server left behind has between SIGTERM and SIGKILL.
pub const LEFTOVER_PATIENCE: Duration = Duration::from_secs(3);

/// Decides the step that is due after this long.
pub fn due(elapsed: Duration, config: &Config, force: bool) -> Step {
    if force || elapsed >= config.interrupt_timeout + config.term_timeout {
        Step::Kill
    } else if elapsed >= config.interrupt_timeout {
        Step::Terminate
    } else {
        Step::Interrupt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_escalates_with_time_and_force_skips_the_wait() {
        let config = Config::new("h", "/nowhere");
        let table = [(0, Step::Interrupt), (29, Step::Interrupt), (30, Step::Terminate), (59, Step::Terminate)];
        for (seconds, step) in table.into_iter().chain([(60, Step::Kill), (9999, Step::Kill)]) {
            assert_eq!(due(Duration::from_secs(seconds), &config, false), step, "{seconds}");
            assert_eq!(due(Duration::from_secs(seconds), &config, true), Step::Kill);
        }
    }
}

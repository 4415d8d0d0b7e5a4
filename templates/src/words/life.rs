//! The life of a server in words: phases, and the causes of failures with what to do.

use hub_core::life::{Cause, Phase};

use super::Words;

impl Words {
    /// A phase as `(key, label)`: the name that progress events carry, and what people read.
    pub fn phase(&self, phase: Phase) -> (&'static str, &'static str) {
        match phase {
            Phase::Stopped => ("stopped", self.phase_queued),
            Phase::Starting => ("starting", self.phase_starting),
            Phase::Waiting => ("waiting", self.phase_waiting),
            Phase::Routing => ("routing", self.phase_routing),
            Phase::Ready => ("ready", self.phase_ready),
            Phase::Stopping => ("stopping", self.phase_stopping),
        }
    }

    /// Why a server does not run, as `(cause, advice)`: one sentence each.
    pub fn cause(&self, cause: Cause) -> (&'static str, &'static str) {
        match cause {
            Cause::StartTimeout => (self.cause_start_timeout, self.advice_again),
            Cause::NoAnswer => (self.cause_no_answer, self.advice_log),
            Cause::NoRoute => (self.cause_no_route, self.advice_again),
            Cause::Died => (self.cause_died, self.advice_log),
            Cause::Lost => (self.cause_lost, self.advice_lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ENGLISH;
    use super::*;

    #[test]
    fn keys_are_the_names_that_rows_and_events_carry() {
        for phase in [Phase::Stopped, Phase::Starting, Phase::Waiting, Phase::Routing, Phase::Ready, Phase::Stopping] {
            assert_eq!(serde_json::to_value(phase).unwrap(), ENGLISH.phase(phase).0);
        }
    }
}

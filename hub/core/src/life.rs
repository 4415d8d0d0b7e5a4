//! The life of a server as a pure, total function: given what is recorded, wanted and seen, what to do next.
//!
//! It neither waits nor acts. The keeper asks it after every fresh look at the spawner, so that any hub can
//! take up any server at any instant. A failed start and a server that died walk the same road as a stop:
//! the cause is recorded, `Desired` becomes `Stopped`, and what is left in the world is cleared away.

use serde::{Deserialize, Serialize};

/// How far a server has come, as its row tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing of it exists.
    Stopped,
    /// Token and OAuth client exist; the spawner is being asked to create it.
    Starting,
    /// It runs and has an address; the hub waits for its first answer.
    Waiting,
    /// It answers; its route is on the way to the proxies.
    Routing,
    /// People can use it.
    Ready,
    /// It is being stopped or cleared away.
    Stopping,
}

/// What should become of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// It should run.
    Running,
    /// It should not.
    Stopped,
}

/// What one fresh look at the spawner showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// The spawner could not be asked. Never taken for a death.
    Unknown,
    /// There is no such server.
    Absent,
    /// It exists, without an address yet.
    Coming,
    /// It runs and has an address.
    Up,
    /// It ended by itself; remains may be left.
    Exited,
}

/// Why a server that should run will not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It was not up by the start deadline.
    StartTimeout,
    /// It was up, and gave no answer by the deadline.
    NoAnswer,
    /// The proxies did not take its route by the deadline.
    NoRoute,
    /// It ended before it was ready.
    Died,
    /// It was ready, and is gone.
    Lost,
}

/// The next step for one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// All is as it should be.
    Rest,
    /// Nothing to do but to look again soon.
    Wait,
    /// Make token and OAuth client, raise the generation, then `Phase::Starting`.
    Prepare,
    /// Ask the spawner to create it, or to adopt what is there.
    Start,
    /// Record the address, then `Phase::Waiting`.
    Arrive,
    /// Ask it over HTTP; an answer leads to `Phase::Routing`.
    Probe,
    /// Write its route; once the proxies have it, `Phase::Ready`.
    Route,
    /// Record the cause, want it stopped.
    Fail(Cause),
    /// Take its route away, then `Phase::Stopping`.
    Unroute,
    /// Ask the spawner to stop it; by force once the deadline has passed.
    Stop { force: bool },
    /// Revoke its token and OAuth client, then `Phase::Stopped`.
    Finish,
}

/// Decides the next step. `overdue` tells that the deadline of the present phase has passed.
pub fn next(phase: Phase, desired: Desired, seen: Seen, overdue: bool) -> Act {
    match (desired, phase) {
        (Desired::Stopped, Phase::Stopped) => Act::Rest,
        (Desired::Running, Phase::Stopped) => Act::Prepare,
        // A stop that has begun is finished before anything else, also when the server is wanted again.
        (_, Phase::Stopping) => clear_away(seen, overdue),
        (Desired::Stopped, _) => Act::Unroute,
        (Desired::Running, Phase::Starting) => start(seen, overdue),
        (Desired::Running, Phase::Waiting) => onward(seen, overdue, Act::Probe, Cause::NoAnswer),
        (Desired::Running, Phase::Routing) => onward(seen, overdue, Act::Route, Cause::NoRoute),
        (Desired::Running, Phase::Ready) => match seen {
            Seen::Absent | Seen::Exited => Act::Fail(Cause::Lost),
            Seen::Unknown | Seen::Coming | Seen::Up => Act::Rest,
        },
    }
}

fn clear_away(seen: Seen, overdue: bool) -> Act {
    match seen {
        Seen::Absent => Act::Finish,
        Seen::Unknown | Seen::Coming | Seen::Up | Seen::Exited => Act::Stop { force: overdue },
    }
}

fn start(seen: Seen, overdue: bool) -> Act {
    match seen {
        Seen::Up => Act::Arrive,
        Seen::Exited => Act::Fail(Cause::Died),
        _ if overdue => Act::Fail(Cause::StartTimeout),
        Seen::Absent => Act::Start,
        Seen::Unknown | Seen::Coming => Act::Wait,
    }
}

fn onward(seen: Seen, overdue: bool, step: Act, late: Cause) -> Act {
    match seen {
        Seen::Absent | Seen::Exited => Act::Fail(Cause::Died),
        _ if overdue => Act::Fail(late),
        Seen::Up => step,
        Seen::Unknown | Seen::Coming => Act::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PHASES: [Phase; 6] =
        [Phase::Stopped, Phase::Starting, Phase::Waiting, Phase::Routing, Phase::Ready, Phase::Stopping];
    const SIGHTS: [Seen; 5] = [Seen::Unknown, Seen::Absent, Seen::Coming, Seen::Up, Seen::Exited];

    /// What the keeper records after an act that succeeded.
    fn after(act: Act, phase: Phase, desired: Desired) -> (Phase, Desired) {
        match act {
            Act::Prepare => (Phase::Starting, desired),
            Act::Arrive => (Phase::Waiting, desired),
            Act::Probe => (Phase::Routing, desired),
            Act::Route => (Phase::Ready, desired),
            Act::Fail(_) => (phase, Desired::Stopped),
            Act::Unroute => (Phase::Stopping, desired),
            Act::Finish => (Phase::Stopped, desired),
            Act::Rest | Act::Wait | Act::Start | Act::Stop { .. } => (phase, desired),
        }
    }

    #[test]
    fn the_straight_way_up_and_down() {
        let table = [
            (Phase::Stopped, Desired::Running, Seen::Absent, Act::Prepare),
            (Phase::Starting, Desired::Running, Seen::Absent, Act::Start),
            (Phase::Starting, Desired::Running, Seen::Coming, Act::Wait),
            (Phase::Starting, Desired::Running, Seen::Up, Act::Arrive),
            (Phase::Waiting, Desired::Running, Seen::Up, Act::Probe),
            (Phase::Routing, Desired::Running, Seen::Up, Act::Route),
            (Phase::Ready, Desired::Running, Seen::Up, Act::Rest),
            (Phase::Ready, Desired::Stopped, Seen::Up, Act::Unroute),
            (Phase::Stopping, Desired::Stopped, Seen::Up, Act::Stop { force: false }),
            (Phase::Stopping, Desired::Stopped, Seen::Absent, Act::Finish),
            (Phase::Stopped, Desired::Stopped, Seen::Absent, Act::Rest),
        ];
        for (phase, desired, seen, act) in table {
            assert_eq!(next(phase, desired, seen, false), act, "{phase:?} {desired:?} {seen:?}");
        }
    }

    #[test]
    fn an_unreachable_spawner_is_never_a_death() {
        for phase in PHASES {
            for desired in [Desired::Running, Desired::Stopped] {
                let act = next(phase, desired, Seen::Unknown, false);
                assert!(!matches!(act, Act::Fail(_) | Act::Finish), "{phase:?} {desired:?}: {act:?}");
            }
        }
        assert_eq!(next(Phase::Ready, Desired::Running, Seen::Unknown, true), Act::Rest);
    }

    #[test]
    fn every_phase_has_its_own_way_to_fail() {
        let late = |phase, seen| next(phase, Desired::Running, seen, true);
        assert_eq!(late(Phase::Starting, Seen::Coming), Act::Fail(Cause::StartTimeout));
        assert_eq!(late(Phase::Waiting, Seen::Up), Act::Fail(Cause::NoAnswer));
        assert_eq!(late(Phase::Routing, Seen::Up), Act::Fail(Cause::NoRoute));
        assert_eq!(late(Phase::Stopping, Seen::Up), Act::Stop { force: true });
        assert_eq!(next(Phase::Ready, Desired::Running, Seen::Exited, false), Act::Fail(Cause::Lost));
        assert_eq!(next(Phase::Waiting, Desired::Running, Seen::Absent, false), Act::Fail(Cause::Died));
    }

    #[test]
    fn a_server_wanted_again_while_it_stops_is_stopped_first() {
        assert_eq!(next(Phase::Stopping, Desired::Running, Seen::Up, false), Act::Stop { force: false });
        assert_eq!(next(Phase::Stopping, Desired::Running, Seen::Absent, false), Act::Finish);
        assert_eq!(next(Phase::Stopped, Desired::Running, Seen::Absent, false), Act::Prepare);
    }

    proptest! {
        /// Whatever was seen before, a stop never creates anything and ends once the spawner says it is gone.
        #[test]
        fn stop_always_wins(start in 0..6usize, sights in prop::collection::vec((0..5usize, any::<bool>()), 0..40)) {
            let mut phase = PHASES[start];
            for (sight, overdue) in sights.into_iter().chain([(1, false), (1, false), (1, false)]) {
                let act = next(phase, Desired::Stopped, SIGHTS[sight], overdue);
                let creates = matches!(act, Act::Prepare | Act::Start | Act::Arrive | Act::Probe | Act::Route);
                prop_assert!(!creates, "{:?}", act);
                phase = after(act, phase, Desired::Stopped).0;
            }
            prop_assert_eq!(phase, Phase::Stopped);
        }

        /// A server that should run reaches ready whenever the spawner, after any trouble, brings it up in time.
        #[test]
        fn a_wanted_server_ends_ready_or_with_a_recorded_cause(sights in prop::collection::vec((0..5usize, any::<bool>()), 0..40)) {
            let (mut phase, mut desired, mut failed) = (Phase::Stopped, Desired::Running, false);
            for (sight, overdue) in sights {
                let act = next(phase, desired, SIGHTS[sight], overdue);
                failed |= matches!(act, Act::Fail(_));
                (phase, desired) = after(act, phase, desired);
            }
            let settle = if failed { Seen::Absent } else { Seen::Up };
            for _ in 0..8 {
                (phase, desired) = after(next(phase, desired, settle, false), phase, desired);
            }
            let expected = if failed { Phase::Stopped } else { Phase::Ready };
            prop_assert_eq!(phase, expected);
        }
    }
}

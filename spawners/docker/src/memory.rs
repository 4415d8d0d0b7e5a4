//! Servers whose memory was full. The engine's own flag on a container tells only that some process in it was ended for
//! that, at any time before: a server whose kernel was, and which ends by itself hours later, carries it as well. So it is
//! the engine's events that tell, and the flag where there are none any more.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerState, EventMessage};
use bollard::query_parameters::EventsOptionsBuilder;
use chrono::{DateTime, SubsecRound, TimeDelta};
use futures_util::TryStreamExt;
use hub_core::clock::Time;

use crate::engine::Engine;

/// The event by which the engine tells of it.
pub(crate) const EVENT: &str = "oom";
/// What the kernel ends for memory ends with this, as seen from outside.
const KILLED: i64 = 137;
/// How a server ends that was asked to.
const ASKED: i64 = 143;
/// What ends this long after its memory was full, or earlier, ended because of it.
const AFTER: TimeDelta = TimeDelta::seconds(3);
/// The engine may tell of it a little later than of the end.
const LATE: TimeDelta = TimeDelta::seconds(1);
/// Events of the past are read within this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

impl Engine {
    /// Whether a container ended because its memory was full.
    pub async fn ended_by_memory(&self, id: &str, state: &ContainerState) -> bool {
        match state.exit_code {
            Some(0 | ASKED) | None => false,
            Some(_) => {
                let told = tokio::time::timeout(PATIENCE, self.full(id, state)).await;
                judge(state, &told.ok().and_then(Result::ok).unwrap_or_default())
            }
        }
    }

    /// When the memory of a container was full in its last run, as far as the engine remembers.
    async fn full(&self, id: &str, state: &ContainerState) -> Result<Vec<Time>, Error> {
        let (Some(from), Some(to)) = (instant(state.started_at.as_deref()), instant(state.finished_at.as_deref()))
        else {
            return Ok(Vec::new());
        };
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("container".to_owned(), vec![id.to_owned()]),
            ("event".to_owned(), vec![EVENT.to_owned()]),
        ]);
        let (from, to) = (from.timestamp().to_string(), seconds(to + LATE));
        let options = EventsOptionsBuilder::default().filters(&filters).since(&from).until(&to).build();
        let events: Vec<EventMessage> = self.client()?.events(Some(options)).try_collect().await?;
        Ok(events.iter().filter_map(at).collect())
    }
}

/// When something happened.
pub(crate) fn at(event: &EventMessage) -> Option<Time> {
    Some(DateTime::from_timestamp_nanos(event.time_nano?).trunc_subsecs(6))
}

/// Whether a container that did not end well ended because its memory was full. `told`: when the engine remembers it to
/// have been, in this run.
fn judge(state: &ContainerState, told: &[Time]) -> bool {
    let end = instant(state.finished_at.as_deref());
    match (told, end) {
        // A busy machine may have told more than the engine remembers.
        ([], _) | (_, None) => state.oom_killed == Some(true) && state.exit_code == Some(KILLED),
        (told, Some(end)) => told.iter().any(|&full| full - LATE <= end && end - full <= AFTER),
    }
}

/// An instant as the engine writes it; absent for what has not been.
fn instant(text: Option<&str>) -> Option<Time> {
    let time = DateTime::parse_from_rfc3339(text?).ok()?.to_utc();
    (time > DateTime::UNIX_EPOCH).then_some(time)
}

/// An instant as the engine reads it.
fn seconds(time: Time) -> String {
    format!("{}.{:09}", time.timestamp(), time.timestamp_subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: i64, flag: bool) -> ContainerState {
        ContainerState {
            exit_code: Some(exit_code),
            oom_killed: Some(flag),
            started_at: Some("2026-03-19T09:00:00.5Z".into()),
            finished_at: Some("2026-03-19T10:00:00.123456789Z".into()),
            ..ContainerState::default()
        }
    }

    #[test]
    fn an_end_is_told_as_one_of_memory_where_memory_was_full_at_the_end() {
        let end = instant(ended(0, true).finished_at.as_deref()).unwrap();
        let before = |millis: i64| end - TimeDelta::milliseconds(millis);
        // The code, the engine's flag, when memory was full, and whether that is why it ended.
        let table: [(i64, bool, &[Time], bool); 9] = [
            (137, true, &[before(20)], true),
            // What wraps a server may have a code of its own.
            (1, true, &[before(600_000), before(20)], true),
            // The engine told of it after it told of the end, and did not set its flag.
            (137, false, &[before(-300)], true),
            // It was the kernel of a notebook, long before.
            (137, true, &[before(600_000)], false),
            (1, true, &[before(600_000)], false),
            // The engine remembers nothing.
            (137, true, &[], true),
            (137, false, &[], false),
            (1, true, &[], false),
            (137, true, &[before(3_001)], false),
        ];
        for (code, flag, told, verdict) in table {
            assert_eq!(judge(&ended(code, flag), told), verdict, "{code} {flag} {told:?}");
        }
        let endless = ContainerState { finished_at: Some("0001-01-01T00:00:00Z".into()), ..ended(137, true) };
        assert!(judge(&endless, &[before(20)]), "the flag counts where no end is known");
    }

    #[test]
    fn instants_are_read_and_written_as_the_engine_does() {
        let time = instant(Some("2026-03-19T10:00:00.123456789Z")).unwrap();
        assert_eq!(seconds(time), "1773914400.123456789");
        assert_eq!(instant(Some("0001-01-01T00:00:00Z")), None, "the engine's word for never");
        assert_eq!(instant(Some("yesterday")), None);
        let event = EventMessage { time_nano: Some(1_773_914_400_123_456_789), ..EventMessage::default() };
        assert_eq!(at(&event).map(seconds).as_deref(), Some("1773914400.123456000"));
    }
}

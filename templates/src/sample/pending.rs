//! Samples of the pages between stopped and running.

use hub_core::life::Phase;

use super::home::{failure, hostile_failure};
use super::{HOSTILE, admin, ago, hostile, path, student};
use crate::spawn_pending::{LogLine, Step, StepState, timeline};
use crate::words::ENGLISH;
use crate::{NotRunning, SpawnPending, StopPending};

fn step(key: &str, label: &str, state: StepState, took: Option<u64>, usual: Option<u64>) -> Step {
    Step { key: key.to_owned(), label: label.to_owned(), state, detail: None, took, usual }
}

fn pulling() -> SpawnPending {
    let line = |seconds, text: &str| LogLine { at: ago(seconds), text: text.to_owned() };
    SpawnPending {
        frame: student(),
        owner: "lbassi".to_owned(),
        server_name: "gpu-training".to_owned(),
        display_name: None,
        since: ago(48),
        steps: vec![
            step("queued", "Queueing", StepState::Done, Some(3), Some(2)),
            step("reserving", "Reserving a place", StepState::Done, Some(1), Some(1)),
            Step {
                detail: Some("412 of 910 MB".to_owned()),
                ..step("pulling", "Fetching the image", StepState::Working, Some(44), Some(95))
            },
            step("starting", "Starting the server", StepState::Waiting, None, Some(4)),
            step("waiting", "Waiting for its first answer", StepState::Waiting, None, Some(3)),
            step("routing", "Opening the way to it", StepState::Waiting, None, None),
        ],
        log: vec![
            line(48, "Server requested"),
            line(45, "Placed on node-07"),
            line(44, "Pulling image hub.castelvecchio.example/pytorch:2026-03"),
        ],
        progress: 35,
        progress_url: path("hub/api/users/lbassi/servers/gpu-training/progress"),
        cancel: Some(path("hub/spawn-pending/lbassi/gpu-training")),
    }
}

pub(crate) fn spawn_pending() -> Vec<(&'static str, SpawnPending)> {
    let text = || HOSTILE.to_owned();
    let usual = |phase| if phase == Phase::Stopped { (Some(1), None) } else { (None, Some(4)) };
    let early = SpawnPending {
        server_name: String::new(),
        since: ago(2),
        steps: timeline(&ENGLISH, Phase::Starting, usual),
        log: Vec::new(),
        progress: 10,
        ..pulling()
    };
    let waiting = SpawnPending {
        server_name: String::new(),
        since: ago(400),
        steps: timeline(&ENGLISH, Phase::Stopped, |phase| ((phase == Phase::Stopped).then_some(400), None))
            .into_iter()
            .map(|step| match step.state {
                StepState::Working => Step { detail: Some("place 2 of 3, about 40 minutes".to_owned()), ..step },
                _ => step,
            })
            .collect(),
        log: vec![
            LogLine { at: ago(400), text: "Waiting for a GPU: place 3 of 3, about 55 minutes".to_owned() },
            LogLine { at: ago(60), text: "Waiting for a GPU: place 2 of 3, about 40 minutes".to_owned() },
        ],
        progress: 0,
        ..pulling()
    };
    let hostile = SpawnPending {
        frame: hostile(),
        owner: text(),
        server_name: text(),
        display_name: Some(text()),
        steps: vec![Step { detail: Some(text()), ..step(HOSTILE, HOSTILE, StepState::Failed, Some(1), Some(1)) }],
        log: vec![LogLine { at: ago(1), text: text() }],
        progress_url: path(HOSTILE),
        cancel: Some(path(HOSTILE)),
        ..pulling()
    };
    vec![
        ("pulling", pulling()),
        ("early", early),
        ("waiting", waiting),
        ("watching", SpawnPending { cancel: None, frame: admin(), ..pulling() }),
        ("hostile", hostile),
    ]
}

pub(crate) fn stop_pending() -> Vec<(&'static str, StopPending)> {
    let plain = StopPending { frame: student(), server_name: String::new(), since: Some(ago(3)) };
    vec![
        ("default", plain),
        ("hostile", StopPending { frame: hostile(), server_name: HOSTILE.to_owned(), since: None }),
    ]
}

pub(crate) fn not_running() -> Vec<(&'static str, NotRunning)> {
    let plain = || NotRunning {
        frame: student(),
        owner: None,
        server_name: String::new(),
        start: Some(path("hub/spawn/lbassi?next=/user/lbassi/lab")),
        failure: None,
        starts_in: None,
    };
    vec![
        ("plain", plain()),
        ("failed", NotRunning { failure: Some(failure()), server_name: "spark".to_owned(), ..plain() }),
        ("by-itself", NotRunning { starts_in: Some(5), ..plain() }),
        (
            "not-yours",
            NotRunning {
                frame: admin(),
                owner: Some("lbassi".to_owned()),
                start: None,
                server_name: "spark".to_owned(),
                ..plain()
            },
        ),
        (
            "hostile",
            NotRunning {
                frame: hostile(),
                owner: Some(HOSTILE.to_owned()),
                server_name: HOSTILE.to_owned(),
                start: Some(path(HOSTILE)),
                failure: Some(hostile_failure()),
                starts_in: Some(9),
            },
        ),
    ]
}

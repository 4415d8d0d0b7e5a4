//! Programs that do not answer say nothing of any server.

use std::time::Duration;

use serde_json::Value;
use spawners::contract::Paper;
use spawners::{Spawner, StartError, Stop};

use crate::contract::{driver, plan};

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn no_answer_is_no_news() {
    let scripts =
        ["exit 1", "echo certainly", "echo '[]'", "echo '{\"sight\": \"gone\"}'", "sleep 600", "yes", "kill -9 $$"];
    for script in scripts {
        let driver = driver(shell(script), Duration::from_millis(500));
        let plan = plan(1, 1);
        assert!(driver.look(&plan.identity, &Value::Null).await.is_err(), "{script}");
        let started = driver.start(&plan, &Value::Null, &Paper::default()).await;
        assert!(matches!(started, Err(StartError::Unreachable(_))), "{script}: {started:?}");
    }
    for script in ["exit 1", "echo certainly", "sleep 600", "yes"] {
        let driver = driver(shell(script), Duration::from_millis(500));
        let server = plan(1, 1).identity;
        assert!(driver.stop(&server, &Value::Null, Stop::default()).await.is_err(), "{script}");
        assert!(driver.list_owned().await.is_err(), "{script}");
        assert!(driver.logs(&server, &Value::Null, 1).await.is_err(), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_the_start_and_says_nothing_of_what_runs() {
    let driver = driver(vec!["/nowhere/spawner".into()], Duration::from_secs(5));
    let started = driver.start(&plan(1, 1), &Value::Null, &Paper::default()).await;
    assert!(matches!(started, Err(StartError::Failed { code: "spawner_broken", .. })), "{started:?}");
    assert!(driver.look(&plan(1, 1).identity, &Value::Null).await.is_err());
}

#[tokio::test]
async fn a_refusal_and_an_early_end_are_told_to_the_person() {
    let refusing = driver(shell("echo '{\"refuse\": \"The cluster is full.\"}'"), Duration::from_secs(5));
    match refusing.start(&plan(1, 1), &Value::Null, &Paper::default()).await {
        Err(StartError::Refused { sentence, .. }) => assert_eq!(sentence, "The cluster is full."),
        other => panic!("{other:?}"),
    }
    let script = "if grep -q logs; then printf '%s' '{\"log\": \"one\\ntwo\"}'
                  else echo '{\"sight\": \"exited\", \"reason\": \"No such image.\"}'; fi";
    match driver(shell(script), Duration::from_secs(5)).start(&plan(1, 1), &Value::Null, &Paper::default()).await {
        Err(StartError::Failed { sentence, log, .. }) => {
            assert_eq!((&*sentence, &*log), ("No such image.", "one\ntwo"))
        }
        other => panic!("{other:?}"),
    }
}
